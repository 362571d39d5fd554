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
#include "neuron.h"
#include "maps.h"

#include <sched.h>
#include <time.h>

int32_t engine_isa(void);
int64_t engine_layer_bytes(void);
int64_t engine_memory_bytes(void);
int64_t engine_scratch_bytes(const Layer *layers, int32_t count, int32_t steps, int64_t row_capacity);
void engine_prepare(void);
void engine_run(const Layer *layers, int32_t count, Memory *m, int32_t thread, int32_t isa, const uint8_t *frames,
                int64_t frame_stride, int32_t steps, int32_t *logits, int64_t logit_stride, double *seconds, double *rates);

int32_t engine_isa(void)
{
#if HAS_AVX2
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt"))
        return AVX2_ISA;
#endif
    return SCALAR_ISA;
}

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
#if HAS_AVX2
    fill_bits_of();
#endif
}

static int64_t longest_window(const Layer *l, int64_t row_capacity)
{
    const int64_t spikes = (int64_t)l->rows * l->pool_height * l->pool_width;
    return (l->value.source != SPIKES ? l->kernel_height * row_capacity : spikes) + 2 * UNIT;
}

/* What a thread needs: for lists as many windows as the second-level cache holds, and at least one of each step. */
int64_t engine_scratch_bytes(const Layer *layers, int32_t count, int32_t steps, int64_t row_capacity)
{
    int64_t most = 1 << 18;
    for (int32_t i = 0; i < count; ++i) {
        if (layers[i].head != SUMS)
            continue;
        const int64_t lists = 2 * steps * longest_window(layers + i, row_capacity) + 4096;
        most = lists > most ? lists : most;
#if HAS_AVX2
        const int64_t lookup = (int64_t)lookup_groups(layers + i) * PLACES + BLOCK * PLACES * 6;
        most = layers[i].tables && lookup > most ? lookup : most;
#endif
    }
    return most;
}

static void meet(Memory *m)
{
    if (m->threads == 1)
        return;
    const int32_t turn = __atomic_load_n(&m->turn, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&m->waiting, 1, __ATOMIC_ACQ_REL) == m->threads) {
        __atomic_store_n(&m->waiting, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&m->turn, turn + 1, __ATOMIC_RELEASE);
        return;
    }
    for (int32_t spins = 0; __atomic_load_n(&m->turn, __ATOMIC_ACQUIRE) == turn; ++spins)
        if (spins > 2000)
            sched_yield();
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
    for (int32_t w = 0; w < l->block / 64 && first / 64 + w < l->out_words; ++w) {
        const int32_t left = l->out_channels - first - 64 * w;
        out[w] = left >= 64 ? bits[w] : bits[w] & (((uint64_t)1 << left) - 1);
    }
}

/* What ends a layer, at one place and block and step, from `sums` of which each is by_code * sum + base (uint16 where the layer is
   narrow). */
static void end_row(const Job *job, int32_t t, int32_t place, int32_t first, const void *sums, uint32_t by_code, uint32_t base)
{
    const Layer *const l = job->l;
    uint64_t bits[BLOCK / 64] = {0, 0};
    const int64_t at = (int64_t)place * l->out_padded + first;
    if (l->neuron == READOUT) {
        int32_t *const out = job->logits + t * job->logit_stride;
        const uint32_t *const wide = (const uint32_t *)sums;
        for (int32_t c = 0; c < l->block && first + c < l->out_channels; ++c)
            out[first + c] = (int32_t)(wide[c] * by_code + base + (uint32_t)l->bias[first + c]);
        return;
    }
    int32_t *const membranes = (int32_t *)job->m->membranes[job->index] + at;
#if HAS_AVX2
    if (l->narrow)
        neuron_narrow(l, first, l->block, (const uint16_t *)sums, by_code, base,
                      (int16_t *)job->m->membranes[job->index] + at, bits);
    else if (job->isa >= AVX2_ISA && l->neuron == PLAIN)
        neuron_wide(l, first, l->block, (const uint32_t *)sums, by_code, base, membranes, bits);
    else
#endif
        neuron_plain(l, first, l->block, (const uint32_t *)sums, by_code, base, membranes, bits);
    store_spikes(job, t, place, first, bits);
}

/* The tail and the end of a row of numbers. */
static void finish_row(const Job *job, int32_t t, int32_t place, int32_t first, int32_t *row)
{
    tail_row(job, t, place, first, row);
    if (job->l->neuron != NOTHING)
        end_row(job, t, place, first, row, 1, 0);
}

/* All that follows the sums of codes of one place and block at one step. */
static void finish(const Job *job, int32_t t, int32_t place, int32_t first, const void *sums, uint32_t events)
{
    const Layer *const l = job->l;
    const uint32_t by_code = (uint32_t)l->step * (uint32_t)l->scale;
    const uint32_t base = (uint32_t)l->offset * (uint32_t)l->scale * events;
    if (!l->tail_count && !l->keep) {
        end_row(job, t, place, first, sums, by_code, base);
        return;
    }
    int32_t row[BLOCK] ALIGNED;
    for (int32_t c = 0; c < l->block; ++c)
        row[c] = (int32_t)(((const uint32_t *)sums)[c] * by_code + base);
    finish_row(job, t, place, first, row);
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
    int32_t first, last;
    rows_of(job, &first, &last);
    for (int32_t t = 0; t < job->steps; ++t)
        for (int32_t y = first; y < last; ++y) {
            const int64_t row = (int64_t)t * l->height + y;
            uint16_t *const entries = job->m->entries + row * job->m->row_capacity;
            int32_t *const starts = job->m->starts + row * (l->width + 1);
            if (l->value.source != SPIKES)
                row_of_counts(l, job->m->counts + row * l->width * l->paired, entries, starts);
#if HAS_AVX2
            else if (job->isa >= AVX2_ISA)
                row_of_spikes_avx2(l, spikes_at(job, t), y, entries, starts);
#endif
            else
                row_of_spikes_plain(l, spikes_at(job, t), y, entries, starts);
        }
}

/* Each thread's share of the events of the map that is read. */
static void count_events(const Job *job)
{
    const Layer *const l = job->l;
    const int64_t words = (int64_t)job->steps * l->value.places * l->value.words;
    const int64_t first = words * job->thread / job->m->threads, last = words * (job->thread + 1) / job->m->threads;
    int64_t events;
#if HAS_AVX2
    if (job->isa >= AVX2_ISA)
        events = ones_avx2(spikes_at(job, 0) + first, last - first);
    else
#endif
        events = ones_plain(spikes_at(job, 0) + first, last - first);
    job->m->events[2 * job->thread] = events;
    job->m->events[2 * job->thread + 1] = 0;
}

static void run_dense(const Job *job)
{
    const Layer *const l = job->l;
    const Part part = part_of(job);
    uint32_t sums[BLOCK] ALIGNED;
    for (int32_t b = part.block; b < part.last_block; ++b)
        for (int32_t place = part.place; place < part.last_place; ++place)
            for (int32_t t = 0; t < job->steps; ++t) {
                const uint16_t *const counts = job->m->counts + (int64_t)t * l->height * l->width * l->paired;
                const int32_t y = place / l->out_width, x = place % l->out_width;
                uint32_t events;
#if HAS_AVX2
                if (job->isa >= AVX2_ISA && l->pairs)
                    events = dense_avx2(l, counts, y, x, b * l->block, l->block, sums);
                else
#endif
                    events = dense_plain(l, counts, y, x, b * l->block, l->block, sums);
                if (l->narrow)
                    for (int32_t c = 0; c < l->block; ++c)
                        ((uint16_t *)(void *)sums)[c] = (uint16_t)sums[c];
                finish(job, t, place, b * l->block, sums, events);
            }
}

static void sum_and_finish(const Job *job, int32_t t, int32_t place, int32_t b, const Window *w)
{
    const Layer *const l = job->l;
    uint32_t sums[BLOCK] ALIGNED;
#if HAS_AVX2
    if (job->isa >= AVX2_ISA && l->packed) {
        const uint8_t *const rows = l->packed + (int64_t)b * (l->rows + 1) * l->block * l->bits / 8;
        if (l->narrow)
            event_kernel(l)(rows, w->list, w->padded, (uint16_t *)(void *)sums);
        else
            event_wide(l, event_kernel(l), rows, w, sums);
    } else
#endif
        event_plain(l, w, b * l->block, l->block, sums);
    finish(job, t, place, b * l->block, sums, (uint32_t)w->events);
}

/* As many windows as the scratch holds, then all blocks of channels over them, so that a block's weights stay in cache. */
static void run_events(const Job *job)
{
    const Layer *const l = job->l;
    const Part part = part_of(job);
    const int64_t room = (job->m->scratch_bytes - 64) / 2, reserve = longest_window(l, job->m->row_capacity) * job->steps;
    uint16_t *const memory = (uint16_t *)(void *)job->m->scratch[job->thread];
    enum { HELD = 256 };
    Window windows[HELD];
    const int32_t group = HELD / job->steps;
    for (int32_t place = part.place; place < part.last_place;) {
        uint16_t *end = memory;
        int32_t held = 0;
        while (held < group && place + held < part.last_place && (held == 0 || end - memory + reserve <= room)) {
            const int32_t y = (place + held) / l->out_width, x = (place + held) % l->out_width;
            for (int32_t t = 0; t < job->steps; ++t) {
                const uint16_t *const entries = job->m->entries + (int64_t)t * l->height * job->m->row_capacity;
                const int32_t *const starts = job->m->starts + (int64_t)t * l->height * (l->width + 1);
                Window *const w = windows + held * job->steps + t;
#if HAS_AVX2
                if (job->isa >= AVX2_ISA)
                    end = window_avx2(l, entries, starts, job->m->row_capacity, y, x, end, w);
                else
#endif
                    end = window_plain(l, entries, starts, job->m->row_capacity, y, x, end, w);
            }
            ++held;
        }
        for (int32_t b = part.block; b < part.last_block; ++b)
            for (int32_t i = 0; i < held; ++i)
                for (int32_t t = 0; t < job->steps; ++t)
                    sum_and_finish(job, t, place + i, b, windows + i * job->steps + t);
        place += held;
    }
}

#if HAS_AVX2
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
        for (int32_t b = part.block; b < part.last_block; ++b) {
            lookup_block(l, b * l->block, indices, tile, sums);
            for (int32_t i = 0; i < count; ++i)
                finish(job, outputs[i].step, outputs[i].place, b * l->block, sums + (int64_t)i * l->block * (l->narrow ? 2 : 4),
                       events[i]);
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
#if HAS_AVX2
    } else if (kernel == LOOKUP) {
        run_lookup(job);
#endif
    } else {
        if (l->value.source == SPIKES) {
            make_counts(job);
            meet(job->m);
        }
        run_dense(job);
    }
    meet(job->m);
}

/* Up to `steps_held` steps of one sample's frames, `frame_stride` bytes apart, through all layers; each step's contribution to the
   logits. Every thread of the team calls it with its number. `seconds` and `rates` [layers], or NULL, gain what each layer took
   and read (events per input, summed over the steps). */
void engine_run(const Layer *layers, int32_t count, Memory *m, int32_t thread, int32_t isa, const uint8_t *frames,
                int64_t frame_stride, int32_t steps, int32_t *logits, int64_t logit_stride, double *seconds, double *rates)
{
    for (int32_t i = 0; i < count; ++i) {
        const Job job = {layers + i, m, thread, isa, steps, i, frames, frame_stride, logit_stride, logits};
        const double start = seconds ? now() : 0;
        if (layers[i].head == SUMS)
            run_sums(&job, rates ? rates + i : NULL);
        else
            run_map(&job);
        if (seconds && thread == 0)
            seconds[i] += now() - start;
    }
}
