/* Spike-time layers computed event by event, in double precision, for the geometry of a convolution
 * (a linear layer is one of a 1x1 map). The meaning is crossing.py; the order of every forward sum is the same.
 *
 * A sample's spikes are sorted once; each output position gets a list of those it sees, in time order. Output
 * neurons are taken LANES at a time with their sums in registers, weights laid out as tiles [block][n][LANES].
 * forward:    adds an input's weight at its arrival, asks whether the threshold is reached by the next arrival, and
 *             stops at the spike (of the last neuron of the block that still waits)
 * to_weights, to_times: visit the pairs (output spike, causal input), block by block
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define VECTORS 2
#define WIDTH 4
#define LANES (VECTORS * WIDTH)
#define STRIDE 8 /* arrivals between two questions whether a block has fired */
#define BUFFER (4 << 20) /* bytes of event lists held at a time, unless one sample needs more */

typedef double Vector __attribute__((vector_size(8 * WIDTH), aligned(8), may_alias));
typedef int64_t Mask __attribute__((vector_size(8 * WIDTH)));

typedef struct {
    double time;
    int32_t row, cell; /* row of the weight tile; flat index of the input neuron */
} Event;

typedef struct {
    const double *times, *weight;            /* [N][S], [m][n] */
    const double *scale, *at;                /* [N][P][m]: dL/dt / V', and when the kernel is read */
    double *out, *slope;                     /* forward: [N][P][m]; backward: out is the gradient */
    int32_t *last;                           /* [N][P][m]: place of the last causal input, -1 silent */
    int64_t *work;                           /* [2]: pairs needed, lanes executed */
    int64_t samples, channels, height, width, kh, kw, sh, sw, ph, pw, oh, ow, outputs;
    double threshold, t_max;
} Layer;

typedef struct {
    Event *events;   /* [group][P][n] */
    int32_t *counts; /* [group][P] */
    Event *scratch;  /* [threads][2][S] */
    double *tiles;   /* [blocks][n][LANES] */
    Vector *totals;  /* [threads][n] */
    int64_t inputs, positions, fan_in, blocks, group;
} Room;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static void release(Room *room)
{
    free(room->events), free(room->counts), free(room->scratch), free(room->tiles), free(room->totals);
}

static int reserve(Room *room, const Layer *layer, int threads)
{
    room->inputs = layer->channels * layer->height * layer->width;
    room->positions = layer->oh * layer->ow;
    room->fan_in = layer->channels * layer->kh * layer->kw;
    room->blocks = (layer->outputs + LANES - 1) / LANES;
    int64_t bytes = room->positions * room->fan_in * (int64_t)sizeof(Event);
    int64_t fit = BUFFER / bytes > threads ? BUFFER / bytes : threads;
    room->group = least(fit, layer->samples);
    room->events = malloc(room->group * bytes);
    room->counts = malloc(room->group * room->positions * sizeof(int32_t));
    room->scratch = malloc(threads * 2 * room->inputs * sizeof(Event));
    room->tiles = calloc(room->blocks * room->fan_in, LANES * sizeof(double));
    room->totals = malloc(threads * room->fan_in * sizeof(Vector));
    return room->events && room->counts && room->scratch && room->tiles && room->totals;
}

/* Bits of a time as an integer of the same order; -0 counts as 0. */
static inline uint64_t key_of(double time)
{
    uint64_t bits;
    time += 0.0;
    memcpy(&bits, &time, sizeof bits);
    return bits >> 63 ? ~bits : bits | (uint64_t)1 << 63;
}

/* Stable radix sort by time, a byte a pass, lowest first; passes in which all bytes agree are left out. */
static Event *sorted(Event *from, Event *to, int64_t count)
{
    int64_t places[8][256] = {{0}};
    for (int64_t i = 0; i < count; i++) {
        uint64_t key = key_of(from[i].time);
        for (int byte = 0; byte < 8; byte++)
            places[byte][key >> 8 * byte & 255]++;
    }
    for (int byte = 0; byte < 8; byte++) {
        int64_t *place = places[byte], total = 0;
        if (count == 0 || place[key_of(from[0].time) >> 8 * byte & 255] == count)
            continue;
        for (int value = 0; value < 256; value++) {
            int64_t here = place[value];
            place[value] = total, total += here;
        }
        for (int64_t i = 0; i < count; i++)
            to[place[key_of(from[i].time) >> 8 * byte & 255]++] = from[i];
        Event *swap = from;
        from = to, to = swap;
    }
    return from;
}

/* The events that each output position sees, in time order. */
static void list_events(const Layer *layer, const Room *room, int64_t sample, Event *scratch, Event *events, int32_t *counts)
{
    const double *times = layer->times + sample * room->inputs;
    int64_t count = 0;
    for (int64_t i = 0; i < room->inputs; i++)
        if (times[i] < INFINITY)
            scratch[count++] = (Event){times[i], 0, (int32_t)i};
    const Event *order = sorted(scratch, scratch + room->inputs, count);
    memset(counts, 0, room->positions * sizeof(int32_t));
    for (int64_t i = 0; i < count; i++) {
        Event e = order[i];
        int64_t c = e.cell / (layer->height * layer->width), rest = e.cell % (layer->height * layer->width);
        int64_t y = rest / layer->width + layer->ph, x = rest % layer->width + layer->pw;
        for (int64_t ky = 0; ky < layer->kh; ky++) {
            int64_t oy = (y - ky) / layer->sh;
            if (y < ky || (y - ky) % layer->sh || oy >= layer->oh)
                continue;
            for (int64_t kx = 0; kx < layer->kw; kx++) {
                int64_t ox = (x - kx) / layer->sw;
                if (x < kx || (x - kx) % layer->sw || ox >= layer->ow)
                    continue;
                int64_t position = oy * layer->ow + ox;
                e.row = (int32_t)((c * layer->kh + ky) * layer->kw + kx);
                events[position * room->fan_in + counts[position]++] = e;
            }
        }
    }
}

static int thread_number(void);

static void list_group(const Layer *layer, const Room *room, int64_t first, int64_t count, int threads)
{
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

/* Takes in events `from` to `to` of `count`; says which lanes reach what they wait for by a next arrival. */
static inline Mask take_in(const Event *events, int64_t from, int64_t to, int64_t count, const double *tile, Vector *W, Vector *S, const Vector *wait)
{
    Mask hit = {0};
    for (int64_t k = from; k < to; k++) {
        const Vector *w = (const Vector *)(tile + (int64_t)events[k].row * LANES);
        const double time = events[k].time, next = k + 1 < count ? events[k + 1].time : INFINITY;
        for (int v = 0; v < VECTORS; v++) {
            W[v] += w[v];
            S[v] += w[v] * time;
            hit |= W[v] * next - S[v] >= wait[v];
        }
    }
    return hit;
}

/* One block of ReL-PSP neurons at one position: V = W t - S between arrivals. Returns the inputs taken in.
 * It strides over arrivals; a stride in which a neuron fires is gone over again, one arrival at a time. */
static int64_t rel_psp_block(const Event *events, int64_t count, const double *tile, int64_t lanes, const Layer *layer, int64_t where)
{
    Vector W[VECTORS] = {{0}}, S[VECTORS] = {{0}}, wait[VECTORS]; /* wait: the threshold, nan once fired */
    int64_t open = lanes, k = 0, taken = 0;
    for (int64_t l = 0; l < LANES; l++)
        wait[l / WIDTH][l % WIDTH] = l < lanes ? layer->threshold : NAN;
    for (int64_t l = 0; l < lanes; l++)
        layer->out[where + l] = INFINITY, layer->last[where + l] = -1, layer->slope[where + l] = 0;
    while (k < count && open) {
        Vector before[2][VECTORS];
        int64_t end = least(k + STRIDE, count);
        memcpy(before[0], W, sizeof W), memcpy(before[1], S, sizeof S);
        Mask hit = take_in(events, k, end, count, tile, W, S, wait);
        taken += end - k;
        if (any(hit)) {
            memcpy(W, before[0], sizeof W), memcpy(S, before[1], sizeof S);
            for (; k < end && open; k++) {
                double time = events[k].time, next = k + 1 < count ? events[k + 1].time : INFINITY;
                taken++;
                if (!any(take_in(events, k, k + 1, count, tile, W, S, wait)))
                    continue;
                for (int64_t l = 0; l < lanes; l++) {
                    double w = W[l / WIDTH][l % WIDTH], s = S[l / WIDTH][l % WIDTH];
                    if (!(w * next - s >= wait[l / WIDTH][l % WIDTH]))
                        continue;
                    double t = (layer->threshold + s) / w;
                    t = t < time ? time : t > next ? next : t;
                    wait[l / WIDTH][l % WIDTH] = NAN;
                    open--;
                    if (t <= layer->t_max && t < INFINITY)
                        layer->out[where + l] = t, layer->last[where + l] = (int32_t)k, layer->slope[where + l] = w;
                }
            }
        }
        k = end;
    }
    return taken;
}

int rel_psp_forward(const Layer *layer, int threads)
{
    Room room;
    int64_t executed = 0;
    if (!reserve(&room, layer, threads)) {
        release(&room);
        return 1;
    }
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
                    executed += lanes * rel_psp_block(room.events + u * room.fan_in, room.counts[u],
                                                      room.tiles + b * room.fan_in * LANES, lanes, layer, where);
                }
    }
    layer->work[1] = executed;
    release(&room);
    return 0;
}

/* The lanes of a block as gradients need them: scale (0: no gradient), time and last causal place. */
typedef struct {
    Vector scale[VECTORS], at[VECTORS], last[VECTORS];
    int64_t furthest, pairs; /* the last place over all lanes; causal pairs */
} Block;

static Block load(const Layer *layer, int64_t where, int64_t lanes)
{
    Block block = {.furthest = -1};
    for (int64_t l = 0; l < LANES; l++) {
        int64_t place = l < lanes && layer->scale[where + l] != 0 ? layer->last[where + l] : -1;
        block.scale[l / WIDTH][l % WIDTH] = place < 0 ? 0 : layer->scale[where + l];
        block.at[l / WIDTH][l % WIDTH] = place < 0 ? 0 : layer->at[where + l];
        block.last[l / WIDTH][l % WIDTH] = (double)place;
        block.furthest = place > block.furthest ? place : block.furthest;
        block.pairs += place + 1;
    }
    return block;
}

/* out[j][i] = sum of scale_j (t_i - at_j) over pairs */
int rel_psp_to_weights(const Layer *layer, int threads)
{
    Room room;
    int64_t executed = 0, pairs = 0;
    if (!reserve(&room, layer, threads)) {
        release(&room);
        return 1;
    }
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
                for (int64_t k = 0; k <= block.furthest; k++) {
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
    release(&room);
    return 0;
}

/* out[sample][i] = sum of scale_j w_ij over pairs */
int rel_psp_to_times(const Layer *layer, int threads)
{
    Room room;
    int64_t executed = 0, pairs = 0;
    if (!reserve(&room, layer, threads)) {
        release(&room);
        return 1;
    }
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
                    for (int64_t k = 0; k <= block.furthest; k++) {
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
    release(&room);
    return 0;
}

#ifdef _OPENMP
#include <omp.h>
static int thread_number(void) { return omp_get_thread_num(); }
#else
static int thread_number(void) { return 0; }
#endif
