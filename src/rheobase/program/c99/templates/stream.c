/* One sample whose steps come a few at a time, for the host only: membranes live on between calls, logits count step by step. */
#include <string.h>

#include "model.h"

size_t stream_bytes(void);
void stream_reset(void *memory);
void stream_steps(void *memory, const ${frame_type} *frames, int steps, int32_t *logits);

size_t stream_bytes(void)
{
    return ${prefix}_state_size();
}

void stream_reset(void *memory)
{
    ${prefix}_reset((${prefix}_state *)memory);
}

/* Frames [steps][C][H][W] to each step's contribution to the logits, int32 [steps][K]. */
void stream_steps(void *memory, const ${frame_type} *frames, int steps, int32_t *logits)
{
    ${prefix}_state *const state = (${prefix}_state *)memory;
    int t;
    for (t = 0; t < steps; ++t) {
        memset(state->logits, 0, sizeof state->logits);
        ${prefix}_step(state, frames + (size_t)t * ${PREFIX}_FRAME_SIZE);
        memcpy(logits + (size_t)t * ${PREFIX}_CLASSES, state->logits, sizeof state->logits);
    }
}
