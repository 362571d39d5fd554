/* From maps to lists of events. An event of channel c at column x of a row is the number x * channels + c (modulo 2^16); rows
 * are sorted by x, so the part of a window in one row is one run of its list, and adding a constant that depends on the window
 * turns the numbers into indices of weight rows [ky][kx][c]. A count of n is n events, and so is a pooled window of n spikes.
 */
typedef struct Window {
    const uint16_t *list; /* padded to whole UNITs */
    int32_t events, padded;
} Window;

#define ONES(NAME, QUALIFIER)                                      \
    QUALIFIER static int64_t NAME(const uint64_t *words, int64_t n) \
    {                                                              \
        int64_t ones = 0;                                          \
        for (int64_t i = 0; i < n; ++i)                            \
            ones += __builtin_popcountll(words[i]);                \
        return ones;                                               \
    }

ONES(ones_plain, )
#if HAS_AVX2
ONES(ones_avx2, AVX2)
#endif

static inline uint16_t *spikes_plain(const uint64_t *words, int32_t count, uint16_t base, uint16_t *out)
{
    for (int32_t i = 0; i < count; ++i)
        for (uint64_t word = words[i]; word; word &= word - 1)
            *out++ = (uint16_t)(base + 64 * i + __builtin_ctzll(word));
    return out;
}

#if HAS_AVX2
static uint16_t bits_of[256][8] ALIGNED; /* positions of the set bits of a byte, in order */

static void fill_bits_of(void)
{
    for (int32_t byte = 0; byte < 256; ++byte)
        for (int32_t bit = 0, n = 0; bit < 8; ++bit)
            if (byte >> bit & 1)
                bits_of[byte][n++] = (uint16_t)bit;
}

/* No branch depends on the spikes, other than whether a word has any. Writes up to 8 numbers past the end. */
AVX2_INLINE uint16_t *spikes_avx2(const uint64_t *words, int32_t count, uint16_t base, uint16_t *out)
{
    for (int32_t i = 0; i < count; ++i) {
        const uint64_t word = words[i];
        __m128i at = _mm_set1_epi16((int16_t)(base + 64 * i));
        if (!word)
            continue;
        for (int32_t byte = 0; byte < 8; ++byte) {
            const uint32_t bits = (uint32_t)(word >> 8 * byte) & 255;
            _mm_storeu_si128((__m128i *)out, _mm_add_epi16(at, _mm_load_si128((const __m128i *)bits_of[bits])));
            out += _mm_popcnt_u32(bits);
            at = _mm_add_epi16(at, _mm_set1_epi16(8));
        }
    }
    return out;
}
#endif

#define ROW_OF_SPIKES(NAME, COLLECT, QUALIFIER)                                                                          \
    QUALIFIER static void NAME(const Layer *l, const uint64_t *map, int32_t y, uint16_t *entries, int32_t *starts)       \
    {                                                                                                                    \
        uint16_t *out = entries;                                                                                         \
        for (int32_t x = 0; x < l->width; ++x) {                                                                         \
            starts[x] = (int32_t)(out - entries);                                                                        \
            for (int32_t u = 0; u < l->pool_height; ++u)                                                                 \
                for (int32_t v = 0; v < l->pool_width; ++v) {                                                            \
                    const int64_t place = (int64_t)(y * l->pool_height + u) * l->raw_width + x * l->pool_width + v;      \
                    out = COLLECT(map + place * l->value.words, l->value.words, (uint16_t)(x * l->channels), out);                   \
                }                                                                                                        \
        }                                                                                                                \
        starts[l->width] = (int32_t)(out - entries);                                                                     \
    }

ROW_OF_SPIKES(row_of_spikes_plain, spikes_plain, )
#if HAS_AVX2
ROW_OF_SPIKES(row_of_spikes_avx2, spikes_avx2, AVX2)
#endif

/* The same from counts [width][paired]. */
static void row_of_counts(const Layer *l, const uint16_t *row, uint16_t *entries, int32_t *starts)
{
    uint16_t *out = entries;
    for (int32_t x = 0; x < l->width; ++x) {
        starts[x] = (int32_t)(out - entries);
        for (int32_t c = 0; c < l->channels; ++c)
            for (int32_t n = row[(int64_t)x * l->paired + c]; n > 0; --n)
                *out++ = (uint16_t)(x * l->channels + c);
    }
    starts[l->width] = (int32_t)(out - entries);
}

/* out[i] = from[i] + delta; writes up to 15 numbers past the end. */
static inline void moved_plain(const uint16_t *from, int32_t count, uint16_t delta, uint16_t *out)
{
    for (int32_t i = 0; i < count; ++i)
        out[i] = (uint16_t)(from[i] + delta);
}

#if HAS_AVX2
AVX2_INLINE void moved_avx2(const uint16_t *from, int32_t count, uint16_t delta, uint16_t *out)
{
    const __m256i add = _mm256_set1_epi16((int16_t)delta);
    for (int32_t i = 0; i < count; i += 16)
        _mm256_storeu_si256((__m256i *)(out + i),
                            _mm256_add_epi16(add, _mm256_loadu_si256((const __m256i *)(from + i))));
}
#endif

/* The window of output (y, x) at one step, from that step's lists; returns where the next list may start. */
#define WINDOW_LIST(NAME, MOVED, QUALIFIER)                                                                              \
    QUALIFIER static uint16_t *NAME(const Layer *l, const uint16_t *entries, const int32_t *starts, int64_t capacity,    \
                                    int32_t y, int32_t x, uint16_t *out, Window *window)                                 \
    {                                                                                                                    \
        const int32_t left = x * l->stride_width - l->padding, top = y * l->stride_height - l->padding;                               \
        const int32_t first = left < 0 ? 0 : left;                                                                       \
        const int32_t last = left + l->kernel_width < l->width ? left + l->kernel_width : l->width;                      \
        int32_t n = 0, padded;                                                                                           \
        for (int32_t ky = top < 0 ? -top : 0; ky < l->kernel_height && top + ky < l->height && first < last; ++ky) {     \
            const int32_t *const start = starts + (int64_t)(top + ky) * (l->width + 1);                                  \
            const int32_t count = start[last] - start[first];                                                            \
            MOVED(entries + (top + ky) * capacity + start[first], count,                                                 \
                  (uint16_t)((ky * l->kernel_width - left) * l->channels), out + n);                                     \
            n += count;                                                                                                  \
        }                                                                                                                \
        padded = (n + UNIT - 1) / UNIT * UNIT;                                                                           \
        for (int32_t i = 0; i < UNIT; ++i)                                                                               \
            out[n + i] = (uint16_t)l->rows;                                                                              \
        window->list = out;                                                                                              \
        window->events = n;                                                                                              \
        window->padded = padded;                                                                                         \
        return out + padded;                                                                                             \
    }

WINDOW_LIST(window_plain, moved_plain, )
#if HAS_AVX2
WINDOW_LIST(window_avx2, moved_avx2, AVX2)
#endif

/* Frames uint8 [C][H][W], or spikes, to counts [height][width][paired], pooled; row y. Returns the number of events. */
static int64_t counts_of_frame(const Layer *l, const uint8_t *frame, int32_t y, uint16_t *row)
{
    int64_t events = 0;
    memset(row, 0, (size_t)l->width * (size_t)l->paired * sizeof *row);
    for (int32_t c = 0; c < l->channels; ++c)
        for (int32_t u = 0; u < l->pool_height; ++u) {
            const uint8_t *const from = frame + ((int64_t)c * l->raw_height + y * l->pool_height + u) * l->raw_width;
            for (int32_t x = 0; x < l->width; ++x)
                for (int32_t v = 0; v < l->pool_width; ++v) {
                    row[(int64_t)x * l->paired + c] = (uint16_t)(row[(int64_t)x * l->paired + c] + from[x * l->pool_width + v]);
                    events += from[x * l->pool_width + v];
                }
        }
    return events;
}

/* The same from a map of events. */
static int64_t counts_of_map(const Layer *l, const int32_t *map, int32_t y, uint16_t *row)
{
    int64_t events = 0;
    memset(row, 0, (size_t)l->width * (size_t)l->paired * sizeof *row);
    for (int32_t u = 0; u < l->pool_height; ++u)
        for (int32_t x = 0; x < l->width * l->pool_width; ++x) {
            const int32_t *const from = map + ((int64_t)(y * l->pool_height + u) * l->raw_width + x) * l->value.pitch;
            uint16_t *const out = row + (int64_t)(x / l->pool_width) * l->paired;
            for (int32_t c = 0; c < l->channels; ++c) {
                out[c] = (uint16_t)(out[c] + from[c]);
                events += from[c];
            }
        }
    return events;
}

static void counts_of_spikes(const Layer *l, const uint64_t *map, int32_t y, uint16_t *row)
{
    memset(row, 0, (size_t)l->width * (size_t)l->paired * sizeof *row);
    for (int32_t u = 0; u < l->pool_height; ++u)
        for (int32_t x = 0; x < l->width * l->pool_width; ++x) {
            const uint64_t *const words = map + ((int64_t)(y * l->pool_height + u) * l->raw_width + x) * l->value.words;
            uint16_t *const out = row + (int64_t)(x / l->pool_width) * l->paired;
            for (int32_t i = 0; i < l->value.words; ++i)
                for (uint64_t word = words[i]; word; word &= word - 1)
                    ++out[64 * i + __builtin_ctzll(word)];
        }
}
