/* Records of event-camera files to separate arrays of x, y, t and p: one function a format.

   Each decodes `n` whole records and returns how many events they held; `state` carries what one block leaves to
   the next (the field names stand in codecs.py, whose NumPy functions compute the same). Coordinates that do not
   fit the sensor are written as they are: the caller checks them. */

#include <stdint.h>

#define OUT uint16_t *x, uint16_t *y, int64_t *t, uint8_t *p

static uint32_t le32(const uint8_t *d)
{
    return d[0] | (uint32_t)d[1] << 8 | (uint32_t)d[2] << 16 | (uint32_t)d[3] << 24;
}

static uint32_t be32(const uint8_t *d)
{
    return d[3] | (uint32_t)d[2] << 8 | (uint32_t)d[1] << 16 | (uint32_t)d[0] << 24;
}

/* A 32-bit counter of ticks that wraps: state[0] the last raw value, state[1] what the wraps so far add. */
static int64_t unwrap32(uint32_t raw, int64_t *state)
{
    if (state[0] - (int64_t)raw > (int64_t)1 << 31)
        state[1] += (int64_t)1 << 32;
    state[0] = raw;
    return state[1] + raw;
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
    for (int64_t i = 0; i < n; i++, data += 8) {
        uint32_t word = le32(data + 4);
        t[i] = unwrap32(le32(data), state);
        x[i] = word & 0x3FFF;
        y[i] = word >> 14 & 0x3FFF;
        p[i] = word >> 28;
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
    int64_t k = 0;
    for (int64_t i = 0; i < n; i++, data += 8) {
        uint32_t address = be32(data);
        x[k] = right - (address >> xs & xm);
        y[k] = bottom - (address >> ys & ym);
        t[k] = unwrap32(be32(data + 4), state);
        p[k] = (address >> ps & 1) ^ flip;
        k += !(address & other);
    }
    return k;
}

/* state[0] what the packet's overflow count adds to time. */
int64_t decode_aedat3(const uint8_t *data, int64_t n, int64_t *state, OUT)
{
    const int64_t base = state[0];
    int64_t k = 0;
    for (int64_t i = 0; i < n; i++, data += 8) {
        uint32_t word = le32(data);
        x[k] = word >> 17;
        y[k] = word >> 2 & 0x7FFF;
        t[k] = base + (le32(data + 4) & 0x7FFFFFFF);
        p[k] = word >> 1 & 1;
        k += word & 1;
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
