/* The sequential encoders: one inner function each, over a few lanes (channels) at a time.

   Signals are [L, W] with time first, so neighbouring lanes are neighbours in memory and the loop over them
   vectorises, while the loop over time cannot: every step waits for the one before. State is kept in rows of W and
   carried from chunk to chunk. Every expression is rounded as NumPy rounds it (-ffp-contract=off: no fused
   multiply-adds), so results equal those of the plain functions bit for bit. */

#include <math.h>
#include <stdint.h>

enum { WIDE = 32, NARROW = 4 };

#define INNER static inline __attribute__((always_inline)) void
#define LANES for (int k = 0; k < width; k++)

/* Runs `inner(w, width)` over all lanes: WIDE at a time, then NARROW, then one by one. The widths are constants, so
   that each becomes a loop of its own. */
#define OVER_LANES(inner)                                                                                              \
    do {                                                                                                               \
        int64_t w = 0;                                                                                                 \
        for (; w + WIDE <= W; w += WIDE)                                                                               \
            inner(w, WIDE);                                                                                            \
        for (; w + NARROW <= W; w += NARROW)                                                                           \
            inner(w, NARROW);                                                                                          \
        for (; w < W; w++)                                                                                             \
            inner(w, 1);                                                                                               \
    } while (0)

/* +1 above base + threshold, -1 below base - threshold, else 0. */
static inline double compare(double x, double base, double threshold)
{
    return (x > base + threshold ? 1.0 : 0.0) - (x < base - threshold ? 1.0 : 0.0);
}

/* state rows: base, last spike, and the threshold (or, where it follows the amplitude, the mean of |x|) */
INNER tae_lanes(const double *x, int64_t L, int64_t W, double alpha, double least, double most, double gain,
                double decay, int follow, int jump, double *state, int8_t *s, const int width)
{
    double base[WIDE], last[WIDE], level[WIDE], spike[WIDE];
    LANES base[k] = state[k], last[k] = state[W + k], level[k] = state[2 * W + k];
    for (int64_t n = 0; n < L; n++, x += W, s += W) {
        LANES {
            if (follow)
                level[k] += decay * (fabs(x[k]) - level[k]);
            double threshold = follow ? gain * level[k] + least : level[k];
            spike[k] = compare(x[k], base[k], threshold);
            if (jump)
                base[k] = spike[k] != 0.0 ? x[k] : base[k];
            else
                base[k] += threshold * spike[k];
            if (!follow) {
                double grown = threshold * alpha, shrunk = threshold / alpha;
                grown = grown < most ? grown : most;
                shrunk = shrunk > least ? shrunk : least;
                level[k] = spike[k] * last[k] > 0.0 ? grown : shrunk;
            }
            last[k] = spike[k];
        }
        LANES s[k] = (int8_t)spike[k];
    }
    LANES state[k] = base[k], state[W + k] = last[k], state[2 * W + k] = level[k];
}

void tae(const double *x, int64_t L, int64_t W, double alpha, double least, double most, double gain, double decay,
         int64_t follow, int64_t jump, double *state, int8_t *s)
{
#define RUN(follow, jump, w, width)                                                                                    \
    tae_lanes(x + (w), L, W, alpha, least, most, gain, decay, follow, jump, state + (w), s + (w), width)
#define PLAIN(w, width) RUN(0, 0, w, width)
#define JUMP(w, width) RUN(0, 1, w, width)
#define FOLLOW(w, width) RUN(1, 0, w, width)
#define BOTH(w, width) RUN(1, 1, w, width)
    if (follow && jump)
        OVER_LANES(BOTH);
    else if (follow)
        OVER_LANES(FOLLOW);
    else if (jump)
        OVER_LANES(JUMP);
    else
        OVER_LANES(PLAIN);
}

/* The decoder of the plain form: the encoder's own recursion, driven by the spikes. Same state. */
INNER tae_decode_lanes(const int8_t *s, int64_t L, int64_t W, double alpha, double least, double most, double *state,
                       double *x, const int width)
{
    double base[WIDE], last[WIDE], threshold[WIDE];
    LANES base[k] = state[k], last[k] = state[W + k], threshold[k] = state[2 * W + k];
    for (int64_t n = 0; n < L; n++, x += W, s += W)
        LANES {
            double spike = s[k], grown = threshold[k] * alpha, shrunk = threshold[k] / alpha;
            grown = grown < most ? grown : most;
            shrunk = shrunk > least ? shrunk : least;
            base[k] += threshold[k] * spike;
            threshold[k] = spike * last[k] > 0.0 ? grown : shrunk;
            last[k] = spike;
            x[k] = base[k];
        }
    LANES state[k] = base[k], state[W + k] = last[k], state[2 * W + k] = threshold[k];
}

void tae_decode(const int8_t *s, int64_t L, int64_t W, double alpha, double least, double most, double *state,
                double *x)
{
#define DECODE(w, width) tae_decode_lanes(s + (w), L, W, alpha, least, most, state + (w), x + (w), width)
    OVER_LANES(DECODE);
}

/* state: base */
INNER step_forward_lanes(const double *x, int64_t L, int64_t W, double threshold, double *state, int8_t *s,
                         const int width)
{
    double base[WIDE], spike[WIDE];
    LANES base[k] = state[k];
    for (int64_t n = 0; n < L; n++, x += W, s += W) {
        LANES {
            spike[k] = compare(x[k], base[k], threshold);
            base[k] += threshold * spike[k];
        }
        LANES s[k] = (int8_t)spike[k];
    }
    LANES state[k] = base[k];
}

void step_forward(const double *x, int64_t L, int64_t W, double threshold, double *state, int8_t *s)
{
#define FORWARD(w, width) step_forward_lanes(x + (w), L, W, threshold, state + (w), s + (w), width)
    OVER_LANES(FORWARD);
}

/* state: the level last sent */
INNER send_on_delta_lanes(const double *x, int64_t L, int64_t W, double delta, int jump, double *state, int8_t *s,
                          const int width)
{
    double sent[WIDE], spike[WIDE];
    LANES sent[k] = state[k];
    for (int64_t n = 0; n < L; n++, x += W, s += W) {
        LANES {
            double change = x[k] - sent[k];
            spike[k] = (change >= delta ? 1.0 : 0.0) - (change <= -delta ? 1.0 : 0.0);
            if (jump)
                sent[k] = spike[k] != 0.0 ? x[k] : sent[k];
            else
                sent[k] += delta * spike[k];
        }
        LANES s[k] = (int8_t)spike[k];
    }
    LANES state[k] = sent[k];
}

void send_on_delta(const double *x, int64_t L, int64_t W, double delta, int64_t jump, double *state, int8_t *s)
{
#define SEND_JUMP(w, width) send_on_delta_lanes(x + (w), L, W, delta, 1, state + (w), s + (w), width)
#define SEND_STEP(w, width) send_on_delta_lanes(x + (w), L, W, delta, 0, state + (w), s + (w), width)
    if (jump)
        OVER_LANES(SEND_JUMP);
    else
        OVER_LANES(SEND_STEP);
}

/* The first `past` of the L rows are history: they are averaged over and have no spikes. Row 0 has nothing before it
   and is its own base. The mean is summed anew each time, oldest first, so that it depends on no chunking. */
INNER moving_window_lanes(const double *x, int64_t L, int64_t W, double threshold, int64_t window, int64_t past,
                          int8_t *s, const int width)
{
    double sum[WIDE];
    for (int64_t n = past; n < L; n++, s += W) {
        int64_t count = n < window ? n : window;
        LANES sum[k] = 0.0;
        for (int64_t j = n - count; j < n; j++)
            LANES sum[k] += x[j * W + k];
        LANES s[k] = count ? (int8_t)compare(x[n * W + k], sum[k] / (double)count, threshold) : 0;
    }
}

void moving_window(const double *x, int64_t L, int64_t W, double threshold, int64_t window, int64_t past, int8_t *s)
{
#define WINDOW(w, width) moving_window_lanes(x + (w), L, W, threshold, window, past, s + (w), width)
    OVER_LANES(WINDOW);
}

/* Spikes of the L - F + 1 whole windows; what they stand for is subtracted from x. */
INNER bsa_lanes(double *x, int64_t L, int64_t W, const double *h, int64_t F, double threshold, int8_t *s,
                const int width)
{
    double with[WIDE], without[WIDE], spike[WIDE];
    for (int64_t n = 0; n + F <= L; n++, x += W, s += W) {
        LANES with[k] = 0.0, without[k] = 0.0;
        for (int64_t j = 0; j < F; j++)
            LANES {
                with[k] += fabs(x[j * W + k] - h[j]);
                without[k] += fabs(x[j * W + k]);
            }
        LANES spike[k] = with[k] <= threshold * without[k] ? 1.0 : 0.0;
        for (int64_t j = 0; j < F; j++)
            LANES x[j * W + k] -= spike[k] * h[j];
        LANES s[k] = (int8_t)spike[k];
    }
}

void bsa(double *x, int64_t L, int64_t W, const double *h, int64_t F, double threshold, int8_t *s)
{
#define BSA(w, width) bsa_lanes(x + (w), L, W, h, F, threshold, s + (w), width)
    OVER_LANES(BSA);
}

INNER hsa_lanes(double *x, int64_t L, int64_t W, const double *h, int64_t F, int8_t *s, const int width)
{
    double spike[WIDE];
    for (int64_t n = 0; n + F <= L; n++, x += W, s += W) {
        LANES spike[k] = 1.0;
        for (int64_t j = 0; j < F; j++)
            LANES spike[k] = x[j * W + k] >= h[j] ? spike[k] : 0.0;
        for (int64_t j = 0; j < F; j++)
            LANES x[j * W + k] -= spike[k] * h[j];
        LANES s[k] = (int8_t)spike[k];
    }
}

void hsa(double *x, int64_t L, int64_t W, const double *h, int64_t F, int8_t *s)
{
#define HSA(w, width) hsa_lanes(x + (w), L, W, h, F, s + (w), width)
    OVER_LANES(HSA);
}
