/* Backward of y = x W^T from active neurons alone: x [rows][n] of spikes, delta = dL/dy [rows][m], W [m][n].
 *
 * to_weights:  out[j][i] = sum over rows of delta[r][j] x[r][i]     pairs in which both are not 0
 * to_inputs:   out[r][i] = sum over j of delta[r][j] W[j][i]        rows of W of the j that are not 0
 *
 * delta is sorted by column, so that a row of the result or of W stays in the first-level cache while all that meets it
 * passes by; x is a list of what is active in each row.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DENSE 4             /* rows with more than 1/DENSE of their inputs active are added whole, in vectors */
#define BLOCK_FLOATS 32768  /* results of to_inputs held at a time */

typedef struct {
    const float *x, *delta, *weight;
    float *out;
    int64_t rows, inputs, outputs;
    int64_t *work;          /* [2]: active pairs, active deltas */
} Pairs;

typedef struct {
    int32_t *place;         /* [rows][columns], the first count[r] of each */
    float *value;
    int64_t *count;         /* [rows] */
} Rows;

typedef struct {
    int64_t *start;         /* [columns + 1] */
    int32_t *row;
    float *value;
} Columns;

static void free_rows(Rows *list) { free(list->place), free(list->value), free(list->count); }
static void free_columns(Columns *list) { free(list->start), free(list->row), free(list->value); }

static int list_rows(Rows *list, const float *from, int64_t rows, int64_t columns, int threads)
{
    list->place = malloc(sizeof(int32_t) * (size_t)(rows * columns + 1));
    list->value = malloc(sizeof(float) * (size_t)(rows * columns + 1));
    list->count = malloc(sizeof(int64_t) * (size_t)(rows + 1));
    if (!list->place || !list->value || !list->count)
        return 1;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t r = 0; r < rows; r++) {
        int32_t *place = list->place + r * columns;
        float *value = list->value + r * columns;
        int64_t count = 0;
        for (int64_t i = 0; i < columns; i++) {
            const float v = from[r * columns + i];
            place[count] = (int32_t)i, value[count] = v; /* never past what has been read */
            count += v != 0.0f;
        }
        list->count[r] = count;
    }
    (void)threads;
    return 0;
}

static int sort_by_column(Columns *list, const Rows *from, int64_t rows, int64_t columns)
{
    int64_t total = 0;
    list->start = calloc((size_t)columns + 2, sizeof(int64_t));
    for (int64_t r = 0; r < rows; r++)
        total += from->count[r];
    list->row = malloc(sizeof(int32_t) * (size_t)(total + 1));
    list->value = malloc(sizeof(float) * (size_t)(total + 1));
    if (!list->start || !list->row || !list->value)
        return 1;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < from->count[r]; k++)
            list->start[from->place[r * columns + k] + 2]++;
    for (int64_t j = 0; j < columns; j++)
        list->start[j + 2] += list->start[j + 1];
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < from->count[r]; k++) {
            const int64_t at = list->start[from->place[r * columns + k] + 1]++;
            list->row[at] = (int32_t)r, list->value[at] = from->value[r * columns + k];
        }
    return 0;
}

/* Active deltas by column; 1 if there is no memory. */
static int list_deltas(Columns *deltas, const Pairs *p, int threads)
{
    Rows rows = {0};
    const int failed = list_rows(&rows, p->delta, p->rows, p->outputs, threads) ||
                       sort_by_column(deltas, &rows, p->rows, p->outputs);
    free_rows(&rows);
    return failed;
}

static void add(float *restrict to, const float *restrict from, float factor, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        to[i] += factor * from[i];
}

int sparse_to_weights(const Pairs *p, int threads)
{
    Rows spikes = {0};
    Columns deltas = {0};
    int64_t pairs = 0;
    const int failed = list_rows(&spikes, p->x, p->rows, p->inputs, threads) || list_deltas(&deltas, p, threads);
    if (!failed) {
#pragma omp parallel for schedule(dynamic, 8) num_threads(threads) reduction(+ : pairs)
        for (int64_t j = 0; j < p->outputs; j++) {
            float *to = p->out + j * p->inputs;
            memset(to, 0, sizeof(float) * (size_t)p->inputs);
            for (int64_t e = deltas.start[j]; e < deltas.start[j + 1]; e++) {
                const int64_t r = deltas.row[e], count = spikes.count[r];
                const float d = deltas.value[e];
                pairs += count;
                if (count * DENSE > p->inputs) {
                    add(to, p->x + r * p->inputs, d, p->inputs);
                    continue;
                }
                const int32_t *place = spikes.place + r * p->inputs;
                const float *value = spikes.value + r * p->inputs;
                for (int64_t k = 0; k < count; k++)
                    to[place[k]] += d * value[k];
            }
        }
        p->work[0] = pairs, p->work[1] = deltas.start[p->outputs];
    }
    free_rows(&spikes);
    free_columns(&deltas);
    return failed;
}

int sparse_to_inputs(const Pairs *p, int threads)
{
    Columns deltas = {0};
    const int failed = list_deltas(&deltas, p, threads);
    int64_t block = BLOCK_FLOATS / (p->inputs ? p->inputs : 1);
    block = block < 8 ? 8 : block;
    const int64_t blocks = (p->rows + block - 1) / block;
    int64_t *at = failed ? NULL : malloc(sizeof(int64_t) * (size_t)(threads * p->outputs + 1));
    if (at) {
#pragma omp parallel for schedule(static, 1) num_threads(threads)
        for (int64_t t = 0; t < threads; t++) {
            const int64_t first = blocks * t / threads, last = blocks * (t + 1) / threads;
            int64_t *next = at + t * p->outputs; /* of each column the first delta that is not yet used */
            for (int64_t j = 0; j < p->outputs; j++)
                for (next[j] = deltas.start[j]; next[j] < deltas.start[j + 1] && deltas.row[next[j]] < first * block;)
                    next[j]++;
            for (int64_t b = first; b < last; b++) {
                const int64_t end = (b + 1) * block < p->rows ? (b + 1) * block : p->rows;
                memset(p->out + b * block * p->inputs, 0, sizeof(float) * (size_t)((end - b * block) * p->inputs));
                for (int64_t j = 0; j < p->outputs; j++)
                    for (; next[j] < deltas.start[j + 1] && deltas.row[next[j]] < end; next[j]++)
                        add(p->out + deltas.row[next[j]] * p->inputs, p->weight + j * p->inputs, deltas.value[next[j]], p->inputs);
            }
        }
        p->work[0] = deltas.start[p->outputs] * p->inputs, p->work[1] = deltas.start[p->outputs];
    }
    free(at);
    free_columns(&deltas);
    return failed || !at;
}
