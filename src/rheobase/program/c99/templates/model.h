/* ${title}
   An integer spiking network: no heap, no floating point, no library but memcpy and memset.
   The caller owns the state, so any number of instances run side by side.

   A step takes one frame of event counts, ${frame_type} [${channels}][${height}][${width}] (channel, row, column), and adds to the
   ${classes} logits. The class after any step is the largest logit, ties to the lowest class. It was made for ${steps} steps. */
#ifndef ${PREFIX}_MODEL_H
#define ${PREFIX}_MODEL_H

#include <stddef.h>
#include <stdint.h>

#define ${PREFIX}_FRAME_SIZE ${frame_size}
#define ${PREFIX}_CLASSES ${classes}
#define ${PREFIX}_STEPS ${steps}
#define ${PREFIX}_MAX_STEPS ${max_steps} /* more steps between resets could overflow a logit, or are not defined */
#define ${PREFIX}_NEURON_LAYERS ${neuron_layers}
#define ${PREFIX}_MEMBRANE_BYTES ${membrane_bytes} /* live between steps: membranes and logits */
#define ${PREFIX}_SCRATCH_BYTES ${scratch_bytes} /* dead between steps */
#define ${PREFIX}_EXIT_MARGIN ${margin}u /* calibrated for ${prefix}_run_until; 4294967295 never stops early */

#ifdef __cplusplus
extern "C" {
#endif

#ifdef RHEOBASE_TRACE
/* Called with each neuron layer's spikes, a byte each (ternary ones int8) [H][W][C] (channel-last), layers counted from 0. */
typedef void (*${prefix}_trace_fn)(void *user, int layer, const uint8_t *spikes, size_t n);
#endif

typedef struct ${prefix}_state {
${state}
#ifdef RHEOBASE_TRACE
    ${prefix}_trace_fn trace;
    void *trace_user;
#endif
} ${prefix}_state;

size_t ${prefix}_state_size(void);

/* Membranes and logits to zero. Call before the first step and between samples. A trace stays as it is set. */
void ${prefix}_reset(${prefix}_state *state);

/* One step on one frame of ${PREFIX}_FRAME_SIZE bytes. */
void ${prefix}_step(${prefix}_state *state, const ${frame_type} *frame);

/* Running sums since the reset, ${PREFIX}_CLASSES of them. */
const int32_t *${prefix}_logits(const ${prefix}_state *state);

/* Class with the largest logit, ties to the lowest. */
int ${prefix}_argmax(const ${prefix}_state *state);

/* Reset, `steps` steps (at most ${PREFIX}_MAX_STEPS) on consecutive frames, logits out; returns the class. */
int ${prefix}_run(${prefix}_state *state, const ${frame_type} *frames, int steps, int32_t *logits);

/* Largest logit minus the next: how clear the decision is. */
uint32_t ${prefix}_margin(const ${prefix}_state *state);

/* As run, but stops after the first step whose margin is at least `margin`; `used` (unless NULL) gets the number of steps. */
int ${prefix}_run_until(${prefix}_state *state, const ${frame_type} *frames, int steps, uint32_t margin, int32_t *logits,
                        int *used);

/* Version of the program's format. */
int ${prefix}_version(void);

/* SHA-256 of the program this file was made from, in hexadecimal. */
const char *${prefix}_hash(void);

#ifdef __cplusplus
}
#endif

#endif
