/* Products of two maps of spikes as matrices, head by head: entry (i, j) is the number of ones in the AND of two strings of bits, row i
 * of the first factor and column j of the second. Both are brought to strings of `words` words along the inner axis: a head's channels at
 * a place, or, turned, the places of a channel.
 */
typedef struct Strings {
    int32_t count, inner, words; /* strings of a head, their bits, and the words of each */
} Strings;

static Strings strings_of(const Layer *l, const Value *v, int turned)
{
    const int32_t part = v->channels / l->groups, inner = turned ? v->places : part;
    return (Strings){turned ? part : v->places, inner, (inner + 63) / 64};
}

/* Words of scratch for both factors of all heads. */
static int64_t matmul_words(const Layer *l)
{
    const Strings a = strings_of(l, &l->value, l->first_turned), b = strings_of(l, &l->other, l->second_turned);
    return l->groups * ((int64_t)a.count * a.words + (int64_t)b.count * b.words);
}

/* [heads][words][count]: word w of all strings of a head side by side. */
static void pack_strings(const Layer *l, const Value *v, const uint64_t *map, int turned, uint64_t *out)
{
    const Strings s = strings_of(l, v, turned);
    const int32_t part = v->channels / l->groups;
    memset(out, 0, (size_t)l->groups * (size_t)s.count * (size_t)s.words * sizeof *out);
    for (int32_t place = 0; place < v->places; ++place, map += v->words)
        for (int32_t i = 0; i < v->words; ++i)
            for (uint64_t word = map[i]; word; word &= word - 1) {
                const int32_t channel = 64 * i + __builtin_ctzll(word), head = channel / part, c = channel % part;
                const int32_t string = turned ? c : place, bit = turned ? place : c;
                out[((int64_t)head * s.words + bit / 64) * s.count + string] |= (uint64_t)1 << bit % 64;
            }
}

/* One row of the product, all heads: [heads][columns] numbers. */
static APART void matmul_row(const Layer *l, const uint64_t *first, const uint64_t *second, int32_t row, int32_t *out)
{
    const Strings a = strings_of(l, &l->value, l->first_turned), b = strings_of(l, &l->other, l->second_turned);
    for (int32_t head = 0; head < l->groups; ++head, out += b.count) {
        memset(out, 0, (size_t)b.count * sizeof *out);
        for (int32_t w = 0; w < a.words; ++w) {
            const uint64_t bits = first[((int64_t)head * a.words + w) * a.count + row];
            const uint64_t *const columns = second + ((int64_t)head * b.words + w) * b.count;
            for (int32_t c = 0; bits && c < b.count; ++c)
                out[c] += (int32_t)__builtin_popcountll(bits & columns[c]);
        }
    }
}

/* Threads share the rows; each packs the factors for itself, which is little beside the product. */
static void run_matmul(const Job *job)
{
    const Layer *const l = job->l;
    const int32_t rows = l->out_height * l->out_width;
    const int32_t start = rows * job->thread / job->m->threads, stop = rows * (job->thread + 1) / job->m->threads;
    uint64_t *const first = (uint64_t *)(void *)job->m->scratch[job->thread];
    const Strings a = strings_of(l, &l->value, l->first_turned);
    uint64_t *const second = first + (int64_t)l->groups * a.count * a.words;
    for (int32_t t = 0; t < job->steps; ++t) {
        pack_strings(l, &l->value, value_at(job, &l->value, t), l->first_turned, first);
        pack_strings(l, &l->other, value_at(job, &l->other, t), l->second_turned, second);
        for (int32_t row = start; row < stop; ++row)
            matmul_row(l, first, second, row, job->m->maps[job->index] + ((int64_t)t * rows + row) * l->pitch);
    }
    meet(job->m);
}
