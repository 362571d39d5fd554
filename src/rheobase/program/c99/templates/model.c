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

void ${prefix}_step(${prefix}_state *state, const ${frame_type} *frame)
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

uint32_t ${prefix}_margin(const ${prefix}_state *state)
{
    const int best = ${prefix}_argmax(state);
    uint32_t least = UINT32_MAX;
    int k;
    for (k = 0; k < ${PREFIX}_CLASSES; ++k) {
        const uint32_t behind = (uint32_t)state->logits[best] - (uint32_t)state->logits[k]; /* at least 0, so it does not wrap */
        if (k != best && behind < least) {
            least = behind;
        }
    }
    return least;
}

int ${prefix}_run_until(${prefix}_state *state, const ${frame_type} *frames, int steps, uint32_t margin, int32_t *logits,
                        int *used)
{
    int t = 0;
    ${prefix}_reset(state);
    while (t < steps) {
        ${prefix}_step(state, frames);
        frames += ${PREFIX}_FRAME_SIZE;
        ++t;
        if (margin != UINT32_MAX && ${prefix}_margin(state) >= margin) {
            break;
        }
    }
    if (used != NULL) {
        *used = t;
    }
    memcpy(logits, state->logits, sizeof state->logits);
    return ${prefix}_argmax(state);
}

int ${prefix}_run(${prefix}_state *state, const ${frame_type} *frames, int steps, int32_t *logits)
{
    return ${prefix}_run_until(state, frames, steps, UINT32_MAX, logits, NULL);
}

int ${prefix}_version(void)
{
    return ${version};
}

const char *${prefix}_hash(void)
{
    return "${digest}";
}
