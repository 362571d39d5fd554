/* rheobase program ${title}
   A network in which every neuron fires at most once, computed event by event in whole numbers: no heap, no floating
   point, no library but memset. The caller owns the state, so any number of instances run side by side.

   Frames are uint8 [${steps}][${channels}][${height}][${width}] (step, channel, row, column); a spike time is a tick, ${ticks} of
   which are one unit of time, up to ${horizon}. ${meaning} */
#ifndef ${PREFIX}_MODEL_H
#define ${PREFIX}_MODEL_H

#include <stddef.h>
#include <stdint.h>

#define ${PREFIX}_STEPS ${steps}
#define ${PREFIX}_INPUTS ${inputs} /* of a frame */
#define ${PREFIX}_CLASSES ${classes}
#define ${PREFIX}_TICKS ${ticks}
#define ${PREFIX}_HORIZON ${horizon}
#define ${PREFIX}_SILENT 65535
#define ${PREFIX}_LAYERS ${count} /* whose spike times the state keeps, the input first */
#define ${PREFIX}_TIMES ${times} /* spike times of all of them */
#define ${PREFIX}_RESULTS ${results}

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint16_t tick, row, y, x; /* a spike, the weights of its channel, and where it lies in the padded map */
} ${prefix}_event;

typedef struct {
    uint16_t tick, row; /* a spike that a neuron sees, and through which weight */
} ${prefix}_arrival;

typedef struct {
    uint16_t times[${PREFIX}_TIMES];
    int32_t result[${PREFIX}_RESULTS]; /* ${result_meaning} */
    uint32_t additions, updates, divisions; /* of the last sample: of weights, of potentials, of crossings */
    ${prefix}_event events[${max_inputs}]; /* from here on: scratch */
    ${prefix}_arrival arrivals[${max_fan_in}];
    uint16_t places[${PREFIX}_HORIZON + 2];
    int32_t sums[${PREFIX}_CLASSES], potentials[${PREFIX}_CLASSES];
} ${prefix}_state;

/* Spike times of one sample's frames, into state->times[0 .. ${PREFIX}_INPUTS - 1]. A sensor that tells time may write them itself. */
void ${prefix}_encode(${prefix}_state *state, const uint8_t *frames);

/* Class of the sample whose spike times were written. */
int ${prefix}_decide(${prefix}_state *state);

/* Both: class of a sample. */
int ${prefix}_run(${prefix}_state *state, const uint8_t *frames);

#ifdef __cplusplus
}
#endif

#endif
