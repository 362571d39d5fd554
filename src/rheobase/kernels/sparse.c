/* Backward of y = x W^T from active neurons alone: x [rows][n] of spikes, delta = dL/dy [rows][m], W [m][n].
 *
 * to_weights:  out[j][i] = sum over rows of delta[r][j] x[r][i]     pairs in which both are not 0
 * to_inputs:   out[r][i] = sum over j of delta[r][j] W[j][i]        rows of W of the j that are not 0
 *
 * to_weights takes one output neuron after another: its row of the result stays in the first-level cache while the lists
 * of spikes that meet its errors pass by. to_inputs takes TILE columns of W at a time, packed, and keeps the sums of a row
 * in registers.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH 8
#define VECTORS 8
#define TILE (WIDTH * VECTORS)

typedef float Vector __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));

typedef struct {
    const float *x, *delta, *weight;
    float *out;
    int64_t rows, inputs, outputs;
    int64_t *work;          /* [2]: active pairs, active deltas */
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

static int by_column(List *list, const List *from, int64_t rows, int64_t columns)
{
    const int64_t total = from->start[rows];
    if (reserve(list, columns, total))
        return 1;
    for (int64_t e = 0; e < total; e++)
        list->start[from->place[e] + 2]++;
    for (int64_t j = 0; j < columns; j++)
        list->start[j + 2] += list->start[j + 1];
    for (int64_t r = 0; r < rows; r++)
        for (int64_t e = from->start[r]; e < from->start[r + 1]; e++) {
            const int64_t at = list->start[from->place[e] + 1]++;
            list->place[at] = (int32_t)r, list->value[at] = from->value[e];
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

int sparse_to_weights(const Pairs *p, int threads)
{
    List spikes = {0}, rows = {0}, deltas = {0};
    int64_t pairs = 0;
    const int failed = list_rows(&spikes, p->x, p->rows, p->inputs) || list_rows(&rows, p->delta, p->rows, p->outputs) ||
                       by_column(&deltas, &rows, p->rows, p->outputs);
    const int ones = !failed && all_ones(&spikes, p->rows);
    if (!failed) {
#pragma omp parallel for schedule(dynamic, 8) num_threads(threads) reduction(+ : pairs)
        for (int64_t j = 0; j < p->outputs; j++) {
            float *restrict to = p->out + j * p->inputs;
            memset(to, 0, sizeof(float) * (size_t)p->inputs);
            for (int64_t e = deltas.start[j]; e < deltas.start[j + 1]; e++) {
                const int64_t first = spikes.start[deltas.place[e]], count = spikes.start[deltas.place[e] + 1] - first;
                const int32_t *restrict place = spikes.place + first;
                const float *restrict value = spikes.value + first, d = deltas.value[e];
                if (ones)
                    for (int64_t k = 0; k < count; k++)
                        to[place[k]] += d;
                else
                    for (int64_t k = 0; k < count; k++)
                        to[place[k]] += d * value[k];
                pairs += count;
            }
        }
        p->work[0] = pairs, p->work[1] = deltas.start[p->outputs];
    }
    release(&spikes), release(&rows), release(&deltas);
    (void)threads;
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
        p->work[0] = deltas.start[p->rows] * p->inputs, p->work[1] = deltas.start[p->rows];
    }
    release(&deltas);
    (void)threads;
    return failed;
}
