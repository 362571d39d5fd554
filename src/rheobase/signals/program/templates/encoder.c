/* ${title} */
#include "encoder.h"

#include <string.h>

#define CHANNELS ${channels}

${constants}

/* floor((v + 2^(k-1)) / 2^k) of a sum of products below 2^62; the offset keeps the shift from negative numbers. */
static inline int64_t rounded(int64_t v, int k)
{
    const int64_t offset = INT64_C(1) << 62;
    return (int64_t)((uint64_t)(v + (INT64_C(1) << k >> 1) + offset) >> k) - (offset >> k);
}

${front}

/* A value of a channel to a spike: the base follows the value in steps of a threshold that grows where spikes repeat. */
static int32_t spike(${prefix}_encoder *encoder, int c, int32_t value)
{
    const uint32_t threshold = (uint32_t)encoder->threshold[c];
    const int32_t moved = value * scale[c] - encoder->base[c];
    const int32_t s = (moved > (int32_t)threshold) - (moved < -(int32_t)threshold);
    const int repeats = s != 0 && s == encoder->last[c];
    const uint64_t product = (uint64_t)threshold * (repeats ? GROWTH : SHRINKAGE);
    const uint64_t next = (product + (1u << 29)) >> 30;
    encoder->base[c] += ${step};
    if (repeats) {
        encoder->threshold[c] = next < (uint64_t)most[c] ? (int32_t)next : most[c];
    } else {
        encoder->threshold[c] = next > (uint64_t)least[c] ? (int32_t)next : least[c];
    }
    encoder->last[c] = (int8_t)s;
    return s;
}

static void leave(${prefix}_encoder *encoder, int8_t *frame)
{
    int c;
    for (c = 0; c < CHANNELS; ++c) {
        frame[c] = (int8_t)((encoder->sum[c] > 0) - (encoder->sum[c] < 0));
        encoder->sum[c] = 0;
    }
    encoder->pooled = 0;
}

void ${prefix}_encoder_reset(${prefix}_encoder *encoder)
{
    int c;
    memset(encoder, 0, sizeof *encoder);
    for (c = 0; c < CHANNELS; ++c) {
        encoder->threshold[c] = start[c];
    }
${reset}
}

int ${prefix}_encoder_push(${prefix}_encoder *encoder, int16_t sample, int8_t *frame)
{
    int32_t values[CHANNELS];
    int c;
    if (!front(encoder, sample, values)) {
        return 0;
    }
    for (c = 0; c < CHANNELS; ++c) {
        if (encoder->started) {
            encoder->sum[c] = (int16_t)(encoder->sum[c] + spike(encoder, c, values[c]));
        } else {
            encoder->base[c] = values[c] * scale[c];
        }
    }
    encoder->started = 1;
    if (++encoder->pooled < ${pool}) {
        return 0;
    }
    leave(encoder, frame);
    return 1;
}

int ${prefix}_encoder_finish(${prefix}_encoder *encoder, int8_t *frame)
{
    if (encoder->pooled == 0) {
        return 0;
    }
    leave(encoder, frame);
    return 1;
}
