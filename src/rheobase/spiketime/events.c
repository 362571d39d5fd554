/* Spike-time layers computed event by event, in double precision, for the geometry of a convolution
 * (a linear layer is one of a 1x1 map). The meaning is crossing.py, of sums event_sums.py; the order of every forward
 * sum is the same.
 *
 * A sample's spikes are sorted once; each output position gets a list of those it sees, in time order. Lists of a whole
 * batch that fit BUFFER are made by the forward pass and kept for the others (`lists`). Output
 * neurons are taken LANES at a time with their sums in registers, weights laid out as tiles [block][n][LANES].
 * rel_psp:    adds an input's weight at its arrival, asks whether the threshold is reached by the next arrival, and
 *             stops at the spike (of the last neuron of the block that still waits)
 * sums:       takes in every spike: the sums of a neuron that fires after all of them
 * to_weights, to_times: visit the pairs (output spike, causal input), block by block
 */
#include <math.h>
#include <stdint.h>
#include <stddef.h>
#include <string.h>
#ifdef __AVX__
#include <immintrin.h>
#endif

#define VECTORS 2
#define WIDTH 4
#define LANES (VECTORS * WIDTH)
#define STRIDE 32 /* arrivals between two questions whether a block has fired */
#define BUCKETS 1024
#define MOVES 8 /* an event may move so far by insertion, in the mean */
#define BUFFER (4 << 20) /* bytes of event lists held at a time, unless one sample needs more */

typedef double Vector __attribute__((vector_size(8 * WIDTH), aligned(8), may_alias));
typedef int64_t Mask __attribute__((vector_size(8 * WIDTH)));

typedef struct {
    double time;
    int32_t row, cell; /* row of the weight tile; flat index of the input neuron */
} Event;

typedef struct {
    int32_t position, row;
} View; /* an output position that sees an input neuron, and through which weights */

typedef struct {
    const double *times, *weight;            /* [N][S], [m][n] */
    const double *scale, *at;                /* [N][P][m]: dL/dt / V', and when the kernel is read */
    double *out, *slope;                     /* forward: [N][P][m], sums: I and W; backward: out is the gradient */
    int32_t *last;                           /* [N][P][m]: place of the last causal input, -1 silent */
    char *room;                              /* `room_bytes` of memory, aligned to 64 */
    char *lists;                             /* `list_bytes` of memory that outlives the pass; null: lists lie in the room */
    int64_t *work;                           /* [2]: pairs needed, lanes executed */
    int64_t samples, channels, height, width, kh, kw, sh, sw, ph, pw, oh, ow, outputs;
    int64_t listed;                          /* whether `lists` are made already */
    double threshold, t_max;
} Layer;

typedef struct {
    Event *events;   /* [group][P][n] */
    int32_t *counts; /* [group][P] */
    Event *scratch;  /* [threads][2][S] */
    double *tiles;   /* [blocks][n][LANES] */
    Vector *totals;  /* [threads][n] */
    View *views;     /* of all input neurons, one after another */
    int64_t *ends;   /* [S]: where those of each end */
    int64_t inputs, positions, fan_in, blocks, group;
} Room;

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
        room->blocks * room->fan_in * LANES * (int64_t)sizeof(double), threads * room->fan_in * (int64_t)sizeof(Vector),
        layer->lists ? 0 : room->group * sample, threads * 2 * room->inputs * (int64_t)sizeof(Event), views * (int64_t)sizeof(View),
        room->inputs * (int64_t)sizeof(int64_t), layer->lists ? 0 : room->group * room->positions * (int64_t)sizeof(int32_t),
    };
    int64_t starts[7], bytes = 0;
    for (int i = 0; i < 7; i++)
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
    memset(room->tiles, 0, sizes[0]);
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

static void pack(const Layer *layer, const Room *room)
{
    for (int64_t j = 0; j < layer->outputs; j++) {
        double *tile = room->tiles + j / LANES * room->fan_in * LANES + j % LANES;
        for (int64_t i = 0; i < room->fan_in; i++)
            tile[i * LANES] = layer->weight[j * room->fan_in + i];
    }
}

static inline Vector masked(Vector x, Mask mask) { return (Vector)((Mask)x & mask); }

static inline int any(Mask mask)
{
    int64_t bits = 0;
    for (int i = 0; i < WIDTH; i++)
        bits |= mask[i];
    return bits != 0;
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

static inline int reached(const Vector *V, const Vector *wait)
{
    Mask hit = {0};
    for (int v = 0; v < VECTORS; v++)
        hit |= V[v] >= wait[v];
    return any(hit);
}

/* Takes in one event: its weight, then V = V + W dt. */
static inline void one(const Event *events, int64_t k, double dt, const double *tile, Vector *W, Vector *V)
{
    const Vector *w = (const Vector *)(tile + (int64_t)events[k].row * LANES);
    for (int v = 0; v < VECTORS; v++) {
        W[v] += w[v];
        V[v] += W[v] * dt;
    }
}

/* Takes in events `from` to `to`, each of which another follows: a weight at an arrival, then V = V + W dt up to the next.
 * `peak` rises to the greatest V. */
static inline void take_in(const Event *events, int64_t from, int64_t to, const double *tile, Vector *W, Vector *V, Vector *peak)
{
    Vector sum[VECTORS], potential[VECTORS], top[VECTORS]; /* in registers */
    memcpy(sum, W, sizeof sum), memcpy(potential, V, sizeof potential), memcpy(top, peak, sizeof top);
    for (int64_t k = from; k < to; k++) {
        const Vector *w = (const Vector *)(tile + (int64_t)events[k].row * LANES);
        const double dt = events[k + 1].time - events[k].time;
        for (int v = 0; v < VECTORS; v++) {
            sum[v] += w[v];
            potential[v] += sum[v] * dt;
            top[v] = greater(potential[v], top[v]);
        }
    }
    memcpy(W, sum, sizeof sum), memcpy(V, potential, sizeof potential), memcpy(peak, top, sizeof top);
}

/* One block of ReL-PSP neurons at one position. Returns the inputs taken in.
 * It strides over arrivals; a stride in which a neuron fires is gone over again, one arrival at a time. Behind the last
 * arrival every neuron that rises fires. */
static int64_t rel_psp_block(const Event *events, int64_t count, const double *tile, int64_t lanes, const Layer *layer, int64_t where)
{
    Vector W[VECTORS] = {{0}}, V[VECTORS] = {{0}}, wait[VECTORS]; /* wait: the threshold, nan once fired */
    int64_t open = lanes, k = 0, taken = 0, strides = count - 1;
    for (int64_t l = 0; l < LANES; l++)
        wait[l / WIDTH][l % WIDTH] = l < lanes ? layer->threshold : NAN;
    for (int64_t l = 0; l < lanes; l++)
        layer->out[where + l] = INFINITY, layer->last[where + l] = -1, layer->slope[where + l] = 0;
    while (k < count && open) {
        Vector old_W[VECTORS], old_V[VECTORS], peak[VECTORS];
        const int64_t end = k < strides ? least(k + STRIDE, strides) : count;
        memcpy(old_W, W, sizeof W), memcpy(old_V, V, sizeof V), memcpy(peak, V, sizeof V);
        if (k < strides) {
            take_in(events, k, end, tile, W, V, peak);
            taken += end - k;
            if (!reached(peak, wait)) {
                k = end;
                continue;
            }
            memcpy(W, old_W, sizeof W), memcpy(V, old_V, sizeof V);
        }
        for (; k < end && open; k++) {
            const double time = events[k].time, next = k < strides ? events[k + 1].time : INFINITY;
            memcpy(old_V, V, sizeof V);
            one(events, k, next - time, tile, W, V);
            taken++;
            if (!reached(V, wait))
                continue;
            for (int64_t l = 0; l < lanes; l++) {
                if (!(V[l / WIDTH][l % WIDTH] >= wait[l / WIDTH][l % WIDTH]))
                    continue;
                double slope = W[l / WIDTH][l % WIDTH];
                double t = time + (layer->threshold - old_V[l / WIDTH][l % WIDTH]) / slope;
                t = t < time ? time : t > next ? next : t;
                wait[l / WIDTH][l % WIDTH] = NAN;
                open--;
                if (t <= layer->t_max && t < INFINITY)
                    layer->out[where + l] = t, layer->last[where + l] = (int32_t)k, layer->slope[where + l] = slope;
            }
        }
    }
    return taken;
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
        layer->slope[where + l] = W[l / WIDTH][l % WIDTH], layer->out[where + l] = I[l / WIDTH][l % WIDTH];
    return count;
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
                for (int64_t u = count * room.positions * part / threads; u < count * room.positions * (part + 1) / threads; u++) {
                    int64_t lanes = least(LANES, layer->outputs - b * LANES);
                    int64_t where = (first * room.positions + u) * layer->outputs + b * LANES;
                    executed += lanes * take(room.events + u * room.fan_in, room.counts[u],
                                             room.tiles + b * room.fan_in * LANES, lanes, layer, where);
                }
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

/* out[j][i] = sum of scale_j (t_i - at_j) over pairs */
void to_weights(const Layer *layer, int threads)
{
    Room room;
    int64_t executed = 0, pairs = 0;
    lay_out(&room, layer, threads, layer->room);
    for (int64_t first = 0; first < layer->samples; first += room.group) {
        int64_t count = least(room.group, layer->samples - first);
        list_group(layer, &room, first, count, threads);
#pragma omp parallel for schedule(dynamic) num_threads(threads) reduction(+ : executed, pairs)
        for (int64_t b = 0; b < room.blocks; b++) {
            double *tile = room.tiles + b * room.fan_in * LANES;
            int64_t lanes = least(LANES, layer->outputs - b * LANES);
            for (int64_t u = 0; u < count * room.positions; u++) {
                const Event *events = room.events + u * room.fan_in;
                int64_t where = (first * room.positions + u) * layer->outputs + b * LANES;
                const Block block = load(layer, where, lanes);
                executed += (block.furthest + 1) * lanes, pairs += block.pairs;
                int64_t k = 0;
                for (; k <= block.nearest && k <= block.furthest; k++) {
                    Vector *sum = (Vector *)(tile + (int64_t)events[k].row * LANES);
                    for (int v = 0; v < VECTORS; v++)
                        sum[v] += block.scale[v] * (events[k].time - block.at[v]);
                }
                for (; k <= block.furthest; k++) {
                    Vector *sum = (Vector *)(tile + (int64_t)events[k].row * LANES);
                    const double time = events[k].time, place = (double)k;
                    for (int v = 0; v < VECTORS; v++)
                        sum[v] += masked(block.scale[v] * (time - block.at[v]), place <= block.last[v]);
                }
            }
        }
    }
    for (int64_t j = 0; j < layer->outputs; j++)
        for (int64_t i = 0; i < room.fan_in; i++)
            layer->out[j * room.fan_in + i] = room.tiles[(j / LANES * room.fan_in + i) * LANES + j % LANES];
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
                double *out = layer->out + (first + s) * room.inputs;
                memset(total, 0, room.counts[u] * sizeof(Vector));
                for (int64_t b = 0; b < room.blocks; b++) {
                    const double *tile = room.tiles + b * room.fan_in * LANES;
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
