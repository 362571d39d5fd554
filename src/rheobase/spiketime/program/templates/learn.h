/* Learning on the device for ${title}: its last layer, by a delta rule on the spike times of the layer before, in whole numbers.
   The caller owns the learner as well as the state. */
#ifndef ${PREFIX}_LEARN_H
#define ${PREFIX}_LEARN_H

#include "model.h"

#define ${PREFIX}_LEARN_INPUTS ${inputs}
#define ${PREFIX}_LEARN_FRACTION ${fraction} /* bits of fraction that a weight has more than in the program */

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int16_t weight[${PREFIX}_CLASSES * ${PREFIX}_LEARN_INPUTS];
    int32_t membranes[${PREFIX}_CLASSES];
} ${prefix}_learner;

/* Start from the weights of the program. */
void ${prefix}_learner_reset(${prefix}_learner *learner);

/* Class of the sample that the state has run (${prefix}_run), by the learned weights. */
int ${prefix}_learner_decide(${prefix}_learner *learner, const ${prefix}_state *state);

/* Learn that this sample, decided just before, is of class `label`: if its membrane is not `margin` above all others, the
   weights of its spikes rise by their earliness (in steps of 8 bits) / 2^shift, and those of the greatest other class fall. 1 if anything changed. */
int ${prefix}_learner_learn(${prefix}_learner *learner, const ${prefix}_state *state, int label, int32_t margin, int shift);

#ifdef __cplusplus
}
#endif

#endif
