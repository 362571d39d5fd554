/* Spike-time layers computed event by event, in double precision, for the geometry of a convolution
 * (a linear layer is one of a 1x1 map). The meaning is crossing.py, of sums event_sums.py; the order of every forward
 * sum is the same.
 *
 * A sample's spikes are sorted once; each output position gets a list of those it sees, in time order. Lists of a whole
 * batch that fit BUFFER are made by the forward pass and kept for the others (`lists`). Output
 * neurons are taken LANES at a time with their sums in registers, weights laid out as tiles [block][n][LANES].
 * rel_psp:    adds an input's weight at its arrival, asks every STRIDE arrivals whether the threshold may have been reached, and
 *             stops at the spike (of the last neuron of the block that still waits)
 * sums:       takes in every spike: the sums of a neuron that fires after all of them
 * to_weights: turns the lists to rows of weights; inputs that are causal to some neuron of a position meet all of them
 * to_times:   visits the pairs (output spike, causal input), block by block
 */
#include <math.h>
#include <stdint.h>
#include <stddef.h>
#include <string.h>
#ifdef __AVX__
#include <immintrin.h>
#endif

#define VECTORS 4
#define WIDTH 4
#define LANES (VECTORS * WIDTH)
#define SINGLES 8
#define UNITS 64 /* output positions whose spikes a thread holds at a time */
#define STRIDE 24 /* arrivals between two questions whether a block has fired */
#define ALMOST (1 - 1e-12) /* of the threshold: rounding of V within a stride is less */
#define BUCKETS 1024
#define MOVES 8 /* an event may move so far by insertion, in the mean */
#define BUFFER (4 << 20) /* bytes of event lists held at a time, unless one sample needs more */

typedef double Vector __attribute__((vector_size(8 * WIDTH), aligned(8), may_alias));
typedef int64_t Mask __attribute__((vector_size(8 * WIDTH)));

typedef float Singles __attribute__((vector_size(4 * SINGLES), aligned(4), may_alias));
typedef int32_t SinglesMask __attribute__((vector_size(4 * SINGLES)));

typedef struct {
    double time;
    int32_t row, cell; /* row of the weight tile; flat index of the input neuron */
} Event;

typedef struct {
    int32_t position, row;
} View; /* an output position that sees an input neuron, and through which weights */

typedef struct {
    const double *times;                     /* [N][S] */
    const void *weight;                      /* [m][n] of `single` or double numbers, as the gradient to them */
    const double *scale, *at;                /* [N][P][m]: dL/dt / V', and when the kernel is read */
    void *out;                               /* forward: [N][P][m] times, sums: I; backward: the gradient */
    double *slope;                           /* [N][P][m]; sums: W */
    int32_t *last;                           /* [N][P][m]: place of the last causal input, -1 silent */
    char *room;                              /* `room_bytes` of memory, aligned to 64 */
    char *lists;                             /* `list_bytes` of memory that outlives the pass; null: lists lie in the room */
    int64_t *work;                           /* [2]: pairs needed, lanes executed */
    int64_t samples, channels, height, width, kh, kw, sh, sw, ph, pw, oh, ow, outputs;
    int64_t listed, single;                  /* whether `lists` are made already; whether weights are float */
    double threshold, t_max;
    double cap;                              /* to_weights: greatest t_i - at_j of a pair, 0 or inf */
} Layer;

typedef struct {
    Event *events;   /* [group][P][n] */
    int32_t *counts; /* [group][P] */
    Event *scratch;  /* [threads][2][S] */
    double *tiles;   /* [blocks][n][LANES] */
    Vector *totals;  /* [threads][n] */
    View *views;     /* of all input neurons, one after another */
    int64_t *ends;   /* [S]: where those of each end */
    Event *turned;   /* [group][P][n]: to_weights: events by row */
    int32_t *starts; /* [chunks][n + 2]: where those of a row start */
    int64_t inputs, positions, fan_in, blocks, group;
} Room;

static inline double *tile_of(const Room *room, int64_t block) { return room->tiles + (block * (room->fan_in + 1) + 1) * LANES; }

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static void list_views(const Layer *layer, Room *room)
{
    int64_t count = 0, cell = 0;
    for (int64_t c = 0; c < layer->channels; c++)
        for (int64_t y = layer->ph; y < layer->height + layer->ph; y++)
            for (int64_t x = layer->pw; x < layer->width + layer->pw; x++) {
                for (int64_t ky = 0; ky < layer->kh && ky <= y; ky++)
                    for (int64_t kx = 0; kx < layer->kw && kx <= x; kx++) {
                        int64_t oy = (y - ky) / layer->sh, ox = (x - kx) / layer->sw;
                        if ((y - ky) % layer->sh || (x - kx) % layer->sw || oy >= layer->oh || ox >= layer->ow)
                            continue;
                        room->views[count++] = (View){(int32_t)(oy * layer->ow + ox), (int32_t)((c * layer->kh + ky) * layer->kw + kx)};
                    }
                room->ends[cell++] = count;
            }
}

static int64_t sample_bytes(const Layer *layer)
{
    return layer->oh * layer->ow * layer->channels * layer->kh * layer->kw * (int64_t)sizeof(Event);
}

/* Bytes of the lists of all samples, 0 if they are too many to keep. */
int64_t list_bytes(const Layer *layer)
{
    const int64_t events = layer->samples * sample_bytes(layer);
    return events > BUFFER ? 0 : events + layer->samples * layer->oh * layer->ow * (int64_t)sizeof(int32_t);
}

/* Lays out the room from `memory` on (null: measures it only); returns its bytes. */
static int64_t lay_out(Room *room, const Layer *layer, int threads, char *memory)
{
    room->inputs = layer->channels * layer->height * layer->width;
    room->positions = layer->oh * layer->ow;
    room->fan_in = layer->channels * layer->kh * layer->kw;
    room->blocks = (layer->outputs + LANES - 1) / LANES;
    const int64_t views = room->positions * room->fan_in, sample = sample_bytes(layer);
    room->group = least(BUFFER / sample > threads ? BUFFER / sample : threads, layer->samples);
    const int64_t sizes[] = {
        room->blocks * (room->fan_in + 1) * LANES * (int64_t)sizeof(double), threads * room->fan_in * (int64_t)sizeof(Vector),
        layer->lists ? 0 : room->group * sample, threads * 2 * room->inputs * (int64_t)sizeof(Event), views * (int64_t)sizeof(View),
        room->inputs * (int64_t)sizeof(int64_t), layer->lists ? 0 : room->group * room->positions * (int64_t)sizeof(int32_t),
        layer->scale ? room->group * sample : 0,
        layer->scale ? (room->group * room->positions / UNITS + 1) * (room->fan_in + 2) * (int64_t)sizeof(int32_t) : 0,
    };
    int64_t starts[9], bytes = 0;
    for (int i = 0; i < 9; i++)
        starts[i] = bytes, bytes += (sizes[i] + 63) / 64 * 64;
    if (!memory)
        return bytes;
    room->tiles = (double *)(memory + starts[0]);
    room->totals = (Vector *)(memory + starts[1]);
    room->events = (Event *)(layer->lists ? layer->lists : memory + starts[2]);
    room->scratch = (Event *)(memory + starts[3]);
    room->views = (View *)(memory + starts[4]);
    room->ends = (int64_t *)(memory + starts[5]);
    room->counts = (int32_t *)(layer->lists ? layer->lists + layer->samples * sample : memory + starts[6]);
    room->turned = (Event *)(memory + starts[7]);
    room->starts = (int32_t *)(memory + starts[8]);
    list_views(layer, room);
    return bytes;
}

int64_t room_bytes(const Layer *layer, int threads)
{
    Room room;
    return lay_out(&room, layer, threads, NULL);
}

/* Bits of a time as an integer of the same order; -0 counts as 0. */
static inline uint64_t key_of(double time)
{
    uint64_t bits;
    time += 0.0;
    memcpy(&bits, &time, sizeof bits);
    return bits >> 63 ? ~bits : bits | (uint64_t)1 << 63;
}

/* Stable radix sort by time, a byte a pass, lowest first; bytes in which all agree are left out. */
static Event *radix_sorted(Event *from, Event *to, int64_t count)
{
    uint64_t vary = 0;
    for (int64_t i = 1; i < count; i++)
        vary |= key_of(from[i].time) ^ key_of(from[0].time);
    for (int shift = 0; shift < 64; shift += 8) {
        int32_t places[256] = {0}, total = 0;
        if (!(vary >> shift & 255))
            continue;
        for (int64_t i = 0; i < count; i++)
            places[key_of(from[i].time) >> shift & 255]++;
        for (int value = 0; value < 256; value++) {
            const int32_t here = places[value];
            places[value] = total, total += here;
        }
        for (int64_t i = 0; i < count; i++)
            to[places[key_of(from[i].time) >> shift & 255]++] = from[i];
        Event *swap = from;
        from = to, to = swap;
    }
    return from;
}

/* Stable sort by time: into BUCKETS equal parts of the span, then by insertion; by radix where times crowd in few parts. */
static Event *sorted(Event *from, Event *to, int64_t count)
{
    double low = INFINITY, high = -INFINITY;
    for (int64_t i = 0; i < count; i++) {
        low = from[i].time < low ? from[i].time : low;
        high = from[i].time > high ? from[i].time : high;
    }
    const double scale = (BUCKETS - 1) / (high - low);
    if (!(scale > 0 && scale < INFINITY))
        return radix_sorted(from, to, count);
    int32_t places[BUCKETS] = {0}, total = 0;
    for (int64_t i = 0; i < count; i++)
        places[(int32_t)((from[i].time - low) * scale)]++;
    for (int64_t b = 0; b < BUCKETS; b++) {
        const int32_t here = places[b];
        places[b] = total, total += here;
    }
    for (int64_t i = 0; i < count; i++)
        to[places[(int32_t)((from[i].time - low) * scale)]++] = from[i];
    int64_t moves = 0;
    for (int64_t i = 1; i < count; i++) {
        const Event e = to[i];
        int64_t j = i;
        for (; j > 0 && to[j - 1].time > e.time; j--)
            to[j] = to[j - 1];
        to[j] = e;
        moves += i - j;
        if (moves > MOVES * count)
            return radix_sorted(to, from, count);
    }
    return to;
}

/* The events that each output position sees, in time order. */
static void list_events(const Layer *layer, const Room *room, int64_t sample, Event *scratch, Event *events, int32_t *counts)
{
    const double *times = layer->times + sample * room->inputs;
    int64_t count = 0;
    for (int64_t i = 0; i < room->inputs; i++) {
        scratch[count] = (Event){times[i], 0, (int32_t)i};
        count += times[i] < INFINITY;
    }
    const Event *order = sorted(scratch, scratch + room->inputs, count);
    memset(counts, 0, room->positions * sizeof(int32_t));
    for (int64_t i = 0; i < count; i++) {
        Event e = order[i];
        for (int64_t v = e.cell ? room->ends[e.cell - 1] : 0; v < room->ends[e.cell]; v++) {
            const View view = room->views[v];
            e.row = view.row;
            events[view.position * room->fan_in + counts[view.position]++] = e;
        }
    }
}

static int thread_number(void);

static void list_group(const Layer *layer, const Room *room, int64_t first, int64_t count, int threads)
{
    if (layer->listed)
        return;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t s = 0; s < count; s++)
        list_events(layer, room, first + s, room->scratch + thread_number() * 2 * room->inputs,
                    room->events + s * room->positions * room->fan_in, room->counts + s * room->positions);
    (void)threads;
}

/* The weights of each block as a tile [fan_in][LANES], before which stand the greatest |w| of its neurons. */
static inline void pack_as(const Layer *layer, const Room *room, int single)
{
    for (int64_t b = 0; b < room->blocks; b++) {
        double *tile = tile_of(room, b), *greatest = tile - LANES;
        const int64_t from = b * LANES * room->fan_in, lanes = least(LANES, layer->outputs - b * LANES);
        const float *floats = (const float *)layer->weight + from;
        const double *doubles = (const double *)layer->weight + from;
        memset(greatest, 0, LANES * sizeof(double));
        if (lanes < LANES)
            memset(tile, 0, room->fan_in * LANES * sizeof(double));
        for (int64_t i = 0; i < room->fan_in; i++)
            for (int64_t l = 0; l < lanes; l++)
                tile[i * LANES + l] = single ? (double)floats[l * room->fan_in + i] : doubles[l * room->fan_in + i];
        for (int64_t i = 0; i < room->fan_in; i++)
            for (int64_t l = 0; l < LANES; l++)
                greatest[l] = fabs(tile[i * LANES + l]) > greatest[l] ? fabs(tile[i * LANES + l]) : greatest[l];
    }
}

static void pack(const Layer *layer, const Room *room)
{
    if (layer->single)
        pack_as(layer, room, 1);
    else
        pack_as(layer, room, 0);
}

/* Writes the sums of a block [fan_in][LANES] to the gradient [m][n]. */
static inline void unpack_as(const Layer *layer, const Room *room, int64_t block, int single)
{
    const double *sums = tile_of(room, block);
    const int64_t to = block * LANES * room->fan_in, lanes = least(LANES, layer->outputs - block * LANES);
    float *floats = (float *)layer->out + to;
    double *doubles = (double *)layer->out + to;
    for (int64_t i = 0; i < room->fan_in; i++)
        for (int64_t l = 0; l < lanes; l++)
            if (single)
                floats[l * room->fan_in + i] = (float)sums[i * LANES + l];
            else
                doubles[l * room->fan_in + i] = sums[i * LANES + l];
}

static void unpack(const Layer *layer, const Room *room, int64_t block)
{
    if (layer->single)
        unpack_as(layer, room, block, 1);
    else
        unpack_as(layer, room, block, 0);
}

static inline Vector masked(Vector x, Mask mask) { return (Vector)((Mask)x & mask); }

static inline int any(Mask mask)
{
#ifdef __AVX__
    return _mm256_movemask_pd((__m256d)mask);
#else
    int64_t bits = 0;
    for (int i = 0; i < WIDTH; i++)
        bits |= mask[i];
    return bits != 0;
#endif
}

/* The greater of each two; the second where one is nan. */
static inline Vector greater(Vector a, Vector b)
{
#ifdef __AVX__
    return (Vector)_mm256_max_pd((__m256d)a, (__m256d)b);
#else
    const Mask above = a > b;
    return (Vector)(((Mask)a & above) | ((Mask)b & ~above));
#endif
}

static inline Singles lesser_single(Singles a, Singles b)
{
#ifdef __AVX__
    return (Singles)_mm256_min_ps((__m256)a, (__m256)b);
#else
    const SinglesMask below = a < b;
    return (Singles)(((SinglesMask)a & below) | ((SinglesMask)b & ~below));
#endif
}

static inline Singles fused_single(Singles a, Singles b, Singles c)
{
#ifdef __FMA__
    return (Singles)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}

static inline Vector lesser(Vector a, Vector b)
{
#ifdef __AVX__
    return (Vector)_mm256_min_pd((__m256d)a, (__m256d)b);
#else
    const Mask below = a < b;
    return (Vector)(((Mask)a & below) | ((Mask)b & ~below));
#endif
}

static inline Vector fused(Vector a, Vector b, Vector c)
{
#ifdef __FMA__
    return (Vector)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#else
    return a * b + c;
#endif
}

static inline void copy(const Vector *from, Vector *to)
{
    for (int v = 0; v < VECTORS; v++)
        to[v] = from[v];
}

/* Takes in events `from` to `to`, each of which another follows: a weight at an arrival, then V = V + W dt up to the next. */
static inline void take_in(const Event *events, int64_t from, int64_t to, const double *tile, Vector *W, Vector *V)
{
    Vector sum[VECTORS], potential[VECTORS]; /* in registers */
    copy(W, sum), copy(V, potential);
    for (int64_t k = from; k < to; k++) {
        const Vector *w = (const Vector *)(tile + (int64_t)events[k].row * LANES);
        const double dt = events[k + 1].time - events[k].time;
        for (int v = 0; v < VECTORS; v++) {
            sum[v] += w[v];
            potential[v] += sum[v] * dt;
        }
    }
    copy(sum, W), copy(potential, V);
}

/* A spike of the neuron at `where`, whose potential is V at the arrival of input `k` and rises by W up to `next`. */
static inline void fire(const Layer *layer, int64_t where, int64_t k, double time, double next, double W, double V)
{
    double t = time + (layer->threshold - V) / W;
    t = t < time ? time : t > next ? next : t;
    if (t <= layer->t_max && t < INFINITY)
        ((double *)layer->out)[where] = t, layer->last[where] = (int32_t)k, layer->slope[where] = W;
}

/* One vector of a block goes over events `from` to `to` again, and fires where the threshold is reached by the next arrival.
 * Those that fire wait for nan from then on. Returns how many fired. */
static int64_t look(const Event *events, int64_t from, int64_t to, const double *tile, Vector W, Vector V, Vector *wait, const Layer *layer, int64_t where)
{
    int64_t fired = 0;
    for (int64_t k = from; k < to; k++) {
        const Vector before = V;
        W += *(const Vector *)(tile + (int64_t)events[k].row * LANES);
        V += W * (events[k + 1].time - events[k].time);
        if (!any((V >= layer->threshold) & (*wait > 0)))
            continue;
        for (int64_t l = 0; l < WIDTH; l++)
            if (V[l] >= layer->threshold && (*wait)[l] > 0) {
                fire(layer, where + l, k, events[k].time, events[k + 1].time, W[l], before[l]);
                (*wait)[l] = NAN, fired++;
            }
    }
    return fired;
}

/* One block of ReL-PSP neurons at one position. Returns the inputs taken in, summed over lanes.
 *
 * It strides over arrivals, and asks at the end of a stride alone whether a neuron may have fired in it: W changes by less
 * than D = STRIDE max|w| in a stride of duration T, so that V rises above both its ends by less than D T / 4. Vectors in which
 * one may have go over the stride again. Behind the last arrival every neuron that rises fires. */
static int64_t rel_psp_block(const Event *events, int64_t count, const double *tile, int64_t lanes, const Layer *layer, int64_t where)
{
    Vector W[VECTORS] = {{0}}, V[VECTORS] = {{0}}, wait[VECTORS], steep[VECTORS]; /* wait: almost the threshold, nan once fired */
    int64_t open = lanes, taken = 0, k = 0;
    for (int64_t l = 0; l < LANES; l++)
        wait[l / WIDTH][l % WIDTH] = l < lanes ? layer->threshold * ALMOST : NAN;
    copy((const Vector *)(tile - LANES), steep);
    for (int64_t l = 0; l < lanes; l++)
        ((double *)layer->out)[where + l] = INFINITY, layer->last[where + l] = -1, layer->slope[where + l] = 0;
    for (int64_t end; k < count - 1 && open; k = end) {
        Vector old_W[VECTORS], old_V[VECTORS];
        copy(W, old_W), copy(V, old_V);
        end = least(k + STRIDE, count - 1);
        take_in(events, k, end, tile, W, V);
        taken += (end - k) * lanes;
        const double quarter = (STRIDE / 4.0) * (events[end].time - events[k].time);
        Mask near[VECTORS], some = {0};
        for (int64_t v = 0; v < VECTORS; v++) {
            near[v] = greater(old_V[v], V[v]) + steep[v] * quarter >= wait[v];
            some |= near[v];
        }
        if (!any(some))
            continue;
        for (int64_t v = 0; v < VECTORS; v++)
            if (any(near[v])) {
                open -= look(events, k, end, tile + v * WIDTH, old_W[v], old_V[v], &wait[v], layer, where + v * WIDTH);
                taken += (end - k) * least(WIDTH, lanes - v * WIDTH);
            }
    }
    if (k >= count || !open)
        return taken;
    for (int64_t v = 0; v < VECTORS; v++) {
        W[v] += *(const Vector *)(tile + (int64_t)events[k].row * LANES + v * WIDTH);
        if (any((W[v] > 0) & (wait[v] > 0)))
            for (int64_t l = 0; l < WIDTH; l++)
                if (W[v][l] > 0 && wait[v][l] > 0)
                    fire(layer, where + v * WIDTH + l, k, events[k].time, INFINITY, W[v][l], V[v][l]);
    }
    return taken + lanes;
}

/* One block of neurons whose inputs are all causal (STD-ED): W = sum w and I = sum w t. */
static int64_t sums_block(const Event *events, int64_t count, const double *tile, int64_t lanes, const Layer *layer, int64_t where)
{
    Vector W[VECTORS] = {{0}}, I[VECTORS] = {{0}};
    for (int64_t k = 0; k < count; k++) {
        const Vector *w = (const Vector *)(tile + (int64_t)events[k].row * LANES);
        for (int v = 0; v < VECTORS; v++) {
            W[v] += w[v];
            I[v] += w[v] * events[k].time;
        }
    }
    for (int64_t l = 0; l < lanes; l++)
        layer->slope[where + l] = W[l / WIDTH][l % WIDTH], ((double *)layer->out)[where + l] = I[l / WIDTH][l % WIDTH];
    return count * lanes;
}

typedef int64_t Take(const Event *, int64_t, const double *, int64_t, const Layer *, int64_t);

static inline void forward(const Layer *layer, int threads, Take *take)
{
    Room room;
    int64_t executed = 0;
    lay_out(&room, layer, threads, layer->room);
    pack(layer, &room);
    for (int64_t first = 0; first < layer->samples; first += room.group) {
        int64_t count = least(room.group, layer->samples - first);
        list_group(layer, &room, first, count, threads);
#pragma omp parallel for collapse(2) schedule(dynamic) num_threads(threads) reduction(+ : executed)
        for (int64_t b = 0; b < room.blocks; b++)
            for (int64_t part = 0; part < threads; part++)
                for (int64_t u = count * room.positions * part / threads; u < count * room.positions * (part + 1) / threads; u++)
                    executed += take(room.events + u * room.fan_in, room.counts[u], tile_of(&room, b), least(LANES, layer->outputs - b * LANES),
                                     layer, (first * room.positions + u) * layer->outputs + b * LANES);
    }
    layer->work[1] = executed;
}

void rel_psp_forward(const Layer *layer, int threads) { forward(layer, threads, rel_psp_block); }

void sums_forward(const Layer *layer, int threads) { forward(layer, threads, sums_block); }

/* The lanes of a block as gradients need them: scale (0: no gradient), time and last causal place. */
typedef struct {
    Vector scale[VECTORS], at[VECTORS], last[VECTORS];
    int64_t nearest, furthest, pairs; /* least and greatest last place of lanes with a gradient; causal pairs */
} Block;

static Block load(const Layer *layer, int64_t where, int64_t lanes)
{
    Block block = {.nearest = INT64_MAX, .furthest = -1};
    for (int64_t l = 0; l < LANES; l++) {
        int64_t place = l < lanes && layer->scale[where + l] != 0 ? layer->last[where + l] : -1;
        block.scale[l / WIDTH][l % WIDTH] = place < 0 ? 0 : layer->scale[where + l];
        block.at[l / WIDTH][l % WIDTH] = place < 0 ? 0 : layer->at[where + l];
        block.last[l / WIDTH][l % WIDTH] = (double)place;
        block.furthest = place > block.furthest ? place : block.furthest;
        block.nearest = place >= 0 ? least(place, block.nearest) : block.nearest;
        block.pairs += place + 1;
    }
    return block;
}

/* The place of the last input that is causal to an output with a gradient, -1 if there is none; adds the pairs of all. */
static int64_t furthest(const Layer *layer, int64_t unit, int64_t *pairs)
{
    const double *scale = layer->scale + unit * layer->outputs;
    const int32_t *last = layer->last + unit * layer->outputs;
    int32_t most = -1;
    int64_t sum = 0;
    for (int64_t j = 0; j < layer->outputs; j++) {
        const int32_t place = last[j], mine = scale[j] != 0 ? place : -1;
        most = mine > most ? mine : most, sum += mine + 1;
    }
    *pairs += sum;
    return most;
}

/* The causal events of UNITS positions from `low` on, by row of the weights in place of time; `row` becomes the position
 * within the chunk. Those of row i are `turned` from start[i] to start[i + 1]. Returns the causal pairs. */
static int64_t turn(const Layer *layer, const Room *room, int64_t first, int64_t low, int64_t count, Event *turned, int32_t *start)
{
    int64_t most[UNITS], pairs = 0;
    memset(start, 0, (room->fan_in + 2) * sizeof(int32_t));
    for (int64_t r = 0; r < count; r++) {
        const Event *events = room->events + (low + r) * room->fan_in;
        most[r] = furthest(layer, first * room->positions + low + r, &pairs);
        for (int64_t k = 0; k <= most[r]; k++)
            start[events[k].row + 2]++;
    }
    for (int64_t i = 0; i < room->fan_in; i++)
        start[i + 2] += start[i + 1];
    for (int64_t r = 0; r < count; r++) {
        const Event *events = room->events + (low + r) * room->fan_in;
        for (int64_t k = 0; k <= most[r]; k++)
            turned[start[events[k].row + 1]++] = (Event){events[k].time, (int32_t)r, 0};
    }
    return pairs;
}

/* What a chunk's spikes say to the weights of a block: at and scale of each position, 0 where there is no gradient. */
typedef union {
    double doubles[UNITS][2][LANES];
    float floats[UNITS][2][LANES];
} Panel;

static inline void load_panel(const Layer *layer, int64_t where, int64_t count, int64_t lanes, int single, Panel *panel)
{
    memset(panel, 0, lanes < LANES ? sizeof *panel : 0);
    for (int64_t r = 0; r < count; r++, where += layer->outputs)
        for (int64_t l = 0; l < lanes; l++) {
            const double at = layer->at[where + l], scale = layer->scale[where + l];
            const int learns = (layer->last[where + l] >= 0) & (scale != 0); /* no jump: half of them do */
            if (single)
                panel->floats[r][0][l] = learns ? (float)at : 0, panel->floats[r][1][l] = learns ? (float)scale : 0;
            else
                panel->doubles[r][0][l] = learns ? at : 0, panel->doubles[r][1][l] = learns ? scale : 0;
        }
}

/* Adds a chunk's pairs to the sums [fan_in][LANES] of a block, those of a row in registers. */
static void add_rows(const Event *turned, const int32_t *start, int64_t fan_in, const Panel *panel, double cap, Vector *sums)
{
    for (int64_t i = 0; i < fan_in; i++, sums += VECTORS) {
        Vector sum[VECTORS];
        copy(sums, sum);
        for (int64_t k = start[i]; k < start[i + 1]; k++) {
            const Vector *at = (const Vector *)panel->doubles[turned[k].row][0], *scale = at + VECTORS;
            for (int v = 0; v < VECTORS; v++)
                sum[v] = fused(scale[v], lesser(turned[k].time - at[v], (Vector){0} + cap), sum[v]);
        }
        copy(sum, sums);
    }
}

static inline void add_single(const Event *event, const Panel *panel, float cap, Singles *sum)
{
    const Singles *at = (const Singles *)panel->floats[event->row][0], *scale = at + LANES / SINGLES;
    for (int v = 0; v < LANES / SINGLES; v++)
        sum[v] = fused_single(scale[v], lesser_single((float)event->time - at[v], (Singles){0} + cap), sum[v]);
}

/* The same for float weights: in float within a chunk, and two sums at a time, which do not wait for one another. */
static void add_rows_single(const Event *turned, const int32_t *start, int64_t fan_in, const Panel *panel, float cap, double *sums)
{
    for (int64_t i = 0; i < fan_in; i++, sums += LANES) {
        Singles even[LANES / SINGLES] = {{0}}, odd[LANES / SINGLES] = {{0}};
        int64_t k = start[i];
        for (; k + 1 < start[i + 1]; k += 2)
            add_single(turned + k, panel, cap, even), add_single(turned + k + 1, panel, cap, odd);
        if (k < start[i + 1])
            add_single(turned + k, panel, cap, even);
        for (int l = 0; l < LANES; l++)
            sums[l] += (double)(even[l / SINGLES][l % SINGLES] + odd[l / SINGLES][l % SINGLES]);
    }
}

/* out[j][i] = sum of scale_j (t_i - at_j) over pairs. UNITS positions at a time, whose spikes stay in the first-level cache;
 * row after row. No pair is asked whether it is causal: behind a spike min(t_i - at_j, 0) is 0; `cap` is 0, or
 * inf where every input that arrives is causal. */
void to_weights(const Layer *layer, int threads)
{
    Room room;
    int64_t executed = 0, pairs = 0;
    lay_out(&room, layer, threads, layer->room);
    for (int64_t first = 0; first < layer->samples; first += room.group) {
        const int64_t group = least(room.group, layer->samples - first), units = group * room.positions;
        list_group(layer, &room, first, group, threads);
#pragma omp parallel for schedule(static) num_threads(threads) reduction(+ : pairs)
        for (int64_t low = 0; low < units; low += UNITS)
            pairs += turn(layer, &room, first, low, least(UNITS, units - low), room.turned + low * room.fan_in,
                          room.starts + low / UNITS * (room.fan_in + 2));
#pragma omp parallel for schedule(dynamic) num_threads(threads) reduction(+ : executed)
        for (int64_t b = 0; b < room.blocks; b++) {
            Panel panel;
            double *sums = tile_of(&room, b);
            const int64_t lanes = least(LANES, layer->outputs - b * LANES);
            if (!first)
                memset(sums, 0, room.fan_in * LANES * sizeof(double));
            for (int64_t low = 0; low < units; low += UNITS) {
                const Event *turned = room.turned + low * room.fan_in;
                const int32_t *start = room.starts + low / UNITS * (room.fan_in + 2);
                const int64_t where = (first * room.positions + low) * layer->outputs + b * LANES, count = least(UNITS, units - low);
                if (layer->single) {
                    load_panel(layer, where, count, lanes, 1, &panel);
                    add_rows_single(turned, start, room.fan_in, &panel, (float)layer->cap, sums);
                } else {
                    load_panel(layer, where, count, lanes, 0, &panel);
                    add_rows(turned, start, room.fan_in, &panel, layer->cap, (Vector *)sums);
                }
                executed += start[room.fan_in] * lanes;
            }
            if (first + group == layer->samples)
                unpack(layer, &room, b);
        }
    }
    if (!layer->samples)
        memset(layer->out, 0, layer->outputs * room.fan_in * (layer->single ? sizeof(float) : sizeof(double)));
    layer->work[0] = pairs, layer->work[1] = executed;
}

/* out[sample][i] = sum of scale_j w_ij over pairs */
void to_times(const Layer *layer, int threads)
{
    Room room;
    int64_t executed = 0, pairs = 0;
    lay_out(&room, layer, threads, layer->room);
    pack(layer, &room);
    memset(layer->out, 0, layer->samples * room.inputs * sizeof(double));
    for (int64_t first = 0; first < layer->samples; first += room.group) {
        int64_t count = least(room.group, layer->samples - first);
        list_group(layer, &room, first, count, threads);
#pragma omp parallel for schedule(static) num_threads(threads) reduction(+ : executed, pairs)
        for (int64_t s = 0; s < count; s++)
            for (int64_t p = 0; p < room.positions; p++) {
                const int64_t u = s * room.positions + p;
                const Event *events = room.events + u * room.fan_in;
                Vector *total = room.totals + thread_number() * room.fan_in;
                double *out = (double *)layer->out + (first + s) * room.inputs;
                memset(total, 0, room.counts[u] * sizeof(Vector));
                for (int64_t b = 0; b < room.blocks; b++) {
                    const double *tile = tile_of(&room, b);
                    int64_t lanes = least(LANES, layer->outputs - b * LANES);
                    const Block block = load(layer, (first * room.positions + u) * layer->outputs + b * LANES, lanes);
                    executed += (block.furthest + 1) * lanes, pairs += block.pairs;
                    int64_t k = 0;
                    for (; k <= block.nearest && k <= block.furthest; k++) {
                        const Vector *w = (const Vector *)(tile + (int64_t)events[k].row * LANES);
                        for (int v = 0; v < VECTORS; v++)
                            total[k] += block.scale[v] * w[v];
                    }
                    for (; k <= block.furthest; k++) {
                        const Vector *w = (const Vector *)(tile + (int64_t)events[k].row * LANES);
                        const double place = (double)k;
                        for (int v = 0; v < VECTORS; v++)
                            total[k] += masked(block.scale[v] * w[v], place <= block.last[v]);
                    }
                }
                for (int64_t k = 0; k < room.counts[u]; k++)
                    for (int v = 0; v < WIDTH; v++)
                        out[events[k].cell] += total[k][v];
            }
    }
    layer->work[0] = pairs, layer->work[1] = executed;
}

#ifdef _OPENMP
#include <omp.h>
static int thread_number(void) { return omp_get_thread_num(); }
#else
static int thread_number(void) { return 0; }
#endif
