/* Sums of codes times counts, for all inputs of a window: for first layers of few channels, and whatever no other kernel takes.
 * A row of a window, cut where it leaves the map, is one run of counts and meets one run of weights.
 */
typedef struct Cut {
    int32_t top, left, first_row, last_row, first, last; /* of the window on the map; rows and columns of the window inside it */
} Cut;

static inline Cut cut_of(const Layer *l, int32_t y, int32_t x)
{
    const int32_t top = y * l->stride_height - l->padding, left = x * l->stride_width - l->padding;
    const int32_t rows = l->height - top, columns = l->width - left;
    return (Cut){top, left, top < 0 ? -top : 0, rows < l->kernel_height ? rows : l->kernel_height,
                 left < 0 ? -left : 0, columns < l->kernel_width ? columns : l->kernel_width};
}

/* Returns the number of events in the window. */
static uint32_t dense_plain(const Layer *l, const uint16_t *counts, int32_t y, int32_t x, int32_t first, int32_t block,
                            uint32_t *sums)
{
    const Cut cut = cut_of(l, y, x);
    uint32_t events = 0;
    memset(sums, 0, (size_t)block * sizeof *sums);
    for (int32_t ky = cut.first_row; ky < cut.last_row; ++ky)
        for (int32_t kx = cut.first; kx < cut.last; ++kx) {
            const uint16_t *const place = counts + ((int64_t)(cut.top + ky) * l->width + cut.left + kx) * l->paired;
            const int64_t tap = (int64_t)(ky * l->kernel_width + kx) * l->channels;
            for (int32_t c = 0; c < l->channels; ++c) {
                const uint8_t *const row = l->codes + (tap + c) * l->out_padded + first;
                if (!place[c])
                    continue;
                events += place[c];
                for (int32_t o = 0; o < block; ++o)
                    sums[o] += (uint32_t)place[c] * row[o];
            }
        }
    return events;
}

#ifdef __AVX2__
/* Two channels at a time, for V vectors of outputs: products of 16 bits, added in pairs. Counts are below 2^15. */
static inline uint32_t dense_part(const Layer *l, const uint16_t *counts, int32_t y, int32_t x, int32_t first, uint32_t *sums,
                                  const int V)
{
    const Cut cut = cut_of(l, y, x);
    const int32_t pairs = l->paired / 2, run = (cut.last - cut.first) * pairs;
    const int16_t *const weights = l->pairs + (int64_t)first * l->kernel_height * l->kernel_width * l->paired;
    uint32_t events = 0;
    __m256i acc[8];
    UNROLLED
    for (int v = 0; v < V; ++v)
        acc[v] = _mm256_setzero_si256();
    for (int32_t ky = cut.first_row; ky < cut.last_row; ++ky) {
        const uint16_t *from = counts + ((int64_t)(cut.top + ky) * l->width + cut.left + cut.first) * l->paired;
        const int16_t *row = weights + (int64_t)(ky * l->kernel_width + cut.first) * pairs * 16 * V;
        for (int32_t i = 0; i < run; ++i, from += 2, row += 16 * V) {
            int32_t both;
            memcpy(&both, from, 4);
            events += (uint32_t)from[0] + from[1];
            const __m256i value = _mm256_set1_epi32(both);
            UNROLLED
            for (int v = 0; v < V; ++v)
                acc[v] = _mm256_add_epi32(acc[v], _mm256_madd_epi16(LOAD(row + 16 * v), value));
        }
    }
    UNROLLED
    for (int v = 0; v < V; ++v)
        STORE(sums + 8 * v, acc[v]);
    return events;
}

static uint32_t dense_avx2(const Layer *l, const uint16_t *counts, int32_t y, int32_t x, int32_t first, int32_t block,
                           uint32_t *sums)
{
    uint32_t events = 0;
    if (block == 32)
        return dense_part(l, counts, y, x, first, sums, 4);
    for (int32_t part = 0; part < block; part += 64)
        events = dense_part(l, counts, y, x, first + part, sums + part, 8);
    return events;
}
#endif
