/* From maps to lists of events. An event of channel c at column x of a row is the number x * channels + c (modulo 2^16); rows
 * are sorted by x, so the part of a window in one row is one run of its list, and adding a constant that depends on the window
 * turns the numbers into indices of weight rows [ky][kx][c]. Counts (of frames, of pooled spikes) have two lists: a count n is in
 * the second one n / 2 times, for weights that count double, and once in the first one where n is odd.
 */
typedef struct Window {
    const uint16_t *list;    /* events that count double, then single ones, each padded to whole units with rows of zeros */
    int32_t doubled, padded; /* length of the first part, and of both */
    int32_t events;
} Window;

enum { SINGLE, DOUBLED }; /* lists of a row, in memory one after the other */

static int64_t ones(const uint64_t *words, int64_t n)
{
    int64_t found = 0;
    for (int64_t i = 0; i < n; ++i)
        found += __builtin_popcountll(words[i]);
    return found;
}

#ifdef __AVX2__
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define STORE(p, v) _mm256_storeu_si256((__m256i *)(p), v)

static uint16_t bits_of[256][8] ALIGNED; /* positions of the set bits of a byte, in order */

static void fill_bits_of(void)
{
    for (int32_t byte = 0; byte < 256; ++byte)
        for (int32_t bit = 0, n = 0; bit < 8; ++bit)
            if (byte >> bit & 1)
                bits_of[byte][n++] = (uint16_t)bit;
}

/* Numbers of a word's set bits, from `base` on. No branch depends on the spikes, other than whether there are any. Writes up to 8
   numbers past the end. */
static inline uint16_t *collect(uint64_t word, uint16_t base, uint16_t *out)
{
    __m128i at = _mm_set1_epi16((int16_t)base);
    if (!word)
        return out;
    for (int32_t byte = 0; byte < 8; ++byte) {
        const uint32_t bits = (uint32_t)(word >> 8 * byte) & 255;
        _mm_storeu_si128((__m128i *)out, _mm_add_epi16(at, _mm_load_si128((const __m128i *)bits_of[bits])));
        out += _mm_popcnt_u32(bits);
        at = _mm_add_epi16(at, _mm_set1_epi16(8));
    }
    return out;
}
#else
static inline uint16_t *collect(uint64_t word, uint16_t base, uint16_t *out)
{
    for (; word; word &= word - 1)
        *out++ = (uint16_t)(base + __builtin_ctzll(word));
    return out;
}
#endif

/* Counts of 64 channels as bit planes: planes[p] has bit p of each. Returns the number of planes. */
static inline int32_t planes_of(const Layer *l, const uint64_t *map, int32_t y, int32_t x, int32_t word, uint64_t planes[17])
{
    const int64_t words = l->value.words, row = l->raw_width * words;
    const uint64_t *const corner = map + y * l->pool_height * row + x * l->pool_width * words + word;
    int32_t count = 0;
    if (l->pool_height == 2 && l->pool_width == 2) { /* two half adders and what they carry */
        const uint64_t a = corner[0], b = corner[words], c = corner[row], d = corner[row + words];
        const uint64_t both = (a ^ b) & (c ^ d);
        planes[0] = a ^ b ^ c ^ d;
        planes[1] = (a & b) ^ (c & d) ^ both;
        planes[2] = a & b & c & d;
        return 3;
    }
    for (int32_t u = 0; u < l->pool_height; ++u)
        for (int32_t v = 0; v < l->pool_width; ++v) {
            uint64_t carry = corner[u * row + v * words];
            for (int32_t p = 0; carry; ++p) {
                const uint64_t next = p < count ? planes[p] & carry : 0;
                planes[p] = p < count ? planes[p] ^ carry : carry;
                count = p < count ? count : p + 1;
                carry = next;
            }
        }
    return count;
}

/* A row's two lists, `capacity` numbers apart, and where each place starts in them, width + 1 numbers apart. */
static void row_of_spikes(const Layer *l, const uint64_t *map, int32_t y, int64_t capacity, uint16_t *entries, int32_t *starts)
{
    uint16_t *single = entries, *doubled = entries + capacity;
    int32_t *const starts2 = starts + l->width + 1;
    const uint64_t *const row = map + (int64_t)y * l->raw_width * l->value.words;
    for (int32_t x = 0; x <= l->width; ++x) {
        starts[x] = (int32_t)(single - entries);
        starts2[x] = (int32_t)(doubled - entries - capacity);
        for (int32_t i = 0; x < l->width && i < l->value.words; ++i) {
            const uint16_t base = (uint16_t)(x * l->channels + 64 * i);
            uint64_t planes[17];
            if (!l->counts) {
                single = collect(row[(int64_t)x * l->value.words + i], base, single);
                continue;
            }
            const int32_t count = planes_of(l, map, y, x, i, planes);
            if (count)
                single = collect(planes[0], base, single);
            for (int32_t p = 1; p < count; ++p)
                for (int32_t again = 0; again < 1 << (p - 1) && planes[p]; ++again)
                    doubled = collect(planes[p], base, doubled);
        }
    }
}

/* The same from counts [width][paired]. */
static void row_of_counts(const Layer *l, const uint16_t *row, int64_t capacity, uint16_t *entries, int32_t *starts)
{
    uint16_t *single = entries, *doubled = entries + capacity;
    int32_t *const starts2 = starts + l->width + 1;
    for (int32_t x = 0; x <= l->width; ++x) {
        starts[x] = (int32_t)(single - entries);
        starts2[x] = (int32_t)(doubled - entries - capacity);
        for (int32_t c = 0; x < l->width && c < l->channels; ++c) {
            const int32_t count = row[(int64_t)x * l->paired + c];
            const uint16_t event = (uint16_t)(x * l->channels + c);
            if (!count)
                continue;
            *single = event;
            single += count & 1;
            for (int32_t n = count / 2; n > 0; --n)
                *doubled++ = event;
        }
    }
}

/* out[i] = from[i] + delta; reads and writes up to SLACK numbers past the end, in steps so large that the number of them hardly
   varies from window to window. */
static inline void moved(const uint16_t *from, int32_t count, uint16_t delta, uint16_t *out)
{
#ifdef __AVX2__
    const __m256i add = _mm256_set1_epi16((int16_t)delta);
    for (int32_t i = 0; i < count; i += SLACK)
        for (int32_t k = 0; k < SLACK; k += 16)
            STORE(out + i + k, _mm256_add_epi16(add, LOAD(from + i + k)));
#else
    for (int32_t i = 0; i < count; ++i)
        out[i] = (uint16_t)(from[i] + delta);
#endif
}

/* Where windows of one row of outputs lie. */
typedef struct Band {
    int32_t first, last, row;           /* rows ky of the window inside the map, and the map's row of the first of them */
    int32_t width, channels, kernel_width, rows, unit;
    int64_t entry_step, start_step;     /* from one row's lists to the next row's */
} Band;

static Band band_of(const Layer *l, int64_t capacity, int32_t y)
{
    const int32_t top = y * l->stride_height - l->padding, first = top < 0 ? -top : 0;
    const int32_t last = l->height - top < l->kernel_height ? l->height - top : l->kernel_height;
    return (Band){first, last, top + first, l->width, l->channels, l->kernel_width, l->rows, l->bits == 1 ? UNIT : 4,
                  2 * capacity, 2 * ((int64_t)l->width + 1)};
}

/* One of the two lists of the window from column `left` on, from the lists of the band's first row; returns its length, and pads it. */
static APART int32_t window_part(const Band *b, const uint16_t *entries, const int32_t *starts, int32_t left, uint16_t *out)
{
    const int32_t first = left < 0 ? 0 : left, right = left + b->kernel_width, last = right < b->width ? right : b->width;
    const int32_t rows = first < last ? b->last - b->first : 0;
    uint16_t delta = (uint16_t)((b->first * b->kernel_width - left) * b->channels);
    int32_t n = 0;
    for (int32_t i = 0; i < rows; ++i) {
        const int32_t start = starts[first], count = starts[last] - start;
        moved(entries + start, count, delta, out + n);
        n += count;
        entries += b->entry_step;
        starts += b->start_step;
        delta = (uint16_t)(delta + b->kernel_width * b->channels);
    }
    for (int32_t i = 0; i < UNIT; ++i)
        out[n + i] = (uint16_t)b->rows;
    return n;
}

/* The window from column `left` on at one step, from that step's lists; returns where the next list may start. */
static inline uint16_t *window_of(const Band *b, int counts, const uint16_t *entries, const int32_t *starts, int32_t left,
                                  uint16_t *out, Window *window)
{
    const int32_t unit = b->unit;
    int32_t twos = 0;
    entries += b->row * b->entry_step;
    starts += b->row * b->start_step;
    if (counts)
        twos = window_part(b, entries + b->entry_step / 2, starts + b->start_step / 2, left, out);
    window->list = out;
    window->doubled = (twos + unit - 1) / unit * unit;
    const int32_t n = window_part(b, entries, starts, left, out + window->doubled);
    window->padded = window->doubled + (n + unit - 1) / unit * unit;
    window->events = n + 2 * twos;
    return out + window->padded;
}

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
