/* The neuron scan, fused over time; reference.py says what it computes.
 *
 * x, spikes and gradients are [T][n] with time outermost; element e has channel (e / inner) % channels, so any dense
 * layout of the other axes will do. Elements are cut into blocks whose state stays in cache: a block runs all its steps
 * before the next one starts. The backward pass keeps nothing but x: it computes the membranes of a block again, with the
 * same roundings (compile with -ffp-contract=off), and walks back through them. Blocks are independent: threads share them.
 */
#include <math.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <immintrin.h>
#endif
#ifdef __linux__
#include <sys/mman.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#define ALIGN 64
#define FORWARD_BLOCK 1024         /* elements; five rows of it fit a first-level cache */
#define SCRATCH_FLOATS 32768       /* membranes of a backward block, T * block */
#define STREAM_BYTES (8L << 20)    /* results of this size leave the cache anyhow: write around it */
#define HUGE_PAGE (2L << 20)
#define MAX_THREADS 256

enum { RECTANGULAR, TRIANGULAR, SIGMOID, ATAN, PIECEWISE_QUADRATIC };

typedef struct {
    const void *x, *grad;          /* [T][n]; grad only in the backward pass */
    void *out;                     /* spikes, or the gradient to x */
    const float *leak, *threshold; /* [channels] */
    double *sums;                  /* [threads][2][channels]: gradients to leak and threshold, or NULL */
    int64_t T, n, channels, inner;
    int32_t bf16;                  /* x, grad and out are bfloat16, else float32 */
    int32_t hard, detach, strict, surrogate;
    float v_reset, shape;
} Scan;

/* ---- one element ---- */

INLINE float fire(float u, float tie) { return u > 0.0f ? 1.0f : (u == 0.0f ? tie : 0.0f); }

INLINE float reset(float h, float s, float threshold, float v_reset, int hard) {
    return hard ? h * (1.0f - s) + v_reset * s : h - threshold * s;
}

/* exp(x) for x <= 0, 2 ulp: 2^n times a polynomial on |r| <= ln(2)/2. */
INLINE float exp_negative(float x) {
    union { float f; uint32_t i; } k, scale;
    x = x < -87.0f ? -87.0f : x;
    k.f = x * 1.44269504f + 12582912.0f; /* 1.5 * 2^23: the low bits now hold n */
    float n = k.f - 12582912.0f;
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    scale.i = (k.i << 23) + 0x3f800000u;
    return p * scale.f;
}

/* The surrogate derivative; comparisons are written so that a NaN stays one. */
INLINE float derivative(float u, float a, int surrogate) {
    float t;
    switch (surrogate) {
    case RECTANGULAR: return fabsf(u) < 0.5f * a ? 1.0f / a : 0.0f;
    case TRIANGULAR: t = a - fabsf(u); return (t < 0.0f ? 0.0f : t) * (1.0f / (a * a));
    case SIGMOID: t = exp_negative(-fabsf(a * u)); return a * t / ((1.0f + t) * (1.0f + t));
    case ATAN: t = (1.57079633f * a) * u; return (0.5f * a) / (1.0f + t * t);
    default: t = a - a * a * fabsf(u); return t < 0.0f ? 0.0f : t;
    }
}

/* ---- one row: a block of elements at one time step ---- */

INLINE void forward_row(int64_t m, const float *restrict x, const float *restrict leak, const float *restrict threshold,
                        float *restrict v, float *restrict spikes, float v_reset, float tie, int hard) {
    for (int64_t i = 0; i < m; i++) {
        float h = leak[i] * v[i] + x[i];
        float s = fire(h - threshold[i], tie);
        v[i] = reset(h, s, threshold[i], v_reset, hard);
        spikes[i] = s;
    }
}

INLINE void membrane_row(int64_t m, const float *restrict x, const float *restrict leak, const float *restrict threshold,
                         float *restrict v, float *restrict membrane, float v_reset, float tie, int hard) {
    for (int64_t i = 0; i < m; i++) {
        float h = leak[i] * v[i] + x[i];
        v[i] = reset(h, fire(h - threshold[i], tie), threshold[i], v_reset, hard);
        membrane[i] = h;
    }
}

typedef struct {
    const float *leak, *threshold;
    float *gv;                     /* dL/dv of this step on entry, of the step before on exit */
    float *gleak, *gthreshold;     /* sums over time, one per element */
    float v_reset, tie, shape;
} Back;

/* g_s = dL/ds + (reset path);  g_h = g_s * surrogate'(u) + dL/dv * dv/dh;  dL/dv[t-1] = leak * g_h */
INLINE void backward_row(int64_t m, const Back *b, const float *restrict h, const float *restrict before,
                         const float *restrict gs, float *restrict gx, int surrogate, int hard, int detach, int sums) {
    const float *restrict leak = b->leak, *restrict threshold = b->threshold;
    float *restrict gv = b->gv, *restrict gleak = b->gleak, *restrict gthreshold = b->gthreshold;
    const float v_reset = b->v_reset, tie = b->tie, shape = b->shape;
    for (int64_t i = 0; i < m; i++) {
        float u = h[i] - threshold[i];
        float s = fire(u, tie);
        float g = gs[i];
        if (!detach) g += gv[i] * (hard ? v_reset - h[i] : -threshold[i]);
        float gu = g * derivative(u, shape, surrogate);
        float gh = gu + (hard ? gv[i] * (1.0f - s) : gv[i]);
        if (sums) {
            float spent = fire(before[i] - threshold[i], tie);
            gleak[i] += gh * reset(before[i], spent, threshold[i], v_reset, hard);
            gthreshold[i] -= hard ? gu : gu + gv[i] * s;
        }
        gv[i] = leak[i] * gh;
        gx[i] = gh;
    }
}

/* One compiled loop per surrogate x reset x detach x sums. */
typedef void (*BackwardRow)(int64_t, const Back *, const float *, const float *, const float *, float *);
#define ROW(S, H, D, P)                                                                                              \
    static void row_##S##H##D##P(int64_t m, const Back *b, const float *h, const float *before, const float *gs,      \
                                 float *gx) {                                                                         \
        backward_row(m, b, h, before, gs, gx, S, H, D, P);                                                            \
    }
#define ROWS(S) ROW(S, 0, 0, 0) ROW(S, 0, 0, 1) ROW(S, 0, 1, 0) ROW(S, 0, 1, 1) \
                ROW(S, 1, 0, 0) ROW(S, 1, 0, 1) ROW(S, 1, 1, 0) ROW(S, 1, 1, 1)
#define NAMES(S) {{{row_##S##000, row_##S##001}, {row_##S##010, row_##S##011}}, \
                  {{row_##S##100, row_##S##101}, {row_##S##110, row_##S##111}}}
ROWS(0) ROWS(1) ROWS(2) ROWS(3) ROWS(4)
static const BackwardRow BACKWARD_ROWS[5][2][2][2] = {NAMES(0), NAMES(1), NAMES(2), NAMES(3), NAMES(4)};

/* ---- memory ---- */

/* A row as floats: the tensor itself, or its bfloat16 values widened into `buffer`. */
static const float *read_row(const Scan *k, const void *tensor, int64_t at, int64_t m, float *restrict buffer) {
    if (!k->bf16) return (const float *)tensor + at;
    const uint16_t *restrict from = (const uint16_t *)tensor + at;
    uint32_t *restrict to = (uint32_t *)buffer;
    for (int64_t i = 0; i < m; i++) to[i] = (uint32_t)from[i] << 16;
    return buffer;
}

static void copy_out(char *to, const char *from, int64_t bytes, int stream) {
    int64_t done = 0;
#ifdef __SSE2__
    if (stream && ((uintptr_t)to & 15) == 0)
        for (; done + 16 <= bytes; done += 16)
            _mm_stream_si128((__m128i *)(to + done), _mm_load_si128((const __m128i *)(from + done)));
#endif
    memcpy(to + done, from + done, (size_t)(bytes - done));
}

/* Write a row of floats (aligned) to `out`; bfloat16 rounds to nearest even and keeps NaN. `row` is overwritten. */
static void write_row(const Scan *k, int64_t at, int64_t m, float *row, int stream) {
    if (!k->bf16) {
        copy_out((char *)((float *)k->out + at), (const char *)row, m * 4, stream);
        return;
    }
    const uint32_t *bits = (const uint32_t *)row;
    uint16_t *restrict to = (uint16_t *)k->out + at;
    for (int64_t i = 0; i < m; i++) {
        uint32_t b = bits[i], rounded = (b + 0x7fffu + ((b >> 16) & 1u)) >> 16;
        to[i] = (uint16_t)((b & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : rounded);
    }
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

typedef struct {
    const Scan *scan;
    int64_t block, first, last, thread; /* elements [first, last) */
    int failed;
} Part;

static void *forward_part(void *argument) {
    Part *part = argument;
    const Scan *k = part->scan;
    const int64_t B = part->block, n = k->n;
    const int stream = k->T * n * (k->bf16 ? 2 : 4) >= STREAM_BYTES;
    const float tie = k->strict ? 0.0f : 1.0f;
    float *rows = aligned_alloc(ALIGN, sizeof(float) * 5 * (size_t)B);
    if (!rows) return part->failed = 1, NULL;
    float *leak = rows, *threshold = rows + B, *v = rows + 2 * B, *in = rows + 3 * B, *spikes = rows + 4 * B;
    for (int64_t first = part->first; first < part->last; first += B) {
        const int64_t m = first + B < part->last ? B : part->last - first;
        if (k->channels > 1 || first == part->first) {
            spread(k, k->leak, first, k->channels > 1 ? m : B, leak);
            spread(k, k->threshold, first, k->channels > 1 ? m : B, threshold);
        }
        memset(v, 0, sizeof(float) * (size_t)m);
        for (int64_t t = 0; t < k->T; t++) {
            const float *x = read_row(k, k->x, t * n + first, m, in);
            if (k->hard) forward_row(m, x, leak, threshold, v, spikes, k->v_reset, tie, 1);
            else forward_row(m, x, leak, threshold, v, spikes, k->v_reset, tie, 0);
            write_row(k, t * n + first, m, spikes, stream);
        }
    }
    free(rows);
    return NULL;
}

static void *backward_part(void *argument) {
    Part *part = argument;
    const Scan *k = part->scan;
    const int64_t B = part->block, n = k->n;
    const int stream = k->T * n * (k->bf16 ? 2 : 4) >= STREAM_BYTES;
    const float tie = k->strict ? 0.0f : 1.0f;
    float *rows = aligned_alloc(ALIGN, sizeof(float) * (size_t)(9 + k->T) * (size_t)B);
    if (!rows) return part->failed = 1, NULL;
    float *leak = rows, *threshold = rows + B, *v = rows + 2 * B, *in = rows + 3 * B, *gx = rows + 4 * B;
    float *gv = rows + 5 * B, *gleak = rows + 6 * B, *gthreshold = rows + 7 * B, *kept = rows + 8 * B, *h = rows + 9 * B;
    double *sums = k->sums ? k->sums + part->thread * 2 * k->channels : NULL;
    const Back back = {leak, threshold, gv, gleak, gthreshold, k->v_reset, tie, k->shape};
    const BackwardRow row = BACKWARD_ROWS[k->surrogate][k->hard][k->detach][sums != NULL];
    for (int64_t first = part->first; first < part->last; first += B) {
        const int64_t m = first + B < part->last ? B : part->last - first;
        if (k->channels > 1 || first == part->first) {
            spread(k, k->leak, first, k->channels > 1 ? m : B, leak);
            spread(k, k->threshold, first, k->channels > 1 ? m : B, threshold);
        }
        memset(v, 0, sizeof(float) * (size_t)m);
        for (int64_t t = 0; t < k->T; t++) {
            const float *x = read_row(k, k->x, t * n + first, m, in);
            if (k->hard) membrane_row(m, x, leak, threshold, v, h + t * B, k->v_reset, tie, 1);
            else membrane_row(m, x, leak, threshold, v, h + t * B, k->v_reset, tie, 0);
        }
        memset(gv, 0, sizeof(float) * 3 * (size_t)B); /* gv, gleak, gthreshold */
        for (int64_t t = k->T - 1; t > 0; t--) {
            row(m, &back, h + t * B, h + (t - 1) * B, read_row(k, k->grad, t * n + first, m, in), gx);
            write_row(k, t * n + first, m, gx, stream);
        }
        memcpy(kept, gleak, sizeof(float) * (size_t)m);
        row(m, &back, h, h, read_row(k, k->grad, first, m, in), gx);
        memcpy(gleak, kept, sizeof(float) * (size_t)m); /* before the first step v is 0: nothing for leak */
        write_row(k, first, m, gx, stream);
        if (sums) {
            gather(k, gleak, first, m, sums);
            gather(k, gthreshold, first, m, sums + k->channels);
        }
    }
    free(rows);
    return NULL;
}

/* Ask for huge pages under a large fresh result: its page faults cost more than the scan. A hint; it may fail. */
static void hint_huge_pages(void *start, int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    const uintptr_t page = HUGE_PAGE, first = ((uintptr_t)start + page - 1) / page * page;
    const uintptr_t last = ((uintptr_t)start + (uintptr_t)bytes) / page * page;
    if (last > first) (void)madvise((void *)first, last - first, MADV_HUGEPAGE);
#else
    (void)start, (void)bytes;
#endif
}

/* Split the blocks over threads; the caller's thread takes the first part. Returns 0, or 1 when out of memory. */
static int run(const Scan *k, int64_t block, int64_t threads, void *(*work)(void *)) {
    Part parts[MAX_THREADS];
    pthread_t ids[MAX_THREADS];
    int started[MAX_THREADS] = {0}, failed = 0;
    const int64_t blocks = (k->n + block - 1) / block;
    hint_huge_pages(k->out, k->T * k->n * (k->bf16 ? 2 : 4));
    if (threads > blocks) threads = blocks;
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    for (int64_t p = 0; p < threads; p++) {
        const int64_t last = blocks * (p + 1) / threads * block;
        parts[p] = (Part){k, block, blocks * p / threads * block, last < k->n ? last : k->n, p, 0};
    }
    for (int64_t p = 1; p < threads; p++) started[p] = pthread_create(&ids[p], NULL, work, &parts[p]) == 0;
    for (int64_t p = 0; p < threads; p++)
        if (!started[p]) work(&parts[p]);
    for (int64_t p = 1; p < threads; p++)
        if (started[p]) pthread_join(ids[p], NULL);
    for (int64_t p = 0; p < threads; p++) failed |= parts[p].failed;
    return failed;
}

/* Elements of a backward block: its T membranes fit the scratch. */
int64_t scan_backward_block(int64_t T) {
    const int64_t fit = SCRATCH_FLOATS / T / 16 * 16;
    return fit < 64 ? 64 : fit > 2048 ? 2048 : fit;
}

int64_t scan_forward_block(void) { return FORWARD_BLOCK; }

int scan_forward(const Scan *k, int64_t threads) { return run(k, FORWARD_BLOCK, threads, forward_part); }

int scan_backward(const Scan *k, int64_t threads) { return run(k, scan_backward_block(k->T), threads, backward_part); }
