/* Many samples in one call, for the host only: it is compiled beside model.c and is no part of what is shipped. */
#include <string.h>

#include "model.h"

size_t host_bytes(void);
void host_run(void *memory, const uint8_t *frames, int samples, uint16_t *times, int32_t *results, int32_t *classes, uint32_t *work);

size_t host_bytes(void)
{
    return sizeof(${prefix}_state);
}

/* Samples uint8 [N][T][C][H][W]; times [N][TIMES], results [N][RESULTS], classes [N], work [N][3]. */
void host_run(void *memory, const uint8_t *frames, int samples, uint16_t *times, int32_t *results, int32_t *classes, uint32_t *work)
{
    ${prefix}_state *const state = (${prefix}_state *)memory;
    int n;
    for (n = 0; n < samples; ++n) {
        classes[n] = ${prefix}_run(state, frames + (size_t)n * ${PREFIX}_STEPS * ${PREFIX}_INPUTS);
        memcpy(times + (size_t)n * ${PREFIX}_TIMES, state->times, sizeof state->times);
        memcpy(results + (size_t)n * ${PREFIX}_RESULTS, state->result, sizeof state->result);
        work[3 * n] = state->additions;
        work[3 * n + 1] = state->updates;
        work[3 * n + 2] = state->divisions;
    }
}
