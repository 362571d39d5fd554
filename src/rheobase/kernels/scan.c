/* The fused neuron scan: one pass over memory forward, one backward. Meaning and names are those of reference.py.
 *
 * Elements are independent over time, so [T][n] is cut into blocks whose state stays in cache: a block runs all its steps
 * before the next one starts. The backward pass keeps nothing but x: it computes the membranes of a block again, with the
 * same roundings (compile with -ffp-contract=off), and walks back through them. Blocks are independent: threads share them.
 *
 * `fire`, `reset` and `derivative` are the recurrence; the loops below are compiled once per combination of options. A
 * membrane quantiser is a pass of its own over the block's membranes, between two steps.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <immintrin.h>
#endif
#ifdef _OPENMP
#include <omp.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#if defined(__GNUC__) && !defined(__clang__)
#define INDEPENDENT _Pragma("GCC ivdep")
#else
#define INDEPENDENT
#endif
#define ALIGN 64
#define FORWARD_BLOCK 8192         /* elements at most: rows long enough for the processor's prefetch */
#define BACKWARD_BLOCK 4096
#define SCRATCH_FLOATS 65536       /* membranes of a backward block, T * block: half a second-level cache */
#define STREAM_BYTES (8L << 20)    /* results of this size leave the cache anyhow: write around it */

#ifdef __FP_FAST_FMAF
#define FMA(a, b, c) __builtin_fmaf(a, b, c) /* where rounding may differ from torch's: surrogates alone */
#else
#define FMA(a, b, c) ((a) * (b) + (c))
#endif

enum { FLOAT32, BFLOAT16, FLOAT16 };
enum { RECTANGULAR, TENT, SIGMOID, ATAN };

/* A membrane quantiser: w becomes levels[i] where edges[i-1] <= w < edges[i]. Its slope is 1 within `half` of `centre`. */
typedef struct {
    float levels[256], edges[256]; /* the first 2^bits; those without a level repeat the highest, their edges are infinite */
    float centre, half;
    int32_t bits, curved;          /* curved: the slope is 1 - tanh(w)^2 there */
} Stairs;

typedef struct {
    const void *x, *grad;          /* [T][n]; grad only in the backward pass */
    void *out;                     /* spikes, or the gradient to x */
    const float *leak, *threshold; /* [channels] */
    double *sums;                  /* [threads][2][channels]: gradients to leak and threshold, or NULL */
    const Stairs *stairs;          /* or NULL */
    int64_t T, n, channels, inner;
    int32_t dtype, hard, detach, strict, surrogate, ternary, event_local;
    float v_reset, a, b;           /* a, b: numbers of the surrogate, see derivative */
    float low, high;               /* the window of h - threshold that passes gradients */
} Scan;

/* ---- one element ---- */

typedef struct {
    float v_reset, edge, a, b, low, high;
    float keep;                    /* 1 when gradients pass the reset, 0 when they are detached */
    float keep_silent;             /* 0 when gradients exist at events alone, else 1 */
} Numbers;

INLINE uint32_t bits_of(float f) { uint32_t u; memcpy(&u, &f, 4); return u; }
INLINE float float_of(uint32_t u) { float f; memcpy(&f, &u, 4); return f; }

/* `edge` is 0, or the least positive number where the comparison is strict. */
INLINE float fire(float h, float threshold, float edge, int ternary) {
    float s = h - threshold >= edge ? 1.0f : 0.0f;
    return ternary && -h - threshold >= edge ? -1.0f : s;
}

/* The membrane after the reset. For finite h this is the arithmetic form of reference.py. */
INLINE float reset(float h, float s, float threshold, float v_reset, int hard, int ternary) {
    if (!ternary) return s != 0.0f ? (hard ? v_reset : h - threshold) : h;
    if (!hard) return h - threshold * s;
    return s != 0.0f ? v_reset * s : h;
}

/* 2^y for y <= 0: the power of the nearest integer times a minimax polynomial, 2e-7 off at most. */
INLINE float exp2_negative(float y) {
    y = y < -126.0f ? -126.0f : y;
    float shifted = y + 12582912.0f; /* 1.5 * 2^23: the low bits now hold the integer */
    float f = y - (shifted - 12582912.0f);
    float p = FMA(1.327647196e-03f, f, 9.675541503e-03f);
    p = FMA(p, f, 5.550713275e-02f);
    p = FMA(p, f, 2.402211972e-01f);
    p = FMA(p, f, 6.931469671e-01f);
    p = FMA(p, f, 1.000000072e+00f);
    return p * float_of((bits_of(shifted) << 23) + 0x3f800000u);
}

/* The surrogate derivative; comparisons are written so that a NaN stays one. */
INLINE float derivative(float u, float a, float b, int surrogate) {
    float t;
    switch (surrogate) {
    case RECTANGULAR: return fabsf(u) < a ? b : 0.0f;                            /* a: half the width, b: the height */
    case TENT: t = a - b * fabsf(u); return t < 0.0f ? 0.0f : t;                  /* a: the height, b: the slope */
    case SIGMOID: t = exp2_negative(-fabsf(b * u)); return a * t / ((1.0f + t) * (1.0f + t)); /* b: a / ln 2 */
    default: t = a * u; return b / FMA(t, t, 1.0f);                               /* ATAN */
    }
}

/* 1 outside of the window, else 0; a NaN is inside. */
INLINE float outside(float u, float low, float high) {
    float below = u < low ? 1.0f : 0.0f;
    return u > high ? 1.0f : below;
}

/* The level of w; NaN stays NaN. Up to 16 edges are counted with the row in registers; of 256 every sixteenth is, and a
 * binary search does the rest, whose loads are gathers. No loops, which would keep the row from being vectorised. */
INLINE float nearest(float w, const Stairs *stairs, int bits) {
    const float *edges = stairs->edges;
    const int run = bits == 8 ? 16 : 1; /* levels from one counted edge to the next */
    int32_t i = 0;
#define COUNT(K) i += w >= edges[run * (K + 1) - 1] ? run : 0;
#define CLIMB(STEP) i += w >= edges[i + STEP - 1] ? STEP : 0;
    COUNT(0) COUNT(1) COUNT(2)
    if (bits > 2) {
        COUNT(3) COUNT(4) COUNT(5) COUNT(6) COUNT(7) COUNT(8)
        COUNT(9) COUNT(10) COUNT(11) COUNT(12) COUNT(13) COUNT(14)
    }
    if (bits == 8) { CLIMB(8) CLIMB(4) CLIMB(2) CLIMB(1) }
    return w == w ? stairs->levels[i] : w;
}

INLINE float slope(float w, const Stairs *stairs, int curved) {
    float inside = derivative(w - stairs->centre, stairs->half, 1.0f, RECTANGULAR);
    return curved ? inside * derivative(w, 4.0f, 2.88539008f, SIGMOID) : inside; /* 2 / ln 2: 1 - tanh(w)^2 */
}

/* ---- one row: a block of elements at one time step ---- */

typedef struct {
    const float *leak, *threshold;
    float *v;                      /* forward: the membrane. backward: dL/dv of this step, then of the one before */
    float *gleak, *gthreshold;     /* sums over time, one per element */
    Numbers k;
    int masked;                    /* whether the window shuts anything out */
} Row;

/* out: the spikes, or the membrane before the reset. */
INLINE void forward_row(int64_t m, const Numbers k, const float *restrict leak, const float *restrict threshold,
                        const float *restrict x, float *restrict v, float *restrict out, int spikes, int hard,
                        int ternary) {
    INDEPENDENT
    for (int64_t i = 0; i < m; i++) {
        float h = leak[i] * v[i] + x[i];
        float s = fire(h, threshold[i], k.edge, ternary);
        v[i] = reset(h, s, threshold[i], k.v_reset, hard, ternary);
        out[i] = spikes ? s : h;
    }
}

/* The membranes h after the reset. */
INLINE void spent_row(int64_t m, const Numbers k, const float *restrict threshold, const float *restrict h,
                      float *restrict w, int hard, int ternary) {
    INDEPENDENT
    for (int64_t i = 0; i < m; i++)
        w[i] = reset(h[i], fire(h[i], threshold[i], k.edge, ternary), threshold[i], k.v_reset, hard, ternary);
}

INLINE void nearest_row(int64_t m, const Stairs *stairs, float *restrict v, int bits) {
    INDEPENDENT
    for (int64_t i = 0; i < m; i++) v[i] = nearest(v[i], stairs, bits);
}

/* What the next step finds in place of v. */
static void round_row(int64_t m, const Stairs *stairs, float *v) {
    if (stairs->bits == 2) nearest_row(m, stairs, v, 2);
    else if (stairs->bits == 4) nearest_row(m, stairs, v, 4);
    else nearest_row(m, stairs, v, 8);
}

INLINE void sloped_row(int64_t m, const Stairs *stairs, const float *restrict w, float *restrict gv, int curved) {
    INDEPENDENT
    for (int64_t i = 0; i < m; i++) gv[i] *= slope(w[i], stairs, curved);
}

/* dL/dv becomes dL/dw, w being the membrane that was rounded to v. */
static void slope_row(int64_t m, const Stairs *stairs, const float *w, float *gv) {
    if (stairs->curved) sloped_row(m, stairs, w, gv, 1);
    else sloped_row(m, stairs, w, gv, 0);
}

/* With p = 1[h >= threshold], n = 1[-h >= threshold] (ternary only), w the membrane after the reset, g_w = dL/dw:
 * g_p = dL/ds + g_w dw/dp;  g_n likewise;  g_h = g_p p'(h) + g_n n'(h) + g_w dw/dh;  dL/dv[t-1] = leak * g_h
 * p' is 0 where h - threshold lies outside of the window, n' likewise; g_h is, when gradients exist at events alone.
 * `before`: for SUMS the membrane of the step before, not yet reset; for SUMS_FROM_V v[t-1] itself. */
enum { NO_SUMS, SUMS, SUMS_FROM_V };
INLINE void backward_row(int64_t m, const Numbers k, const float *restrict leak, const float *restrict threshold,
                         const float *restrict h, const float *restrict before, const float *restrict gs,
                         float *restrict gv, float *restrict gleak, float *restrict gthreshold, float *restrict gx,
                         int surrogate, int hard, int sums, int ternary, int masked) {
    INDEPENDENT
    for (int64_t i = 0; i < m; i++) {
        float th = threshold[i], s = fire(h[i], th, k.edge, ternary), gw = gv[i];
        float gr = k.keep * gw;
        float gp = (gs[i] + gr * (hard ? k.v_reset - h[i] : -th)) * derivative(h[i] - th, k.a, k.b, surrogate);
        float gn = 0.0f, silent = 1.0f;
        if (ternary) gn = (gr * (hard ? -k.v_reset - h[i] : th) - gs[i]) * derivative(-h[i] - th, k.a, k.b, surrogate);
        if (masked) {
            silent = outside(h[i] - th, k.low, k.high);
            gp = silent != 0.0f ? 0.0f : gp;
        }
        if (masked && ternary) {
            const float quiet = outside(-h[i] - th, k.low, k.high);
            gn = quiet != 0.0f ? 0.0f : gn;
            silent *= quiet;
        }
        float gh = gp - gn + (hard && s != 0.0f ? 0.0f : gw);
        if (masked) gh = silent > k.keep_silent ? 0.0f : gh;
        if (sums) {
            float v = before[i];
            if (sums == SUMS) v = reset(v, fire(v, th, k.edge, ternary), th, k.v_reset, hard, ternary);
            gleak[i] += gh * v;
            gthreshold[i] -= gp + gn + (hard ? 0.0f : gw * s);
        }
        gv[i] = leak[i] * gh;
        gx[i] = gh;
    }
}

/* One compiled loop per combination: forward [hard][ternary], backward also [surrogate], [sums] and masked or not. */
typedef void (*ForwardRow)(int64_t, const Row *, const float *, float *);
typedef void (*BackwardRow)(int64_t, const Row *, const float *, const float *, const float *, float *);
#define FORWARD(H, Q)                                                                                                \
    static void spikes_##H##Q(int64_t m, const Row *r, const float *x, float *out) {                                 \
        forward_row(m, r->k, r->leak, r->threshold, x, r->v, out, 1, H, Q);                                          \
    }                                                                                                                \
    static void membrane_##H##Q(int64_t m, const Row *r, const float *x, float *out) {                               \
        forward_row(m, r->k, r->leak, r->threshold, x, r->v, out, 0, H, Q);                                          \
    }                                                                                                                \
    static void spent_##H##Q(int64_t m, const Row *r, const float *h, float *w) {                                    \
        spent_row(m, r->k, r->threshold, h, w, H, Q);                                                                \
    }
#define BACKWARD(S, P, H, Q)                                                                                         \
    static void back_##S##P##H##Q(int64_t m, const Row *r, const float *h, const float *before, const float *gs,     \
                                  float *gx) {                                                                       \
        if (r->masked)                                                                                               \
            backward_row(m, r->k, r->leak, r->threshold, h, before, gs, r->v, r->gleak, r->gthreshold, gx, S, H, P, Q, 1); \
        else                                                                                                         \
            backward_row(m, r->k, r->leak, r->threshold, h, before, gs, r->v, r->gleak, r->gthreshold, gx, S, H, P, Q, 0); \
    }
#define EACH(DO, ...) DO(__VA_ARGS__ 0, 0) DO(__VA_ARGS__ 0, 1) DO(__VA_ARGS__ 1, 0) DO(__VA_ARGS__ 1, 1)
#define TABLE(N) {{N##00, N##01}, {N##10, N##11}}
EACH(FORWARD)
EACH(BACKWARD, 0, 0,) EACH(BACKWARD, 1, 0,) EACH(BACKWARD, 2, 0,) EACH(BACKWARD, 3, 0,)
EACH(BACKWARD, 0, 1,) EACH(BACKWARD, 1, 1,) EACH(BACKWARD, 2, 1,) EACH(BACKWARD, 3, 1,)
EACH(BACKWARD, 0, 2,) EACH(BACKWARD, 1, 2,) EACH(BACKWARD, 2, 2,) EACH(BACKWARD, 3, 2,)
static const ForwardRow SPIKES[2][2] = TABLE(spikes_), MEMBRANE[2][2] = TABLE(membrane_), SPENT[2][2] = TABLE(spent_);
static const BackwardRow BACK[4][3][2][2] = {
    {TABLE(back_00), TABLE(back_01), TABLE(back_02)}, {TABLE(back_10), TABLE(back_11), TABLE(back_12)},
    {TABLE(back_20), TABLE(back_21), TABLE(back_22)}, {TABLE(back_30), TABLE(back_31), TABLE(back_32)}};

/* ---- memory ---- */

INLINE float from_half(uint16_t half) {
    float f = float_of((uint32_t)(half & 0x7fffu) << 13) * 0x1p112f; /* moves the exponent; subnormals come right */
    uint32_t u = bits_of(f);
    u = f >= 65536.0f ? u | 0x7f800000u : u; /* infinity and NaN */
    return float_of(u | (uint32_t)(half & 0x8000u) << 16);
}

/* Nearest even. */
INLINE uint16_t to_half(float f) {
    const uint32_t sign = bits_of(f) & 0x80000000u, u = bits_of(f) ^ sign;
    const uint32_t normal = (u - (112u << 23) + 0xfffu + ((u >> 13) & 1u)) >> 13;
    const uint32_t small = bits_of(float_of(u) + 0.5f) - bits_of(0.5f); /* the addition rounds at 2^-24 */
    uint32_t out = u < (113u << 23) ? small : normal;
    out = u >= (143u << 23) ? (u > 0x7f800000u ? 0x7e00u : 0x7c00u) : out;
    return (uint16_t)(out | sign >> 16);
}

INLINE uint16_t to_bfloat(float f) {
    const uint32_t u = bits_of(f), rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    return (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : rounded);
}

static int64_t item_size(const Scan *k) { return k->dtype == FLOAT32 ? 4 : 2; }

/* A row as floats: the tensor itself, or its half-precision values widened into `buffer`. */
static const float *read_row(const Scan *k, const void *tensor, int64_t at, int64_t m, float *restrict buffer) {
    if (k->dtype == FLOAT32) return (const float *)tensor + at;
    const uint16_t *restrict from = (const uint16_t *)tensor + at;
    if (k->dtype == BFLOAT16)
        for (int64_t i = 0; i < m; i++) buffer[i] = float_of((uint32_t)from[i] << 16);
    else
        for (int64_t i = 0; i < m; i++) buffer[i] = from_half(from[i]);
    return buffer;
}

/* Where a row of results is computed: in `out` itself, or in `buffer` for write_row to carry there. */
static float *row_target(const Scan *k, int64_t at, float *buffer, int stream) {
    return k->dtype == FLOAT32 && !stream ? (float *)k->out + at : buffer;
}

static void copy_around_cache(char *to, const char *from, int64_t bytes) {
    int64_t done = 0;
#ifdef __AVX__
    if (((uintptr_t)to & 31) == 0)
        for (; done + 32 <= bytes; done += 32)
            _mm256_stream_si256((__m256i *)(to + done), _mm256_load_si256((const __m256i *)(from + done)));
#endif
#ifdef __SSE2__
    if (((uintptr_t)(to + done) & 15) == 0)
        for (; done + 16 <= bytes; done += 16)
            _mm_stream_si128((__m128i *)(to + done), _mm_load_si128((const __m128i *)(from + done)));
#endif
    memcpy(to + done, from + done, (size_t)(bytes - done));
}

/* Carry a computed row to `out`; `buffer` holds halves on the way. */
static void write_row(const Scan *k, int64_t at, int64_t m, const float *restrict row, float *restrict buffer, int stream) {
    if (k->dtype == FLOAT32) {
        if (stream) copy_around_cache((char *)((float *)k->out + at), (const char *)row, m * 4);
        return;
    }
    uint16_t *to = (uint16_t *)k->out + at, *restrict halves = stream ? (uint16_t *)buffer : to;
    if (k->dtype == BFLOAT16)
        for (int64_t i = 0; i < m; i++) halves[i] = to_bfloat(row[i]);
    else
        for (int64_t i = 0; i < m; i++) halves[i] = to_half(row[i]);
    if (stream) copy_around_cache((char *)to, (const char *)halves, m * 2);
}

/* to[i] = from[channel of element first + i] */
static void spread(const Scan *k, const float *from, int64_t first, int64_t m, float *to) {
    int64_t c = first / k->inner % k->channels, run = k->inner - first % k->inner;
    for (int64_t i = 0; i < m; run = k->inner, c = c + 1 == k->channels ? 0 : c + 1) {
        int64_t end = i + run < m ? i + run : m;
        for (; i < end; i++) to[i] = from[c];
    }
}

/* sums[channel of element first + i] += from[i] */
static void gather(const Scan *k, const float *from, int64_t first, int64_t m, double *sums) {
    int64_t c = first / k->inner % k->channels, run = k->inner - first % k->inner;
    for (int64_t i = 0; i < m; run = k->inner, c = c + 1 == k->channels ? 0 : c + 1) {
        int64_t end = i + run < m ? i + run : m;
        double total = 0.0;
        for (; i < end; i++) total += from[i];
        sums[c] += total;
    }
}

/* ---- blocks ---- */

enum { LEAK, THRESHOLD, V, IN, OUT, GLEAK, GTHRESHOLD, KEPT, WAS, ROWS };

typedef int (*Work)(const Scan *k, int64_t block, int64_t first, int64_t last, int64_t thread);

static Row make_row(const Scan *k, float *rows, int64_t block) {
    return (Row){rows + LEAK * block, rows + THRESHOLD * block, rows + V * block, rows + GLEAK * block,
                 rows + GTHRESHOLD * block,
                 {k->v_reset, k->strict ? 0x1p-149f : 0.0f, k->a, k->b, k->low, k->high, k->detach ? 0.0f : 1.0f,
                  k->event_local ? 0.0f : 1.0f},
                 k->low > -INFINITY || k->high < INFINITY};
}

/* Parameters and a membrane of 0 for the block at `at`; with one channel the parameters of the first block stay. */
static void start_block(const Scan *k, float *rows, int64_t block, int64_t at, int64_t m, int first) {
    if (k->channels > 1 || first) {
        spread(k, k->leak, at, k->channels > 1 ? m : block, rows + LEAK * block);
        spread(k, k->threshold, at, k->channels > 1 ? m : block, rows + THRESHOLD * block);
    }
    memset(rows + V * block, 0, sizeof(float) * (size_t)m);
}

static int streams(const Scan *k) { return k->T * k->n * item_size(k) >= STREAM_BYTES; }

static int forward_part(const Scan *k, int64_t block, int64_t first, int64_t last, int64_t thread) {
    (void)thread;
    float *rows = aligned_alloc(ALIGN, sizeof(float) * GLEAK * (size_t)block);
    if (!rows) return 1;
    const int stream = streams(k);
    const Row row = make_row(k, rows, block);
    const ForwardRow run = SPIKES[k->hard][k->ternary];
    for (int64_t at = first; at < last; at += block) {
        const int64_t m = at + block < last ? block : last - at;
        start_block(k, rows, block, at, m, at == first);
        for (int64_t t = 0; t < k->T; t++) {
            float *out = row_target(k, t * k->n + at, rows + OUT * block, stream);
            run(m, &row, read_row(k, k->x, t * k->n + at, m, rows + IN * block), out);
            if (k->stairs && t + 1 < k->T) round_row(m, k->stairs, row.v);
            write_row(k, t * k->n + at, m, out, rows + IN * block, stream);
        }
    }
    free(rows);
    return 0;
}

static int backward_part(const Scan *k, int64_t block, int64_t first, int64_t last, int64_t thread) {
    float *rows = aligned_alloc(ALIGN, sizeof(float) * (size_t)(ROWS + k->T) * (size_t)block);
    if (!rows) return 1;
    float *in = rows + IN * block, *kept = rows + KEPT * block, *was = rows + WAS * block, *h = rows + ROWS * block;
    double *sums = k->sums ? k->sums + thread * 2 * k->channels : NULL;
    const int stream = streams(k);
    const Row row = make_row(k, rows, block);
    const ForwardRow again = MEMBRANE[k->hard][k->ternary], spent = SPENT[k->hard][k->ternary];
    const BackwardRow back = BACK[k->surrogate][!sums ? NO_SUMS : k->stairs ? SUMS_FROM_V : SUMS][k->hard][k->ternary];
    for (int64_t at = first; at < last; at += block) {
        const int64_t m = at + block < last ? block : last - at;
        start_block(k, rows, block, at, m, at == first);
        for (int64_t t = 0; t < k->T; t++) {
            again(m, &row, read_row(k, k->x, t * k->n + at, m, in), h + t * block);
            if (k->stairs && t + 1 < k->T) round_row(m, k->stairs, row.v);
        }
        memset(row.v, 0, sizeof(float) * (size_t)m);
        if (sums) memset(row.gleak, 0, sizeof(float) * 2 * (size_t)block);
        for (int64_t t = k->T - 1; t >= 0; t--) {
            if (sums && t == 0) memcpy(kept, row.gleak, sizeof(float) * (size_t)m);
            float *out = row_target(k, t * k->n + at, rows + OUT * block, stream);
            const float *before = h + (t ? t - 1 : 0) * block;
            if (k->stairs && t + 1 < k->T) {
                spent(m, &row, h + t * block, was);
                slope_row(m, k->stairs, was, row.v);
            }
            if (k->stairs && sums && t) {
                spent(m, &row, before, was);
                round_row(m, k->stairs, was);
                before = was;
            }
            back(m, &row, h + t * block, before, read_row(k, k->grad, t * k->n + at, m, in), out);
            write_row(k, t * k->n + at, m, out, in, stream);
        }
        if (sums) { /* before the first step v is 0: nothing for leak */
            gather(k, kept, at, m, sums);
            gather(k, row.gthreshold, at, m, sums + k->channels);
        }
    }
    free(rows);
    return 0;
}

/* Share the blocks among the threads of torch's own pool (the library is linked to the same OpenMP). 0, or 1: no memory. */
static int run(const Scan *k, int64_t block, int64_t threads, Work work) {
    const int64_t share = ((k->n + threads - 1) / threads + 63) / 64 * 64;
    if (block > share) block = share;
    const int64_t blocks = (k->n + block - 1) / block;
    int failed = 0;
    if (threads > blocks) threads = blocks;
#pragma omp parallel for num_threads(threads) reduction(| : failed) schedule(static, 1) if (threads > 1)
    for (int64_t p = 0; p < threads; p++) {
        const int64_t last = blocks * (p + 1) / threads * block;
        failed |= work(k, block, blocks * p / threads * block, last < k->n ? last : k->n, p);
    }
    return failed;
}

/* Elements of a backward block: its T membranes fit the scratch. */
int64_t scan_backward_block(int64_t T) {
    const int64_t fit = SCRATCH_FLOATS / T / 16 * 16;
    return fit < 64 ? 64 : fit > BACKWARD_BLOCK ? BACKWARD_BLOCK : fit;
}

int64_t scan_forward_block(void) { return FORWARD_BLOCK; }

int scan_forward(const Scan *k, int64_t threads) { return run(k, FORWARD_BLOCK, threads, forward_part); }

int scan_backward(const Scan *k, int64_t threads) { return run(k, scan_backward_block(k->T), threads, backward_part); }
