/* The convolution 32 -> 32, 8x8, 3x3, padding 1, in dense forms that spiking kernels are compared with. KIND picks one:
     0  plain C, int8 weights and inputs
     1  as CMSIS-NN does it: windows widened to 16 bits, two places by two channels at a time, two products an instruction
     2  one-bit weights and spikes in words: AND, carry-save adders, population count
   Weights and inputs are those that mcu.py wrote into memory: int8 weights [32][3][3][32], uint8 input [8][8][32].
   Prints the clock ticks and a sum over all results, by which the forms are compared. Kind 2 reads weights as their signs. */
#include <string.h>

#include "board.h"

#define C 32
#define SIZE 8
#define K 3

#define WEIGHTS ((const int8_t *)(uintptr_t)FRAMES)
#define INPUT ((const uint8_t *)(uintptr_t)FRAMES + C * K * K * C)

static int16_t sums[SIZE * SIZE * C];

#if KIND == 0
static void convolve(const uint8_t *input, const int8_t *weights)
{
    int32_t y, x, o, u, v, c;
    for (y = 0; y < SIZE; ++y) {
        for (x = 0; x < SIZE; ++x) {
            for (o = 0; o < C; ++o) {
                int32_t sum = 0;
                for (u = 0; u < K; ++u) {
                    for (v = 0; v < K; ++v) {
                        const int32_t row = y + u - 1, column = x + v - 1;
                        if (row >= 0 && row < SIZE && column >= 0 && column < SIZE) {
                            for (c = 0; c < C; ++c) {
                                sum += input[(row * SIZE + column) * C + c] * weights[((o * K + u) * K + v) * C + c];
                            }
                        }
                    }
                }
                sums[(y * SIZE + x) * C + o] = (int16_t)sum;
            }
        }
    }
}
#elif KIND == 1
/* Two signed products and their sum onto c; bytes 0 and 2, and bytes 1 and 3, to halves of a word. */
static inline int32_t smlad(uint32_t a, uint32_t b, int32_t c)
{
    int32_t sum;
    __asm__("smlad %0, %1, %2, %3" : "=r"(sum) : "r"(a), "r"(b), "r"(c));
    return sum;
}

static inline uint32_t even(uint32_t a)
{
    uint32_t halves;
    __asm__("sxtb16 %0, %1" : "=r"(halves) : "r"(a));
    return halves;
}

static inline uint32_t odd(uint32_t a)
{
    uint32_t halves;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(halves) : "r"(a));
    return halves;
}

static uint32_t windows[2][K * K * C / 2]; /* of two output places, 16 bits a value */

static void widen(const uint8_t *input, int32_t y, int32_t x, uint32_t *window)
{
    int32_t u, v, c;
    for (u = -1; u <= 1; ++u) {
        for (v = -1; v <= 1; ++v, window += C / 2) {
            if (y + u < 0 || y + u >= SIZE || x + v < 0 || x + v >= SIZE) {
                memset(window, 0, C * 2);
                continue;
            }
            for (c = 0; c < C / 4; ++c) {
                const uint32_t four = ((const uint32_t *)(const void *)(input + ((y + u) * SIZE + x + v) * C))[c];
                window[2 * c] = even(four);
                window[2 * c + 1] = odd(four);
            }
        }
    }
}

static void convolve(const uint8_t *input, const int8_t *weights)
{
    int32_t y, x, o, i;
    for (y = 0; y < SIZE; ++y) {
        for (x = 0; x < SIZE; x += 2) {
            int16_t *const out = sums + (y * SIZE + x) * C;
            widen(input, y, x, windows[0]);
            widen(input, y, x + 1, windows[1]);
            for (o = 0; o < C; o += 2) {
                const uint32_t *first = (const uint32_t *)(const void *)(weights + o * K * K * C);
                const uint32_t *second = first + K * K * C / 4;
                const uint32_t *left = windows[0], *right = windows[1];
                int32_t a = 0, b = 0, c = 0, d = 0;
                for (i = 0; i < K * K * C / 4; ++i, left += 2, right += 2) {
                    const uint32_t f = *first++, s = *second++;
                    const uint32_t f_even = even(f), f_odd = odd(f), s_even = even(s), s_odd = odd(s);
                    a = smlad(f_odd, left[1], smlad(f_even, left[0], a));
                    b = smlad(s_odd, left[1], smlad(s_even, left[0], b));
                    c = smlad(f_odd, right[1], smlad(f_even, right[0], c));
                    d = smlad(s_odd, right[1], smlad(s_even, right[0], d));
                }
                out[o] = (int16_t)a;
                out[o + 1] = (int16_t)b;
                out[C + o] = (int16_t)c;
                out[C + o + 1] = (int16_t)d;
            }
        }
    }
}
#else
static uint32_t spikes[SIZE + 2][SIZE + 2]; /* a word a place, a border of zeros */
static uint32_t signs[C][K * K];

#define CARRY_SAVE(high, low, a, b, c)              \
    do {                                            \
        const uint32_t first = (a), second = (b);   \
        const uint32_t third = (c);                 \
        const uint32_t parity = first ^ second;     \
        (high) = (first & second) | (parity & third); \
        (low) = parity ^ third;                     \
    } while (0)

/* Ones of nine words. */
static inline int32_t ones(const uint32_t *w, const uint32_t *x)
{
    uint32_t a, b, c, two_a, two_b, two_c, two_d, four_a, four_b, eight;
    CARRY_SAVE(two_a, a, w[0] & x[0], w[1] & x[1], w[2] & x[2]);
    CARRY_SAVE(two_b, b, w[3] & x[3], w[4] & x[4], w[5] & x[5]);
    CARRY_SAVE(two_c, c, w[6] & x[6], w[7] & x[7], w[8] & x[8]);
    CARRY_SAVE(two_d, a, a, b, c);
    CARRY_SAVE(four_a, b, two_a, two_b, two_c);
    four_b = b & two_d;
    b ^= two_d;
    eight = four_a & four_b;
    four_a ^= four_b;
    /* fields of 2 bits hold up to 3 (a + 2b), of 4 bits up to 15: both halves of each plane pair are added */
    {
        const uint32_t low = (a & 0x55555555u) + 2 * (b & 0x55555555u);
        const uint32_t high = ((a >> 1) & 0x55555555u) + (b & 0xaaaaaaaau);
        const uint32_t four_low = (four_a & 0x55555555u) + 2 * (eight & 0x55555555u);
        const uint32_t four_high = ((four_a >> 1) & 0x55555555u) + (eight & 0xaaaaaaaau);
        uint32_t n = (low & 0x33333333u) + ((low >> 2) & 0x33333333u) + (high & 0x33333333u) + ((high >> 2) & 0x33333333u);
        uint32_t m = (four_low & 0x33333333u) + ((four_low >> 2) & 0x33333333u) + (four_high & 0x33333333u) +
                     ((four_high >> 2) & 0x33333333u);
        n = (n & 0x0f0f0f0fu) + ((n >> 4) & 0x0f0f0f0fu);
        m = (m & 0x0f0f0f0fu) + ((m >> 4) & 0x0f0f0f0fu);
        return (int32_t)(((n + 4 * m) & 0x00ff00ffu) * 0x00010001u >> 16) + (int32_t)(((n + 4 * m) >> 8 & 0x00ff00ffu) * 0x00010001u >> 16);
    }
}

static void convolve(const uint8_t *input, const int8_t *weights)
{
    int32_t y, x, o, i;
    (void)weights;
    for (y = 0; y < SIZE; ++y) {
        for (x = 0; x < SIZE; ++x) {
            uint32_t word = 0;
            for (i = 0; i < C; ++i) {
                word |= (uint32_t)*input++ << i;
            }
            spikes[y + 1][x + 1] = word;
        }
    }
    for (y = 0; y < SIZE; ++y) {
        for (x = 0; x < SIZE; ++x) {
            uint32_t window[K * K];
            int32_t all = 0;
            static const uint32_t every[K * K] = {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u};
            for (i = 0; i < K * K; ++i) {
                window[i] = spikes[y + i / K][x + i % K];
            }
            all = ones(every, window);
            for (o = 0; o < C; ++o) {
                sums[(y * SIZE + x) * C + o] = (int16_t)(2 * ones(signs[o], window) - all);
            }
        }
    }
}

static void prepare(void)
{
    int32_t o, i, c;
    for (o = 0; o < C; ++o) {
        for (i = 0; i < K * K; ++i) {
            for (c = 0; c < C; ++c) {
                signs[o][i] |= (uint32_t)(WEIGHTS[(o * K * K + i) * C + c] > 0) << c;
            }
        }
    }
}
#endif

int main(void)
{
    uint32_t before, ticks, check = 0;
    int32_t i;
#if KIND == 2
    prepare();
#endif
    board_start_clock();
    before = board_clock();
    convolve(INPUT, WEIGHTS);
    ticks = board_clock() - before;
    for (i = 0; i < SIZE * SIZE * C; ++i) {
        check = check * 31u + (uint32_t)(int32_t)sums[i];
    }
    print_number("\nticks ", ticks);
    print_number("\ncheck ", check);
    board_print("\n");
    return 0;
}
