/* ${title} */
#include "model.h"

#include <string.h>

#include "kernels.h"

${constants}

size_t ${prefix}_state_size(void)
{
    return sizeof(${prefix}_state);
}

void ${prefix}_reset(${prefix}_state *state)
{
${reset}
}

void ${prefix}_step(${prefix}_state *state, const uint8_t *frame)
{
${step}
}

const int32_t *${prefix}_logits(const ${prefix}_state *state)
{
    return state->logits;
}

int ${prefix}_argmax(const ${prefix}_state *state)
{
    int best = 0;
    int k;
    for (k = 1; k < ${PREFIX}_CLASSES; ++k) {
        if (state->logits[k] > state->logits[best]) {
            best = k;
        }
    }
    return best;
}

int ${prefix}_run(${prefix}_state *state, const uint8_t *frames, int steps, int32_t *logits)
{
    int t;
    ${prefix}_reset(state);
    for (t = 0; t < steps; ++t) {
        ${prefix}_step(state, frames);
        frames += ${PREFIX}_FRAME_SIZE;
    }
    memcpy(logits, state->logits, sizeof state->logits);
    return ${prefix}_argmax(state);
}

int ${prefix}_version(void)
{
    return ${version};
}

const char *${prefix}_hash(void)
{
    return "${digest}";
}
