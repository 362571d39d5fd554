/* A dense network with 8-bit weights and activations in the way of CMSIS-NN, for the host: windows are gathered as 16-bit columns
 * (im2col), two columns at a time meet two rows of weights in products of pairs, and sums are scaled by a multiplier and a shift.
 * A compiler makes vectors of it. Maps are channel-last. It is timed beside spiking programs (engine.py).
 */
#include <stdint.h>
#include <string.h>

/* round(sum * multiplier / 2^31 / 2^shift), clipped; ReLU is the clip at 0. */
static int8_t requantised(int32_t sum, int32_t multiplier, int32_t shift)
{
    const int64_t product = (int64_t)sum * multiplier + ((int64_t)1 << (30 + shift));
    const int32_t value = (int32_t)(product >> (31 + shift));
    return (int8_t)(value < 0 ? 0 : value > 127 ? 127 : value);
}

static void column_of(const int8_t *input, int32_t size, int32_t channels, int32_t y, int32_t x, int16_t *column)
{
    for (int32_t ky = -1; ky <= 1; ++ky)
        for (int32_t kx = -1; kx <= 1; ++kx, column += channels) {
            const int inside = y + ky >= 0 && y + ky < size && x + kx >= 0 && x + kx < size;
            const int8_t *const from = input + ((int64_t)(y + ky) * size + x + kx) * channels;
            for (int32_t c = 0; c < channels; ++c)
                column[c] = inside ? from[c] : 0;
        }
}

/* 3x3 convolution, padding 1, with ReLU; weights are [out][9 * channels], `out` even; `columns` has room for two. */
void conv3x3_s8(const int8_t *input, const int8_t *weights, const int32_t *bias, int8_t *output, int32_t size, int32_t channels,
                int32_t out, int32_t multiplier, int32_t shift, int16_t *columns)
{
    const int32_t rows = 9 * channels;
    for (int32_t place = 0; place < size * size; place += 2) {
        int16_t *const first = columns, *const second = columns + rows;
        column_of(input, size, channels, place / size, place % size, first);
        column_of(input, size, channels, (place + 1) / size, (place + 1) % size, second);
        for (int32_t o = 0; o < out; o += 2) {
            const int8_t *const w0 = weights + (int64_t)o * rows, *const w1 = w0 + rows;
            int32_t s00 = bias[o], s01 = bias[o], s10 = bias[o + 1], s11 = bias[o + 1];
            for (int32_t i = 0; i < rows; ++i) {
                s00 += (int32_t)w0[i] * first[i];
                s01 += (int32_t)w0[i] * second[i];
                s10 += (int32_t)w1[i] * first[i];
                s11 += (int32_t)w1[i] * second[i];
            }
            output[(int64_t)place * out + o] = requantised(s00, multiplier, shift);
            output[(int64_t)place * out + o + 1] = requantised(s10, multiplier, shift);
            if (place + 1 < size * size) {
                output[(int64_t)(place + 1) * out + o] = requantised(s01, multiplier, shift);
                output[(int64_t)(place + 1) * out + o + 1] = requantised(s11, multiplier, shift);
            }
        }
    }
}

/* Means over 2x2. */
void avgpool2_s8(const int8_t *input, int8_t *output, int32_t size, int32_t channels)
{
    for (int32_t y = 0; y < size / 2; ++y)
        for (int32_t x = 0; x < size / 2; ++x)
            for (int32_t c = 0; c < channels; ++c) {
                const int8_t *const at = input + ((int64_t)2 * y * size + 2 * x) * channels + c;
                *output++ = (int8_t)((at[0] + at[channels] + at[size * channels] + at[(size + 1) * channels] + 2) >> 2);
            }
}

void linear_s8(const int8_t *input, const int8_t *weights, int32_t *output, int32_t features, int32_t out)
{
    for (int32_t o = 0; o < out; ++o) {
        int32_t sum = 0;
        for (int32_t i = 0; i < features; ++i)
            sum += (int32_t)weights[(int64_t)o * features + i] * input[i];
        output[o] = sum;
    }
}
