/* Learning on the device for ${title}. */
#include "learn.h"

#define FIRST ${first} /* of the layer before the last in state->times */
#define REACH ${reach}
#define BOUND (127 << ${PREFIX}_LEARN_FRACTION)

${start}

void ${prefix}_learner_reset(${prefix}_learner *learner)
{
    uint32_t i;
    for (i = 0; i < ${PREFIX}_CLASSES * ${PREFIX}_LEARN_INPUTS; ++i) {
        learner->weight[i] = (int16_t)(start[i] * (1 << ${PREFIX}_LEARN_FRACTION));
    }
}

int ${prefix}_learner_decide(${prefix}_learner *learner, const ${prefix}_state *state)
{
    const uint16_t *const times = state->times + FIRST;
    int k, i, chosen = 0;
    for (k = 0; k < ${PREFIX}_CLASSES; ++k) {
        const int16_t *const weight = learner->weight + (size_t)k * ${PREFIX}_LEARN_INPUTS;
        int32_t sum = 0;
        for (i = 0; i < ${PREFIX}_LEARN_INPUTS; ++i) {
            if (times[i] != ${PREFIX}_SILENT) {
                sum += weight[i] * (REACH - times[i]);
            }
        }
        learner->membranes[k] = sum;
        if (sum > learner->membranes[chosen]) {
            chosen = k;
        }
    }
    return chosen;
}

int ${prefix}_learner_learn(${prefix}_learner *learner, const ${prefix}_state *state, int label, int32_t margin, int shift)
{
    const uint16_t *const times = state->times + FIRST;
    int16_t *const up = learner->weight + (size_t)label * ${PREFIX}_LEARN_INPUTS;
    int16_t *down;
    int k, i, rival = label == 0;
    for (k = 0; k < ${PREFIX}_CLASSES; ++k) {
        if (k != label && learner->membranes[k] > learner->membranes[rival]) {
            rival = k;
        }
    }
    if (learner->membranes[label] - learner->membranes[rival] >= margin) {
        return 0;
    }
    down = learner->weight + (size_t)rival * ${PREFIX}_LEARN_INPUTS;
    for (i = 0; i < ${PREFIX}_LEARN_INPUTS; ++i) {
        if (times[i] != ${PREFIX}_SILENT) {
            const int32_t step = ((REACH - times[i]) * (1 << ${PREFIX}_LEARN_FRACTION) / ${PREFIX}_TICKS) >> shift; /* never negative */
            const int32_t more = up[i] + step, less = down[i] - step;
            up[i] = (int16_t)(more > BOUND ? BOUND : more);
            down[i] = (int16_t)(less < -BOUND ? -BOUND : less);
        }
    }
    return 1;
}
