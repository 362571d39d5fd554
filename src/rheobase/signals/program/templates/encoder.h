/* ${title}
   From 16-bit samples to the frames that the network takes: no heap, no floating point, no library but memset.
   Samples are of one channel at ${sampling} Hz; a frame is int8 [${channels}], spikes of -1, 0 and 1. The caller owns the state. */
#ifndef ${PREFIX}_ENCODER_H
#define ${PREFIX}_ENCODER_H

#include <stddef.h>
#include <stdint.h>

#define ${PREFIX}_ENCODER_CHANNELS ${channels}
#define ${PREFIX}_ENCODER_POOL ${pool} /* values of a channel whose spikes become one frame */

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ${prefix}_encoder {
    int32_t base[${channels}];
    int32_t threshold[${channels}];
    int16_t sum[${channels}]; /* of the spikes of the frame under way */
    int8_t last[${channels}];
    int8_t started;
    int16_t pooled;
${state}
} ${prefix}_encoder;

/* Before the first sample. */
void ${prefix}_encoder_reset(${prefix}_encoder *encoder);

/* Take the next sample; 1 if it completes a frame, which is then in `frame`, else 0. */
int ${prefix}_encoder_push(${prefix}_encoder *encoder, int16_t sample, int8_t *frame);

/* After the last sample: 1 if a frame was under way, which is then in `frame`, else 0. */
int ${prefix}_encoder_finish(${prefix}_encoder *encoder, int8_t *frame);

#ifdef __cplusplus
}
#endif

#endif
