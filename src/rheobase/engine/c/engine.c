/* The host engine: runs the layers of a program over samples and steps. See engine.h for what a layer is.
 *
 * A layer runs all steps held in memory before the next layer starts, so that its weights are read once for all of them. The
 * threads of a team share a layer by output places (by blocks of channels where there is one place) and meet after it.
 */
#include "engine.h"
#include "lists.h"
#include "event.h"
#include "dense.h"
#include "lookup.h"
#include "popcount.h"
#include "neuron.h"
#include "team.h"
#include "maps.h"
#include "matmul.h"

#include <time.h>

int64_t engine_layer_bytes(void);
int64_t engine_memory_bytes(void);
int64_t engine_scratch_bytes(const Layer *layers, int32_t count, int32_t steps, int64_t row_capacity);
void engine_prepare(void);
void engine_run(const Layer *layers, int32_t count, Memory *m, int32_t thread, const uint8_t *frames, int64_t frame_stride,
                int32_t steps, int32_t *logits, int64_t logit_stride, double *seconds, double *rates);

int64_t engine_layer_bytes(void)
{
    return (int64_t)sizeof(Layer);
}

int64_t engine_memory_bytes(void)
{
    return (int64_t)sizeof(Memory);
}

/* Fills the tables that all engines share; call it once, before any thread runs. */
void engine_prepare(void)
{
#ifdef __AVX2__
    fill_bits_of();
#endif
}

static int64_t longest_window(const Layer *l, int64_t row_capacity)
{
    const int64_t spikes = (int64_t)l->rows * l->pool_height * l->pool_width;
    return (l->value.source != SPIKES ? l->kernel_height * row_capacity : spikes) + 4 * UNIT + SLACK;
}

/* What a thread needs: for lists as many windows as the second-level cache holds, and at least one of each step. */
int64_t engine_scratch_bytes(const Layer *layers, int32_t count, int32_t steps, int64_t row_capacity)
{
    int64_t most = 1 << 18;
    for (int32_t i = 0; i < count; ++i) {
        const int64_t strings = layers[i].head == MATMUL ? 8 * matmul_words(layers + i) : 0;
        most = strings > most ? strings : most;
        if (layers[i].head != SUMS)
            continue;
        const int64_t lists = 2 * steps * longest_window(layers + i, row_capacity) + 4096;
        most = lists > most ? lists : most;
#ifdef __AVX2__
        const int64_t lookup = (int64_t)lookup_groups(layers + i) * PLACES + BLOCK * PLACES * 6;
        most = layers[i].tables && lookup > most ? lookup : most;
#endif
    }
    return most;
}

/* Processor time of this thread: other programs on the machine do not count. */
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void store_spikes(const Job *job, int32_t t, int32_t place, int32_t first, const uint64_t *bits)
{
    const Layer *const l = job->l;
    const int64_t at = (int64_t)t * l->out_height * l->out_width + place;
    uint64_t *const out = job->m->spikes[job->index] + at * l->out_words + first / 64;
    for (int32_t w = 0; 64 * w < l->block && first / 64 + w < l->out_words; ++w) {
        const int32_t left = l->out_channels - first - 64 * w;
        out[w] = left >= 64 ? bits[w] : bits[w] & (((uint64_t)1 << left) - 1);
    }
}

/* What ends a layer at one place and block, for `steps` steps from `t` on. Sums are [steps][BLOCK] uint32, or uint16 if `narrow`, and
   stand for by_code * sum + bases[step]. */
static void end_rows(const Job *job, int32_t t, int32_t steps, int32_t place, int32_t first, const void *sums, int narrow,
                     uint32_t by_code, const uint32_t *bases)
{
    const Layer *const l = job->l;
    const uint32_t *const wide = (const uint32_t *)sums;
    if (l->neuron == READOUT) {
        for (int32_t s = 0; s < steps; ++s)
            for (int32_t c = 0; c < l->block && first + c < l->out_channels; ++c)
                job->logits[(t + s) * job->logit_stride + first + c] =
                    (int32_t)(wide[s * BLOCK + c] * by_code + bases[s] + (uint32_t)l->bias[first + c]);
        return;
    }
    const int64_t at = (int64_t)place * l->out_padded + first;
    uint64_t bits[STEPS][BLOCK / 64];
    int32_t copies[BLOCK] ALIGNED;
    int16_t *const small = (int16_t *)job->m->membranes[job->index] + at;
    int32_t *const membranes = l->small ? copies : (int32_t *)job->m->membranes[job->index] + at;
    memset(bits, 0, (size_t)steps * sizeof *bits);
#ifdef __AVX2__
    if (narrow)
        neuron_narrow(l, first, steps, (const uint16_t *)sums, by_code, bases, small, bits);
#endif
    if (!narrow) {
        for (int32_t c = 0; l->small && c < l->block; ++c)
            copies[c] = small[c];
        for (int32_t s = 0; s < steps; ++s)
#ifdef __AVX2__
            if (l->neuron == PLAIN)
                neuron_wide(l, first, l->block, wide + s * BLOCK, by_code, bases[s], membranes, bits[s]);
            else
#endif
                neuron_plain(l, first, l->block, wide + s * BLOCK, by_code, bases[s], membranes, bits[s]);
        for (int32_t c = 0; l->small && c < l->block; ++c)
            small[c] = (int16_t)copies[c];
    }
    for (int32_t s = 0; s < steps; ++s)
        store_spikes(job, t + s, place, first, bits[s]);
}

/* The tail and the end of a row of numbers. */
static void finish_row(const Job *job, int32_t t, int32_t place, int32_t first, int32_t *row)
{
    const uint32_t base = 0;
    tail_row(job, t, place, first, row);
    if (job->l->neuron != NOTHING)
        end_rows(job, t, 1, place, first, row, 0, 1, &base);
}

/* All that follows the sums of codes of one place and block, for `steps` steps from `t` on; see end_rows. */
static void finish(const Job *job, int32_t t, int32_t steps, int32_t place, int32_t first, void *sums, int narrow,
                   const uint32_t *events)
{
    const Layer *const l = job->l;
    const uint32_t by_code = (uint32_t)l->step * (uint32_t)l->scale;
    uint32_t bases[STEPS];
    for (int32_t s = 0; s < steps; ++s)
        bases[s] = (uint32_t)l->offset * (uint32_t)l->scale * events[s];
    if (!l->tail_count && !l->keep) {
        end_rows(job, t, steps, place, first, sums, narrow, by_code, bases);
        return;
    }
    for (int32_t s = 0; s < steps; ++s) {
        int32_t *const row = (int32_t *)sums + s * BLOCK;
        for (int32_t c = 0; c < l->block; ++c)
            row[c] = (int32_t)((uint32_t)row[c] * by_code + bases[s]);
        finish_row(job, t + s, place, first, row);
    }
}

/* Whether sums of no more events than these are exact in 16 bits. */
static int narrow_for(const Layer *l, const uint32_t *events, int32_t count)
{
    int64_t most = 0;
    for (int32_t i = 0; i < count; ++i)
        most = events[i] > most ? events[i] : most;
    return most <= l->narrow_events;
}

typedef struct Part {
    int32_t place, last_place, block, last_block;
} Part;

/* A thread's share of the output. */
static Part part_of(const Job *job)
{
    const Layer *const l = job->l;
    const int32_t places = l->out_height * l->out_width, blocks = l->out_padded / l->block, threads = job->m->threads;
    Part part = {0, places, 0, blocks};
    if (places >= 2 * threads || places >= blocks) {
        part.place = (int32_t)((int64_t)places * job->thread / threads);
        part.last_place = (int32_t)((int64_t)places * (job->thread + 1) / threads);
    } else {
        part.block = blocks * job->thread / threads;
        part.last_block = blocks * (job->thread + 1) / threads;
    }
    return part;
}

/* Rows of input that this thread turns into lists or counts. */
static void rows_of(const Job *job, int32_t *first, int32_t *last)
{
    *first = job->l->height * job->thread / job->m->threads;
    *last = job->l->height * (job->thread + 1) / job->m->threads;
}

/* The spikes that the layer reads at one step. */
static const uint64_t *spikes_at(const Job *job, int32_t t)
{
    const Value *const v = &job->l->value;
    return job->m->spikes[v->reads] + (int64_t)t * v->places * v->words;
}

static void make_counts(const Job *job)
{
    const Layer *const l = job->l;
    const int64_t row = (int64_t)l->width * l->paired;
    int32_t first, last;
    int64_t events = 0, busiest = 0;
    rows_of(job, &first, &last);
    for (int32_t t = 0; t < job->steps; ++t)
        for (int32_t y = first; y < last; ++y) {
            uint16_t *const out = job->m->counts + ((int64_t)t * l->height + y) * row;
            int64_t found = 0;
            if (l->value.source == FRAME)
                found = counts_of_frame(l, job->frames + t * job->frame_stride, y, out);
            else if (l->value.source == MAP)
                found = counts_of_map(l, map_at(job, &l->value, t, 0), y, out);
            else
                counts_of_spikes(l, spikes_at(job, t), y, out);
            events += found;
            busiest = found > busiest ? found : busiest;
        }
    job->m->events[2 * job->thread] = events;
    job->m->events[2 * job->thread + 1] = busiest;
}

static void make_lists(const Job *job)
{
    const Layer *const l = job->l;
    const int64_t capacity = job->m->row_capacity;
    int32_t first, last;
    rows_of(job, &first, &last);
    for (int32_t t = 0; t < job->steps; ++t)
        for (int32_t y = first; y < last; ++y) {
            const int64_t row = (int64_t)t * l->height + y;
            uint16_t *const entries = job->m->entries + 2 * row * capacity;
            int32_t *const starts = job->m->starts + 2 * row * (l->width + 1);
            if (l->value.source == SPIKES)
                row_of_spikes(l, spikes_at(job, t), y, capacity, entries, starts);
            else
                row_of_counts(l, job->m->counts + row * l->width * l->paired, capacity, entries, starts);
        }
}

/* Each thread's share of the events of the map that is read. */
static void count_events(const Job *job)
{
    const Layer *const l = job->l;
    const int64_t words = (int64_t)job->steps * l->value.places * l->value.words;
    const int64_t first = words * job->thread / job->m->threads, last = words * (job->thread + 1) / job->m->threads;
    const int64_t events = ones(spikes_at(job, 0) + first, last - first);
    job->m->events[2 * job->thread] = events;
    job->m->events[2 * job->thread + 1] = 0;
}

/* Sums of one place and step that do not depend on how many events there are. */
static uint32_t dense_sums(const Job *job, int32_t kernel, int32_t t, int32_t place, int32_t first, uint32_t *sums)
{
    const Layer *const l = job->l;
    const uint16_t *const counts = job->m->counts + (int64_t)t * l->height * l->width * l->paired;
    const int32_t y = place / l->out_width, x = place % l->out_width;
    if (kernel == POPCOUNT)
        return popcount_block(l, spikes_at(job, t), y, x, first, sums);
#ifdef __AVX2__
    if (l->pairs)
        return dense_avx2(l, counts, y, x, first, l->block, sums);
#endif
    return dense_plain(l, counts, y, x, first, l->block, sums);
}

static void run_dense(const Job *job, int32_t kernel)
{
    const Layer *const l = job->l;
    const Part part = part_of(job);
    uint32_t sums[STEPS][BLOCK] ALIGNED, events[STEPS];
    for (int32_t b = part.block; b < part.last_block; ++b)
        for (int32_t place = part.place; place < part.last_place; ++place) {
            for (int32_t t = 0; t < job->steps; ++t)
                events[t] = dense_sums(job, kernel, t, place, b * l->block, sums[t]);
            const int narrow = narrow_for(l, events, job->steps);
            for (int32_t t = 0; narrow && t < job->steps; ++t)
                for (int32_t c = 0; c < l->block; ++c)
                    ((uint16_t *)sums)[t * BLOCK + c] = (uint16_t)sums[t][c];
            finish(job, 0, job->steps, place, b * l->block, sums, narrow, events);
        }
}

/* Sums and what follows them at one place and block, for all steps. */
static void sum_and_finish(const Job *job, int32_t place, int32_t b, const Window *windows)
{
    const Layer *const l = job->l;
    uint32_t sums[STEPS][BLOCK] ALIGNED, events[STEPS];
    for (int32_t t = 0; t < job->steps; ++t)
        events[t] = (uint32_t)windows[t].events;
    const int narrow = narrow_for(l, events, job->steps);
#ifdef __AVX2__
    if (l->packed) {
        const uint8_t *const rows = l->packed + (int64_t)b * (l->rows + 1) * l->block * l->bits / 8;
        const event_sum kernel = event_kernel(l);
        for (int32_t t = 0; t < job->steps; ++t)
            if (narrow)
                kernel(rows, windows[t].list, windows[t].doubled, windows[t].padded, (uint16_t *)sums + t * BLOCK);
            else
                event_wide(l, kernel, rows, windows + t, sums[t]);
    } else
#endif
        for (int32_t t = 0; t < job->steps; ++t)
            event_plain(l, windows + t, b * l->block, l->block, sums[t]);
    finish(job, 0, job->steps, place, b * l->block, sums, narrow, events);
}

/* As many windows as the scratch holds, then all blocks of channels over them, so that a block's weights stay in cache. */
static void run_events(const Job *job)
{
    const Layer *const l = job->l;
    const Part part = part_of(job);
    const int64_t capacity = job->m->row_capacity;
    const int64_t room = (job->m->scratch_bytes - 64) / 2, reserve = longest_window(l, capacity) * job->steps;
    uint16_t *const memory = (uint16_t *)(void *)job->m->scratch[job->thread];
    enum { HELD = 256 };
    Window windows[HELD];
    const int32_t group = HELD / job->steps;
    int32_t y = part.place / l->out_width, x = part.place % l->out_width;
    Band band = band_of(l, capacity, y);
    for (int32_t place = part.place; place < part.last_place;) {
        uint16_t *end = memory;
        int32_t held = 0;
        while (held < group && place + held < part.last_place && (held == 0 || end - memory + reserve <= room)) {
            for (int32_t t = 0; t < job->steps; ++t)
                end = window_of(&band, l->counts, job->m->entries + t * l->height * band.entry_step,
                                job->m->starts + t * l->height * band.start_step, x * l->stride_width - l->padding, end,
                                windows + held * job->steps + t);
            if (++x == l->out_width) {
                x = 0;
                band = band_of(l, capacity, ++y);
            }
            ++held;
        }
        for (int32_t b = part.block; b < part.last_block; ++b)
            for (int32_t i = 0; i < held; ++i)
                sum_and_finish(job, place + i, b, windows + i * job->steps);
        place += held;
    }
}

#ifdef __AVX2__
/* Outputs of all steps in turn, PLACES at a time; the scratch holds indices, then a tile, then sums. */
static void run_lookup(const Job *job)
{
    const Layer *const l = job->l;
    const Part part = part_of(job);
    const int32_t places = part.last_place - part.place, total = places * job->steps;
    uint8_t *const indices = job->m->scratch[job->thread];
    uint16_t *const tile = (uint16_t *)(void *)(indices + (int64_t)lookup_groups(l) * PLACES);
    uint8_t *const sums = (uint8_t *)(tile + BLOCK * PLACES);
    for (int32_t first = 0; first < total; first += PLACES) {
        const int32_t count = total - first < PLACES ? total - first : PLACES;
        Output outputs[PLACES];
        uint32_t events[PLACES];
        for (int32_t i = 0; i < count; ++i) {
            const int32_t t = (first + i) / places, place = part.place + (first + i) % places;
            outputs[i] = (Output){spikes_at(job, t), t, place, place / l->out_width, place % l->out_width};
        }
        lookup_indices(l, outputs, count, indices, events);
        const int narrow = narrow_for(l, events, count);
        for (int32_t b = part.block; b < part.last_block; ++b) {
            lookup_block(l, b * l->block, indices, tile, sums, narrow);
            for (int32_t i = 0; i < count; ++i)
                finish(job, outputs[i].step, 1, outputs[i].place, b * l->block, sums + (int64_t)i * l->block * (narrow ? 2 : 4),
                       narrow, events + i);
        }
    }
}
#endif

/* Which kernel: by the events that are there. Lists of counts may not have the room that the busiest row needs. */
static int32_t choose(const Job *job, int64_t events, int64_t busiest)
{
    const Layer *const l = job->l;
    const int64_t inputs = (int64_t)job->steps * l->raw_height * l->raw_width * l->channels;
    const int fits = busiest <= job->m->row_capacity - 2 * UNIT;
    return fits && (double)events < (double)l->event_below * (double)inputs ? EVENT : l->dense_kernel;
}

/* Layers whose head is no weighted sum of events. */
static void run_map(const Job *job)
{
    const Layer *const l = job->l;
    const Part part = part_of(job);
    int32_t row[BLOCK] ALIGNED;
    for (int32_t place = part.place; place < part.last_place; ++place)
        for (int32_t t = 0; t < job->steps; ++t) {
            const int32_t y = place / l->out_width, x = place % l->out_width;
            if (l->head == OR_POOL) {
                if (part.block == 0)
                    or_pool(job, t, y, x);
                continue;
            }
            for (int32_t b = part.block; b < part.last_block; ++b) {
                const int32_t first = b * l->block;
                memset(row, 0, sizeof row);
                if (l->head == LOAD)
                    load_row(job, &l->value, t, place, first, l->block, row);
                else if (l->head == FLATTEN)
                    flatten_row(job, t, first, row);
                else if (l->head == CONV)
                    conv_row(job, t, y, x, first, row);
                else
                    pool_row(job, t, y, x, first, row);
                finish_row(job, t, place, first, row);
            }
        }
    meet(job->m);
}

static void run_sums(const Job *job, double *rate)
{
    const Layer *const l = job->l;
    int64_t events = 0, busiest = 0;
    if (l->value.source != SPIKES)
        make_counts(job);
    else
        count_events(job);
    meet(job->m);
    for (int32_t i = 0; i < job->m->threads; ++i) {
        events += job->m->events[2 * i];
        busiest = job->m->events[2 * i + 1] > busiest ? job->m->events[2 * i + 1] : busiest;
    }
    if (rate && job->thread == 0)
        *rate += (double)events / ((double)l->raw_height * l->raw_width * l->channels);
    const int32_t kernel = choose(job, events, busiest);
    if (kernel == EVENT) {
        make_lists(job);
        meet(job->m);
        run_events(job);
#ifdef __AVX2__
    } else if (kernel == LOOKUP) {
        run_lookup(job);
#endif
    } else {
        if (l->value.source == SPIKES && kernel == DENSE) {
            make_counts(job);
            meet(job->m);
        }
        run_dense(job, kernel);
    }
    meet(job->m);
}

/* Up to `steps_held` steps of one sample's frames, `frame_stride` bytes apart, through all layers; each step's contribution to the
   logits. Every thread of the team calls it with its number. `seconds` and `rates` [layers], or NULL, gain what each layer took
   and read (events per input, summed over the steps). */
void engine_run(const Layer *layers, int32_t count, Memory *m, int32_t thread, const uint8_t *frames, int64_t frame_stride,
                int32_t steps, int32_t *logits, int64_t logit_stride, double *seconds, double *rates)
{
    for (int32_t i = 0; i < count; ++i) {
        const Job job = {layers + i, m, thread, steps, i, frames, frame_stride, logit_stride, logits};
        const double start = seconds ? now() : 0;
        if (layers[i].head == SUMS)
            run_sums(&job, rates ? rates + i : NULL);
        else if (layers[i].head == MATMUL)
            run_matmul(&job);
        else if (layers[i].head == OWN)
            run_own(&job);
        else
            run_map(&job);
        if (seconds && thread == 0)
            seconds[i] += now() - start;
    }
}
