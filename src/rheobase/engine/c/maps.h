/* Everything that is no weighted sum of events: maps of int32, channel-last, `pitch` (whole 64s) channels a place. A layer of this
 * kind computes a row of one block of channels at a place (its head), and any layer may pass its row through a tail: rescalings and
 * additions of other values. Padding channels hold anything.
 */
/* Row of `block` channels of a value at one place. */
static void load_row(const Job *job, const Value *v, int32_t t, int32_t place, int32_t first, int32_t block, int32_t *row)
{
    if (v->source == MAP) {
        const int32_t *const from = job->m->maps[v->reads] + ((int64_t)t * v->places + place) * v->pitch + first;
        const int32_t count = v->pitch - first < block ? v->pitch - first : block;
        memcpy(row, from, (size_t)count * sizeof *row);
        memset(row + count, 0, (size_t)(block - count) * sizeof *row);
    } else if (v->source == SPIKES) {
        const uint64_t *const words = job->m->spikes[v->reads] + ((int64_t)t * v->places + place) * v->words;
        for (int32_t w = 0; 64 * w < block; ++w) { /* a row has room for whole words */
            const uint64_t word = first / 64 + w < v->words ? words[first / 64 + w] : 0;
            for (int32_t c = 0; c < 64; ++c)
                row[64 * w + c] = (int32_t)(word >> c & 1);
        }
    } else {
        const uint8_t *const frame = job->frames + t * job->frame_stride + place;
        for (int32_t c = 0; c < block; ++c)
            row[c] = first + c < v->channels ? frame[(int64_t)(first + c) * v->places] : 0;
        for (int32_t c = 0; v->below_zero && c < block; ++c)
            row[c] = (int8_t)row[c];
    }
}

/* The place of a map at one step. */
static const int32_t *map_at(const Job *job, const Value *v, int32_t t, int32_t place)
{
    return job->m->maps[v->reads] + ((int64_t)t * v->places + place) * v->pitch;
}

static void pool_row(const Job *job, int32_t t, int32_t y, int32_t x, int32_t first, int32_t *row)
{
    const Layer *const l = job->l;
    for (int32_t c = 0; l->head == MAX_POOL && c < l->block; ++c)
        row[c] = INT32_MIN; /* every window meets the map */
    for (int32_t u = 0; u < l->kernel_height; ++u)
        for (int32_t v = 0; v < l->kernel_width; ++v) {
            const int32_t iy = y * l->stride_height - l->padding + u, ix = x * l->stride_width - l->padding + v;
            if (iy < 0 || iy >= l->raw_height || ix < 0 || ix >= l->raw_width)
                continue;
            const int32_t *const from = map_at(job, &l->value, t, iy * l->raw_width + ix) + first;
            const int32_t count = l->value.pitch - first < l->block ? l->value.pitch - first : l->block;
            if (l->head == MAX_POOL)
                for (int32_t c = 0; c < count; ++c)
                    row[c] = from[c] > row[c] ? from[c] : row[c];
            else
                for (int32_t c = 0; c < count; ++c)
                    row[c] = (int32_t)((uint32_t)row[c] + (uint32_t)from[c]);
        }
}

/* Feature f of a flattened map is its channel f / places at place f % places. */
static void flatten_row(const Job *job, int32_t t, int32_t first, int32_t *row)
{
    const Layer *const l = job->l;
    for (int32_t c = 0; c < l->block && first + c < l->out_channels; ++c)
        row[c] = map_at(job, &l->value, t, (first + c) % l->value.places)[(first + c) / l->value.places];
}

/* Convolution of a map: of currents, or in groups. `values` are [taps][part][out_padded], part = input channels of a group; outputs
   of one group are a run that reads the same inputs. */
static void conv_row(const Job *job, int32_t t, int32_t y, int32_t x, int32_t first, int32_t *row)
{
    const Layer *const l = job->l;
    const int32_t part = l->channels / l->groups, run = l->out_channels / l->groups;
    const int32_t end = first + l->block < l->out_channels ? first + l->block : l->out_channels;
    for (int32_t ky = 0; ky < l->kernel_height; ++ky)
        for (int32_t kx = 0; kx < l->kernel_width; ++kx) {
            const int32_t iy = y * l->stride_height - l->padding + ky * l->dilation;
            const int32_t ix = x * l->stride_width - l->padding + kx * l->dilation;
            if (iy < 0 || iy >= l->raw_height || ix < 0 || ix >= l->raw_width)
                continue;
            const int32_t *const from = map_at(job, &l->value, t, iy * l->raw_width + ix);
            const int32_t *const taps = l->values + (int64_t)(ky * l->kernel_width + kx) * part * l->out_padded;
            if (run == 1 && part == 1) { /* depthwise: output o reads input o */
                for (int32_t o = first; o < end; ++o)
                    row[o - first] = (int32_t)((uint32_t)row[o - first] + (uint32_t)taps[o] * (uint32_t)from[o]);
                continue;
            }
            for (int32_t start = first; start < end;) {
                const int32_t group = start / run, stop = (group + 1) * run < end ? (group + 1) * run : end;
                for (int32_t c = 0; c < part; ++c) {
                    const uint32_t input = (uint32_t)from[group * part + c];
                    const int32_t *const weights = taps + (int64_t)c * l->out_padded;
                    if (!input)
                        continue;
                    for (int32_t o = start; o < stop; ++o)
                        row[o - first] = (int32_t)((uint32_t)row[o - first] + (uint32_t)weights[o] * input);
                }
                start = stop;
            }
        }
    for (int32_t c = 0; c < l->block; ++c)
        row[c] = (int32_t)((uint32_t)row[c] * (uint32_t)l->scale);
}

/* floor((x * gain + half) / 2^shift) + bias. Products reach 2^53; 2^62 more makes them positive, and adds a multiple of 2^32 to the
   quotient, as shift is at most 30. */
static APART void rescale_row(const Tail *tail, int32_t first, int32_t block, int32_t *row)
{
    const uint64_t add = ((uint64_t)1 << 62) + (((uint64_t)1 << tail->shift) >> 1);
    const int32_t *const gain = tail->gain + first, *const bias = tail->bias + first, shift = tail->shift;
    for (int32_t c = 0; c < block; ++c) {
        const uint64_t product = (uint64_t)((int64_t)row[c] * gain[c]) + add;
        row[c] = (int32_t)((uint32_t)(product >> shift) + (uint32_t)bias[c]);
    }
}

static void tail_row(const Job *job, int32_t t, int32_t place, int32_t first, int32_t *row)
{
    const Layer *const l = job->l;
    int32_t other[BLOCK] ALIGNED;
    for (int32_t i = 0; i < l->tail_count; ++i) {
        const Tail *const tail = l->tail + i;
        if (tail->what == RESCALE) {
            rescale_row(tail, first, l->block, row);
            continue;
        }
        load_row(job, &tail->value, t, place, first, l->block, other);
        for (int32_t c = 0; c < l->block; ++c)
            row[c] = (int32_t)((uint32_t)row[c] + (uint32_t)other[c]);
    }
    if (l->keep) {
        const int32_t count = l->pitch - first < l->block ? l->pitch - first : l->block;
        int32_t *const to = job->m->maps[job->index] + ((int64_t)t * l->out_height * l->out_width + place) * l->pitch + first;
        memcpy(to, row, (size_t)count * sizeof *row);
    }
}

/* Spikes of a window, ORed word by word. */
static void or_pool(const Job *job, int32_t t, int32_t y, int32_t x)
{
    const Layer *const l = job->l;
    const uint64_t *const map = job->m->spikes[l->value.reads] + (int64_t)t * l->value.places * l->value.words;
    uint64_t *const out =
        job->m->spikes[job->index] + ((int64_t)t * l->out_height * l->out_width + y * l->out_width + x) * l->out_words;
    memset(out, 0, (size_t)l->out_words * sizeof *out);
    for (int32_t u = 0; u < l->kernel_height; ++u)
        for (int32_t v = 0; v < l->kernel_width; ++v) {
            const int32_t iy = y * l->stride_height - l->padding + u, ix = x * l->stride_width - l->padding + v;
            if (iy < 0 || iy >= l->raw_height || ix < 0 || ix >= l->raw_width)
                continue;
            for (int32_t w = 0; w < l->out_words; ++w)
                out[w] |= map[((int64_t)iy * l->raw_width + ix) * l->value.words + w];
        }
}

/* Where a value lies at one step. */
static const void *value_at(const Job *job, const Value *v, int32_t t)
{
    if (v->source == FRAME)
        return job->frames + t * job->frame_stride;
    if (v->source == SPIKES)
        return job->m->spikes[v->reads] + (int64_t)t * v->places * v->words;
    return map_at(job, v, t, 0);
}

/* Steps in turn, by one thread: the op may keep what it has seen. */
static void run_own(const Job *job)
{
    const Layer *const l = job->l;
    const int64_t size = (int64_t)l->out_height * l->out_width * l->pitch;
    for (int32_t t = 0; job->thread == 0 && t < job->steps; ++t) {
        const void *const values[2] = {value_at(job, &l->value, t), value_at(job, &l->other, t)};
        l->own(job->m->membranes[job->index], values, job->m->maps[job->index] + t * size);
    }
    meet(job->m);
}
