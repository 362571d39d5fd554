/* Records of event-camera files to separate arrays of x, y, t and p: one function a format.

   Each decodes `n` whole records and returns how many events they held; `state` carries what one block leaves to
   the next (the field names stand in codecs.py, whose NumPy functions compute the same). Coordinates that do not
   fit the sensor are written as they are: the caller checks them. */

#include <stdint.h>

#define OUT uint16_t *restrict x, uint16_t *restrict y, int64_t *restrict t, uint8_t *restrict p

static uint32_t le32(const uint8_t *d)
{
    return d[0] | (uint32_t)d[1] << 8 | (uint32_t)d[2] << 16 | (uint32_t)d[3] << 24;
}

static uint32_t be32(const uint8_t *d)
{
    return d[3] | (uint32_t)d[2] << 8 | (uint32_t)d[1] << 16 | (uint32_t)d[0] << 24;
}

enum { BATCH = 512 };

/* A 32-bit counter of ticks that wraps: state[0] the last raw value, state[1] what the wraps so far add. */
static int64_t unwrap32(uint32_t raw, int64_t *state)
{
    if (state[0] - (int64_t)raw > (int64_t)1 << 31)
        state[1] += (int64_t)1 << 32;
    state[0] = raw;
    return state[1] + raw;
}

/* The first and the second words of `m` records of 8 bytes. */
static inline void split(const uint8_t *data, int64_t m, uint32_t (*get)(const uint8_t *), uint32_t *restrict first,
                         uint32_t *restrict second)
{
    for (int64_t i = 0; i < m; i++) {
        first[i] = get(data + 8 * i);
        second[i] = get(data + 8 * i + 4);
    }
}

/* Times of a batch of raw ones. Where none falls, none wraps. */
static inline void times(const uint32_t *restrict raw, int64_t m, int64_t *state, int64_t *restrict t)
{
    uint32_t falls = state[0] > raw[0];
    for (int64_t i = 1; i < m; i++)
        falls |= raw[i] < raw[i - 1];
    if (falls) {
        for (int64_t i = 0; i < m; i++)
            t[i] = unwrap32(raw[i], state);
    } else {
        const int64_t base = state[1];
        for (int64_t i = 0; i < m; i++)
            t[i] = base + raw[i];
        state[0] = raw[m - 1];
    }
}

/* Keeps the events of `n` whose flag is set, in place; how many these are. */
static int64_t keep(const uint8_t *flags, int64_t n, OUT)
{
    int64_t k = 0;
    for (int64_t i = 0; i < n; i++) {
        x[k] = x[i], y[k] = y[i], t[k] = t[i], p[k] = p[i];
        k += flags[i];
    }
    return k;
}

/* The high bits of a counter of `bits` such bits that loops: state[0] the last value (-1 none), state[1] loops. */
static int64_t next_high(int64_t high, int bits, int64_t *state)
{
    if (state[0] - high > (int64_t)1 << (bits - 1))
        state[1]++;
    state[0] = high;
    return (state[1] << bits) + high;
}

int64_t decode_dat(const uint8_t *data, int64_t n, int64_t *state, OUT)
{
    uint32_t raw[BATCH], word[BATCH];
    for (int64_t first = 0; first < n; first += BATCH) {
        int64_t left = n - first, m = left < BATCH ? left : BATCH;
        split(data + 8 * first, m, le32, raw, word);
        times(raw, m, state, t + first);
        for (int64_t i = 0; i < m; i++)
            x[first + i] = word[i] & 0x3FFF;
        for (int64_t i = 0; i < m; i++)
            y[first + i] = word[i] >> 14 & 0x3FFF;
        for (int64_t i = 0; i < m; i++)
            p[first + i] = word[i] >> 28;
    }
    return n;
}

/* state[2] bits that no polarity event has, [3] x shift, [4] x mask, [5] y shift, [6] y mask, [7] polarity shift,
   [8] polarity of a 0 bit, [9] width - 1, [10] height - 1. */
int64_t decode_aedat2(const uint8_t *data, int64_t n, int64_t *state, OUT)
{
    const uint32_t other = state[2], xm = state[4], ym = state[6], flip = state[8];
    const int xs = state[3], ys = state[5], ps = state[7];
    const uint32_t right = state[9], bottom = state[10];
    uint32_t raw[BATCH], word[BATCH];
    uint8_t flags[BATCH];
    int64_t k = 0;
    for (int64_t first = 0; first < n; first += BATCH, data += 8 * BATCH) {
        int64_t left = n - first, m = left < BATCH ? left : BATCH;
        uint32_t others = 0;
        split(data, m, be32, word, raw);
        times(raw, m, state, t + k);
        for (int64_t i = 0; i < m; i++)
            others |= word[i] & other;
        for (int64_t i = 0; i < m; i++)
            x[k + i] = right - (word[i] >> xs & xm);
        for (int64_t i = 0; i < m; i++)
            y[k + i] = bottom - (word[i] >> ys & ym);
        for (int64_t i = 0; i < m; i++)
            p[k + i] = (word[i] >> ps & 1) ^ flip;
        for (int64_t i = 0; others && i < m; i++)
            flags[i] = !(word[i] & other);
        k += others ? keep(flags, m, x + k, y + k, t + k, p + k) : m;
    }
    return k;
}

/* state[0] what the packet's overflow count adds to time. */
int64_t decode_aedat3(const uint8_t *data, int64_t n, int64_t *state, OUT)
{
    const int64_t base = state[0];
    uint32_t raw[BATCH], word[BATCH];
    uint8_t flags[BATCH];
    int64_t k = 0;
    for (int64_t first = 0; first < n; first += BATCH, data += 8 * BATCH) {
        int64_t left = n - first, m = left < BATCH ? left : BATCH;
        uint32_t valid = 1;
        split(data, m, le32, word, raw);
        for (int64_t i = 0; i < m; i++)
            t[k + i] = base + (raw[i] & 0x7FFFFFFF);
        for (int64_t i = 0; i < m; i++)
            valid &= word[i];
        for (int64_t i = 0; i < m; i++)
            x[k + i] = word[i] >> 17;
        for (int64_t i = 0; i < m; i++)
            y[k + i] = word[i] >> 2 & 0x7FFF;
        for (int64_t i = 0; i < m; i++)
            p[k + i] = word[i] >> 1 & 1;
        for (int64_t i = 0; !valid && i < m; i++)
            flags[i] = word[i] & 1;
        k += valid ? m : keep(flags, m, x + k, y + k, t + k, p + k);
    }
    return k;
}

/* state[0], [1] as in next_high. */
int64_t decode_evt2(const uint8_t *data, int64_t n, int64_t *state, OUT)
{
    int64_t base = state[0] < 0 ? -1 : ((state[1] << 28) + state[0]) << 6, k = 0;
    for (int64_t i = 0; i < n; i++, data += 4) {
        uint32_t word = le32(data), type = word >> 28;
        if (type == 8)
            base = next_high(word & 0xFFFFFFF, 28, state) << 6;
        else if (type < 2 && base >= 0) {
            x[k] = word >> 11 & 0x7FF;
            y[k] = word & 0x7FF;
            t[k] = base + (word >> 22 & 0x3F);
            p[k++] = type;
        }
    }
    return k;
}

/* state[0], [1] as in next_high; [2] whether the half with the type comes first (legacy order). */
int64_t decode_evt21(const uint8_t *data, int64_t n, int64_t *state, OUT)
{
    int64_t base = state[0] < 0 ? -1 : ((state[1] << 28) + state[0]) << 6, k = 0;
    const int head = state[2] ? 0 : 4;
    for (int64_t i = 0; i < n; i++, data += 8) {
        uint32_t word = le32(data + head), valid = le32(data + 4 - head), type = word >> 28;
        if (type == 8)
            base = next_high(word & 0xFFFFFFF, 28, state) << 6;
        else if (type < 2 && base >= 0)
            for (uint32_t left = word >> 11 & 0x7FF; valid; valid >>= 1, left++)
                if (valid & 1) {
                    x[k] = left;
                    y[k] = word & 0x7FF;
                    t[k] = base + (word >> 22 & 0x3F);
                    p[k++] = type;
                }
    }
    return k;
}

/* state[0], [1] as in next_high; [2] time low, [3] y, [4] x of the next vector, [5] its polarity. */
int64_t decode_evt3(const uint8_t *data, int64_t n, int64_t *state, OUT)
{
    int timed = state[0] >= 0;
    int64_t base = timed ? ((state[1] << 12) + state[0]) << 12 : 0, now = base + state[2], k = 0;
    uint32_t row = state[3], left = state[4], polarity = state[5];
    for (int64_t i = 0; i < n; i++, data += 2) {
        uint32_t word = data[0] | (uint32_t)data[1] << 8, valid, width;
        switch (word >> 12) {
        case 0:
            row = word & 0x7FF;
            break;
        case 2:
            x[k] = word & 0x7FF;
            y[k] = row;
            t[k] = now;
            p[k] = word >> 11 & 1;
            k += timed;
            break;
        case 3:
            left = word & 0x7FF;
            polarity = word >> 11 & 1;
            break;
        case 4:
        case 5:
            width = word >> 12 == 4 ? 12 : 8;
            valid = timed ? word & ((1u << width) - 1) : 0;
            for (uint32_t at = left; valid; valid >>= 1, at++) {
                x[k] = at;
                y[k] = row;
                t[k] = now;
                p[k] = polarity;
                k += valid & 1;
            }
            left = (left + width) & 0xFFFF;
            break;
        case 6:
            now = base + (word & 0xFFF);
            break;
        case 8: /* a new value begins at its first tick; a repeated one changes nothing */
            if ((int64_t)(word & 0xFFF) != state[0])
                now = base = next_high(word & 0xFFF, 12, state) << 12;
            if (!timed) {
                timed = 1;
            }
            break;
        default:
            break;
        }
    }
    state[2] = now - base, state[3] = row, state[4] = left, state[5] = polarity;
    return k;
}

/* Whether all events lie on the sensor, are OFF or ON, and none is earlier than `last` or the one before it. */
int all_fine(const uint16_t *x, const uint16_t *y, const int64_t *t, const uint8_t *p, int64_t n, int64_t width,
             int64_t height, int64_t last)
{
    uint16_t most_x = 0, most_y = 0;
    uint8_t most_p = 0;
    int64_t falls = n && t[0] < last;
    for (int64_t i = 0; i < n; i++)
        most_x = x[i] > most_x ? x[i] : most_x;
    for (int64_t i = 0; i < n; i++)
        most_y = y[i] > most_y ? y[i] : most_y;
    for (int64_t i = 0; i < n; i++)
        most_p = p[i] > most_p ? p[i] : most_p;
    for (int64_t i = 1; i < n; i++)
        falls |= t[i] < t[i - 1];
    return n == 0 || (most_x < width && most_y < height && most_p < 2 && !falls);
}
