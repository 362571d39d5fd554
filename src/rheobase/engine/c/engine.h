/* What the host engine runs: a program as a list of layers. A layer is a head, which makes a row of numbers for every output
 * place (most often a weighted sum of events), a tail of rescalings and additions, and neurons or the readout at the end.
 *
 * Maps are channel-last. Spikes are bits, `words` 64-bit words a place; counts are uint16, `paired` (even) channels a place; what is
 * neither, such as a current that several layers read, is a map of int32, `pitch` (whole 64s) channels a place.
 * A linear layer is a convolution whose kernel is as large as its map. Sum pooling is a view: its windows are read where the
 * next convolution collects events. Sums are made of weight codes: sum of weights = step * sum of codes + offset * events.
 * Output channels are worked on in blocks of 128 (of 64 or 32 where there are no more); arrays over channels are padded to whole
 * blocks.
 */
#include <stdint.h>
#include <string.h>

#ifdef __AVX2__
#include <immintrin.h>
#endif

#define ALIGNED __attribute__((aligned(64)))
#define APART __attribute__((noinline)) /* inner loops that want the registers for themselves */
#define BLOCK 128 /* largest block of output channels */
#define UNIT 16   /* events that kernels take at a time */
#define SLACK 64  /* numbers past the end of a list that may be read or written */
#define STEPS 32  /* most steps held */

enum { FRAME, SPIKES, MAP };                /* what a layer reads */
enum { SUMS, LOAD, SUM_POOL, MAX_POOL, OR_POOL, FLATTEN, CONV, MATMUL, OWN }; /* its head; those after SUMS are in maps.h, but
                                                                                 MATMUL in matmul.h, and OWN, an op's own C */
enum { RESCALE, ADD };                      /* its tail */
enum { DENSE, EVENT, LOOKUP, POPCOUNT };    /* how it sums */
enum { READOUT, PLAIN, ROUNDED, NOTHING };  /* what ends it */
enum { NO_LEAK, SHIFT, MULTIPLY };

/* A value: the frame (planar bytes, `below_zero` int8), or the spikes or the map that layer `reads` gives. */
typedef struct Value {
    int32_t source, reads, channels, places, words, pitch, below_zero;
} Value;

/* One step of an op by its own C: its state, where its values lie at this step, and the map that it gives. */
typedef void (*own_step)(void *state, const void *const *values, int32_t *map);

typedef struct Tail {
    const int32_t *gain, *bias; /* [out_padded] */
    Value value;                /* what ADD adds */
    int32_t what, shift;
} Tail;

typedef struct Layer {
    const uint8_t *codes;    /* [rows + 1][out_padded]: codes one to a byte, for plain C; the last row is zero */
    const uint8_t *packed;   /* [blocks][rows + 1][block * bits / 8]: rows of the event kernels */
    const int16_t *pairs;    /* [parts][row pairs][64 or block][2]: codes of two channels side by side */
    const uint8_t *tables;   /* lookup: see lookup.h */
    const uint64_t *planes;  /* popcount: see popcount.h */
    const int32_t *threshold, *bias, *reset, *gain, *levels, *edges;      /* [out_padded]; levels and edges as in the op */
    const int16_t *threshold16, *bias16, *reset16;                         /* the same where `narrow` */
    const int32_t *values;   /* CONV: weights [taps][channels / groups][out_padded] */
    const Tail *tail;
    own_step own;            /* OWN */
    Value value, other;                                                    /* what is read; the second factor of MATMUL and OWN */
    int32_t head, tail_count, keep, pitch, groups;                         /* keep: the row after the tail is stored as a map */
    int32_t channels, paired;                                              /* of what is read */
    int32_t raw_height, raw_width, pool_height, pool_width, height, width; /* before, of and after pooling */
    int32_t kernel_height, kernel_width, stride_height, stride_width, padding, dilation;
    int32_t rows;                            /* kernel_height * kernel_width * channels */
    int32_t first_turned, second_turned;     /* MATMUL: whether a factor's rows of bits run over places, not channels */
    int32_t out_channels, out_words, out_padded, out_height, out_width, block;
    int32_t bits, step, offset, scale;       /* bits that a code takes in the kernels; scale = 2^shift */
    int32_t counts;                          /* whether inputs can be above 1 */
    int32_t small;                           /* int16 membranes */
    int32_t narrow_events;                   /* so many events' sum fits int16 with its bias, whatever the weights; -1: none */
    int32_t neuron, leak, leak_shift, leak_multiplier, hard, saturation, gain_shift, edge_count;
    int32_t dense_kernel;                    /* what runs at rates of `event_below` and more */
    float event_below;                       /* mean events per input below which the event kernel runs */
} Layer;

/* Memory of one run; one thread or one team of threads uses it. Everything over time holds `steps_held` steps. */
typedef struct Memory {
    void **membranes;        /* [layers]: int16 or int32 [places][out_padded] */
    uint64_t **spikes;       /* [layers]: [steps_held][places][out_words] */
    int32_t **maps;          /* [layers]: [steps_held][places][pitch], or NULL */
    uint16_t *counts;        /* [steps_held][height][width][paired] of the layer that is running */
    uint16_t *entries;       /* [steps_held][height][2][row_capacity]: lists of the layer that is running */
    int32_t *starts;         /* [steps_held][height][2][width + 1] */
    int64_t *events;         /* [threads][2]: events of a thread's share, and of its busiest row */
    uint8_t **scratch;       /* [threads] of scratch_bytes */
    int64_t scratch_bytes, row_capacity;
    int32_t steps_held, threads;
    volatile int32_t waiting, turn; /* the team's barrier */
} Memory;

typedef struct Job {
    const Layer *l;
    Memory *m;
    int32_t thread, steps, index;
    const uint8_t *frames;   /* frame_stride apart */
    int64_t frame_stride, logit_stride;
    int32_t *logits;
} Job;
