/* Many samples in one call, for the host only: it is compiled beside model.c and is no part of what is shipped. */
#include <string.h>

#include "model.h"

#ifdef RHEOBASE_TRACE
typedef struct host_trace {
    uint8_t **spikes; /* one array [T][N][H][W][C] a neuron layer */
    size_t place;     /* t * N + n */
} host_trace;

static void keep(void *user, int layer, const uint8_t *spikes, size_t n)
{
    const host_trace *const trace = (const host_trace *)user;
    memcpy(trace->spikes[layer] + trace->place * n, spikes, n);
}
#endif

size_t host_program_bytes(void);
void host_program(void *memory, const ${frame_type} *frames, int steps, int samples, int first, int last, int32_t *logits,
              uint8_t **spikes);
void host_run_until(void *memory, const ${frame_type} *frames, int steps, int samples, uint32_t margin, int *classes, int *used);

size_t host_program_bytes(void)
{
    return ${prefix}_state_size();
}

/* Samples first..last-1 of frames [T][N][C][H][W]; int32 logits [T][N][K] are each step's contribution. */
void host_program(void *memory, const ${frame_type} *frames, int steps, int samples, int first, int last, int32_t *logits,
              uint8_t **spikes)
{
    ${prefix}_state *const state = (${prefix}_state *)memory;
    int32_t before[${PREFIX}_CLASSES];
    int n, t, k;
#ifdef RHEOBASE_TRACE
    host_trace trace;
    trace.spikes = spikes;
    state->trace = keep;
    state->trace_user = &trace;
#else
    (void)spikes;
#endif
    for (n = first; n < last; ++n) {
        ${prefix}_reset(state);
        memset(before, 0, sizeof before);
        for (t = 0; t < steps; ++t) {
            const size_t place = (size_t)t * (size_t)samples + (size_t)n;
#ifdef RHEOBASE_TRACE
            trace.place = place;
#endif
            ${prefix}_step(state, frames + place * ${PREFIX}_FRAME_SIZE);
            for (k = 0; k < ${PREFIX}_CLASSES; ++k) {
                const int32_t now = ${prefix}_logits(state)[k];
                logits[place * ${PREFIX}_CLASSES + (size_t)k] = now - before[k];
                before[k] = now;
            }
        }
    }
#ifdef RHEOBASE_TRACE
    state->trace = NULL;
    state->trace_user = NULL;
#endif
}

/* Samples of frames [N][T][C][H][W], each until its margin is reached; int classes and steps [N]. */
void host_run_until(void *memory, const ${frame_type} *frames, int steps, int samples, uint32_t margin, int *classes, int *used)
{
    ${prefix}_state *const state = (${prefix}_state *)memory;
    int32_t logits[${PREFIX}_CLASSES];
    int n;
#ifdef RHEOBASE_TRACE
    state->trace = NULL;
#endif
    for (n = 0; n < samples; ++n) {
        classes[n] = ${prefix}_run_until(state, frames + (size_t)n * (size_t)steps * ${PREFIX}_FRAME_SIZE, steps, margin, logits,
                                    used + n);
    }
}
