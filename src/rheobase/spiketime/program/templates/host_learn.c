/* Many samples in one call, for the host only: it is compiled beside model.c and learn.c and is no part of what is shipped. */
#include "learn.h"

size_t host_state_bytes(void);
size_t host_learner_bytes(void);
void host_start(void *learner);
void host_learn(void *learner, void *state, const uint8_t *frames, const int32_t *labels, int samples, int learn, int32_t margin,
                int shift, int32_t *classes);

size_t host_state_bytes(void)
{
    return sizeof(${prefix}_state);
}

size_t host_learner_bytes(void)
{
    return sizeof(${prefix}_learner);
}

void host_start(void *learner)
{
    ${prefix}_learner_reset((${prefix}_learner *)learner);
}

/* Samples uint8 [N][T][C][H][W]; labels and classes [N]. */
void host_learn(void *learner, void *state, const uint8_t *frames, const int32_t *labels, int samples, int learn, int32_t margin,
                int shift, int32_t *classes)
{
    ${prefix}_learner *const l = (${prefix}_learner *)learner;
    ${prefix}_state *const s = (${prefix}_state *)state;
    int n;
    for (n = 0; n < samples; ++n) {
        (void)${prefix}_run(s, frames + (size_t)n * ${PREFIX}_STEPS * ${PREFIX}_INPUTS);
        classes[n] = ${prefix}_learner_decide(l, s);
        if (learn) {
            (void)${prefix}_learner_learn(l, s, labels[n], margin, shift);
        }
    }
}
