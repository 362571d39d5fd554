/* Backward of y = x W^T from active neurons alone: x [rows][n] of spikes, delta = dL/dy [rows][m], W [m][n].
 *
 * to_weights:  out[j][i] = sum over rows of delta[r][j] x[r][i]     pairs in which both are not 0
 * to_inputs:   out[r][i] = sum over j of delta[r][j] W[j][i]        rows of W of the j that are not 0
 *
 * to_weights visits the pairs where errors are rare: one output neuron after another, its row of the result in the
 * first-level cache while the lists of spikes that meet its errors pass by. Where they are not, it skips silent inputs alone,
 * and adds the errors of LANES outputs at a time in registers: idle lanes cost less than scattered sums. to_inputs takes
 * TILE columns of W at a time, packed, and keeps the sums of a row in registers.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH 8
#define VECTORS 8
#define TILE (WIDTH * VECTORS)
#define LANES (4 * WIDTH)
#define ROWS 256
#define RARE 24 /* where fewer than one error in so many is not 0, pairs are added one by one */

typedef float Vector __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));

typedef struct {
    const float *x, *delta, *weight;
    float *out;
    int64_t rows, inputs, outputs;
    int64_t *work;          /* [2]: active pairs, those computed */
} Pairs;

/* What is not 0, row by row, or column by column. */
typedef struct {
    int64_t *start;         /* [lines + 2]; those of line l are start[l] to start[l + 1] */
    int32_t *place;
    float *value;
} List;

static void release(List *list) { free(list->start), free(list->place), free(list->value); }

static int reserve(List *list, int64_t lines, int64_t count)
{
    list->start = calloc((size_t)lines + 2, sizeof(int64_t));
    list->place = malloc(sizeof(int32_t) * (size_t)(count + 1));
    list->value = malloc(sizeof(float) * (size_t)(count + 1));
    return !list->start || !list->place || !list->value;
}

static int list_rows(List *list, const float *from, int64_t rows, int64_t columns)
{
    int64_t count = 0;
    if (reserve(list, rows, rows * columns))
        return 1;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t i = 0; i < columns; i++) {
            const float v = from[r * columns + i];
            list->place[count] = (int32_t)i, list->value[count] = v; /* never past what has been read */
            count += v != 0.0f;
        }
        list->start[r + 1] = count;
    }
    return 0;
}

/* The same by column, `span` rows at a time: line (r / span) columns + i lists those of column i, as places r % span. */
static int by_column(List *list, const List *from, int64_t rows, int64_t columns, int64_t span)
{
    const int64_t total = from->start[rows], lines = (rows + span - 1) / span * columns;
    if (reserve(list, lines, total))
        return 1;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t e = from->start[r]; e < from->start[r + 1]; e++)
            list->start[r / span * columns + from->place[e] + 2]++;
    for (int64_t l = 0; l < lines; l++)
        list->start[l + 2] += list->start[l + 1];
    for (int64_t r = 0; r < rows; r++)
        for (int64_t e = from->start[r]; e < from->start[r + 1]; e++) {
            const int64_t at = list->start[r / span * columns + from->place[e] + 1]++;
            list->place[at] = (int32_t)(r % span), list->value[at] = from->value[e];
        }
    return 0;
}

static int all_ones(const List *list, int64_t rows)
{
    for (int64_t e = 0; e < list->start[rows]; e++)
        if (list->value[e] != 1.0f)
            return 0;
    return 1;
}

/* Adds of out: pairs of a spike and an error, one by one. */
static void add_pairs(const Pairs *p, const List *spikes, const List *deltas, int ones, int threads)
{
#pragma omp parallel for schedule(dynamic, 8) num_threads(threads)
    for (int64_t j = 0; j < p->outputs; j++) {
        float *restrict to = p->out + j * p->inputs;
        memset(to, 0, sizeof(float) * (size_t)p->inputs);
        for (int64_t e = deltas->start[j]; e < deltas->start[j + 1]; e++) {
            const int64_t first = spikes->start[deltas->place[e]], count = spikes->start[deltas->place[e] + 1] - first;
            const int32_t *restrict place = spikes->place + first;
            const float *restrict value = spikes->value + first, d = deltas->value[e];
            if (ones)
                for (int64_t k = 0; k < count; k++)
                    to[place[k]] += d;
            else
                for (int64_t k = 0; k < count; k++)
                    to[place[k]] += d * value[k];
        }
    }
    (void)threads;
}

/* Adds to `sum` the errors of LANES outputs in `count` rows, each times a spike. */
static inline void gather(const int32_t *row, const float *value, int64_t count, int ones, const float *errors, Vector *sum)
{
    Vector total[LANES / WIDTH]; /* in registers */
    memcpy(total, sum, sizeof total);
    for (int64_t k = 0; k < count; k++) {
        const Vector *d = (const Vector *)(errors + (int64_t)row[k] * LANES);
        if (ones)
            for (int v = 0; v < LANES / WIDTH; v++)
                total[v] += d[v];
        else
            for (int v = 0; v < LANES / WIDTH; v++)
                total[v] += value[k] * d[v];
    }
    memcpy(sum, total, sizeof total);
}

/* Adds of out: the spikes of each input meet all errors, LANES outputs at a time, whose errors in ROWS rows stay in the
 * first-level cache and whose sums stay in registers. */
static int add_lanes(const Pairs *p, const List *spikes, int ones, int threads)
{
    const int64_t tiles = (p->outputs + LANES - 1) / LANES;
    int failed = 0;
#pragma omp parallel for schedule(dynamic) num_threads(threads) reduction(| : failed)
    for (int64_t t = 0; t < tiles; t++) {
        const int64_t first = t * LANES, width = first + LANES < p->outputs ? LANES : p->outputs - first;
        float *errors = calloc((size_t)(ROWS * LANES), sizeof(float));
        float *sums = calloc((size_t)(p->inputs * LANES), sizeof(float));
        if (!errors || !sums) {
            failed = 1, free(errors), free(sums);
            continue;
        }
        for (int64_t low = 0; low < p->rows; low += ROWS) {
            const int64_t *start = spikes->start + low / ROWS * p->inputs;
            for (int64_t r = low; r < low + ROWS && r < p->rows; r++)
                memcpy(errors + (r - low) * LANES, p->delta + r * p->outputs + first, sizeof(float) * (size_t)width);
            for (int64_t i = 0; i < p->inputs; i++)
                gather(spikes->place + start[i], spikes->value + start[i], start[i + 1] - start[i], ones, errors,
                       (Vector *)(sums + i * LANES));
        }
        for (int64_t l = 0; l < width; l++)
            for (int64_t i = 0; i < p->inputs; i++)
                p->out[(first + l) * p->inputs + i] = sums[i * LANES + l];
        free(errors), free(sums);
    }
    (void)threads;
    return failed;
}

int sparse_to_weights(const Pairs *p, int threads)
{
    List spikes = {0}, deltas = {0}, turned = {0};
    int64_t pairs = 0;
    int failed = list_rows(&spikes, p->x, p->rows, p->inputs) || list_rows(&deltas, p->delta, p->rows, p->outputs);
    if (!failed) {
        const int ones = all_ones(&spikes, p->rows);
        for (int64_t r = 0; r < p->rows; r++)
            pairs += (spikes.start[r + 1] - spikes.start[r]) * (deltas.start[r + 1] - deltas.start[r]);
        const int64_t lanes = spikes.start[p->rows] * p->outputs;
        p->work[0] = p->work[1] = pairs;
        if (pairs * RARE > lanes) {
            p->work[1] = lanes;
            failed = by_column(&turned, &spikes, p->rows, p->inputs, ROWS) || add_lanes(p, &turned, ones, threads);
        } else {
            failed = by_column(&turned, &deltas, p->rows, p->outputs, p->rows);
            if (!failed)
                add_pairs(p, &spikes, &turned, ones, threads);
        }
    }
    release(&spikes), release(&deltas), release(&turned);
    return failed;
}

static void pack(const Pairs *p, int64_t first, int64_t width, float *tile)
{
    for (int64_t j = 0; j < p->outputs; j++) {
        memcpy(tile + j * TILE, p->weight + j * p->inputs + first, sizeof(float) * (size_t)width);
        memset(tile + j * TILE + width, 0, sizeof(float) * (size_t)(TILE - width));
    }
}

int sparse_to_inputs(const Pairs *p, int threads)
{
    List deltas = {0};
    const int64_t tiles = (p->inputs + TILE - 1) / TILE;
    int failed = list_rows(&deltas, p->delta, p->rows, p->outputs);
    if (!failed) {
#pragma omp parallel for schedule(dynamic) num_threads(threads) reduction(| : failed)
        for (int64_t t = 0; t < tiles; t++) {
            const int64_t first = t * TILE, width = first + TILE < p->inputs ? TILE : p->inputs - first;
            float *tile = malloc(sizeof(float) * (size_t)(TILE * p->outputs));
            if (!tile) {
                failed = 1;
                continue;
            }
            pack(p, first, width, tile);
            for (int64_t r = 0; r < p->rows; r++) {
                Vector sum[VECTORS] = {{0}};
                for (int64_t e = deltas.start[r]; e < deltas.start[r + 1]; e++) {
                    const Vector *w = (const Vector *)(tile + (int64_t)deltas.place[e] * TILE);
                    const float d = deltas.value[e];
                    for (int v = 0; v < VECTORS; v++)
                        sum[v] += d * w[v];
                }
                memcpy(p->out + r * p->inputs + first, sum, sizeof(float) * (size_t)width);
            }
            free(tile);
        }
        p->work[0] = p->work[1] = deltas.start[p->rows] * p->inputs;
    }
    release(&deltas);
    (void)threads;
    return failed;
}
