/* Sums by table: four inputs are an index into the 16 sums that they can make, which one instruction looks up for 32 places.
 *
 * Tables are [passes][out_padded / 4][groups][4][16] bytes, groups = [ky][kx][word][16] of four channels. Codes of 8 bits take two
 * passes, one for each nibble. The work does not depend on the spikes, so this is for rates too high for lists. PLACES outputs, of any
 * step and place, are summed at a time.
 */
#define PLACES 128
#define GROUPS_AT_ONCE 256 /* their indices stay in the first-level cache, their sums in 16 bits */

#ifdef __AVX2__
static int32_t lookup_groups(const Layer *l)
{
    return l->kernel_height * l->kernel_width * l->value.words * 16;
}

/* Rows of 16 bytes to columns. */
static inline void transpose_bytes(__m128i r[16])
{
    __m128i s[16];
    for (int round = 0; round < 4; ++round) { /* each round interleaves row k with row k + 8 */
        for (int k = 0; k < 8; ++k) {
            s[2 * k] = _mm_unpacklo_epi8(r[k], r[k + 8]);
            s[2 * k + 1] = _mm_unpackhi_epi8(r[k], r[k + 8]);
        }
        for (int k = 0; k < 16; ++k)
            r[k] = s[k];
    }
}

/* The word of channels that tap (ky, kx) of output (y, x) reads; 0 outside the map. */
static inline uint64_t word_at(const Layer *l, const uint64_t *map, int32_t y, int32_t x, int32_t ky, int32_t kx, int32_t word)
{
    const int32_t iy = y * l->stride_height - l->padding + ky, ix = x * l->stride_width - l->padding + kx;
    const int inside = iy >= 0 && iy < l->height && ix >= 0 && ix < l->width;
    return inside ? map[((int64_t)iy * l->width + ix) * l->value.words + word] : 0;
}

/* An output to sum: the map of its step, and its place. */
typedef struct Output {
    const uint64_t *map;
    int32_t step, place, y, x;
} Output;

/* Indices [groups][PLACES] of `count` outputs, and the number of events in each one's window. */
static void lookup_indices(const Layer *l, const Output *outputs, int32_t count, uint8_t *indices, uint32_t *events)
{
    const __m128i nibbles = _mm_set1_epi8(15);
    memset(events, 0, PLACES * sizeof *events);
    for (int32_t ky = 0; ky < l->kernel_height; ++ky)
        for (int32_t kx = 0; kx < l->kernel_width; ++kx)
            for (int32_t word = 0; word < l->value.words; ++word)
                for (int32_t first = 0; first < PLACES; first += 16) {
                    __m128i rows[16];
                    uint8_t *const out =
                        indices + (int64_t)((ky * l->kernel_width + kx) * l->value.words + word) * 16 * PLACES + first;
                    for (int32_t k = 0; k < 16; ++k) {
                        const Output *const o = outputs + first + k;
                        const uint64_t bits =
                            first + k < count ? word_at(l, o->map, o->y, o->x, ky, kx, word) : 0;
                        const __m128i bytes = _mm_cvtsi64_si128((int64_t)bits);
                        events[first + k] += (uint32_t)_mm_popcnt_u64(bits);
                        rows[k] = _mm_unpacklo_epi8(_mm_and_si128(bytes, nibbles),
                                                    _mm_and_si128(_mm_srli_epi16(bytes, 4), nibbles));
                    }
                    transpose_bytes(rows);
                    for (int32_t k = 0; k < 16; ++k)
                        _mm_store_si128((__m128i *)(out + (int64_t)k * PLACES), rows[k]);
                }
}

/* Sums of four output channels over `groups` groups for PLACES places. Bytes hold the sums of `fill` groups; then they are widened
   as in event8. Eight sums of bytes, two indices and a table are what the registers hold. */
static void lookup_four(const uint8_t *tables, const uint8_t *indices, int32_t groups, int32_t fill, uint16_t *tile)
{
    for (int32_t part = 0; part < PLACES; part += 64) {
        const uint8_t *const index = indices + part;
        __m256i all[8], high[8];
        for (int k = 0; k < 8; ++k)
            all[k] = high[k] = _mm256_setzero_si256();
        for (int32_t g = 0; g < groups;) {
            const int32_t stop = g + fill < groups ? g + fill : groups;
            __m256i sums[8];
            UNROLLED
            for (int k = 0; k < 8; ++k)
                sums[k] = _mm256_setzero_si256();
            for (; g < stop; ++g) {
                __m256i i0 = LOAD(index + (int64_t)g * PLACES), i1 = LOAD(index + (int64_t)g * PLACES + 32);
                IN_REGISTER(i0);
                IN_REGISTER(i1);
                UNROLLED
                for (int k = 0; k < 4; ++k) {
                    const __m128i *const at = (const __m128i *)(tables + 64 * g + 16 * k);
                    const __m256i table = _mm256_broadcastsi128_si256(_mm_load_si128(at));
                    sums[2 * k] = _mm256_add_epi8(sums[2 * k], _mm256_shuffle_epi8(table, i0));
                    sums[2 * k + 1] = _mm256_add_epi8(sums[2 * k + 1], _mm256_shuffle_epi8(table, i1));
                    IN_REGISTER(sums[2 * k]);
                    IN_REGISTER(sums[2 * k + 1]);
                }
            }
            UNROLLED
            for (int k = 0; k < 8; ++k) {
                all[k] = _mm256_add_epi16(all[k], sums[k]);
                high[k] = _mm256_add_epi16(high[k], _mm256_srli_epi16(sums[k], 8));
            }
        }
        for (int k = 0; k < 8; ++k) {
            const __m256i low = _mm256_sub_epi16(all[k], _mm256_slli_epi16(high[k], 8));
            const __m256i first = _mm256_unpacklo_epi16(low, high[k]), last = _mm256_unpackhi_epi16(low, high[k]);
            uint16_t *const out = tile + k / 2 * PLACES + part + k % 2 * 32;
            STORE(out, _mm256_permute2x128_si256(first, last, 0x20));
            STORE(out + 16, _mm256_permute2x128_si256(first, last, 0x31));
        }
    }
}

/* sums[place][c] += tile[c][place] << shift, for 8 x 8 places and channels; sums are uint16 or, where the layer is wide, uint32. */
static inline void add_tile(const uint16_t *tile, void *sums, int32_t block, int narrow, int32_t shift)
{
    const __m128i by = _mm_cvtsi32_si128(shift);
    for (int32_t c = 0; c < block; c += 8)
        for (int32_t p = 0; p < PLACES; p += 8) {
            __m128i r[8], s[8];
            for (int k = 0; k < 8; ++k)
                r[k] = _mm_load_si128((const __m128i *)(tile + (c + k) * PLACES + p));
            for (int round = 0; round < 3; ++round) {
                for (int k = 0; k < 4; ++k) {
                    s[2 * k] = _mm_unpacklo_epi16(r[k], r[k + 4]);
                    s[2 * k + 1] = _mm_unpackhi_epi16(r[k], r[k + 4]);
                }
                for (int k = 0; k < 8; ++k)
                    r[k] = s[k];
            }
            for (int k = 0; k < 8; ++k) {
                const int64_t at = (int64_t)(p + k) * block + c;
                if (narrow) {
                    __m128i *const out = (__m128i *)((uint16_t *)sums + at);
                    _mm_store_si128(out, _mm_add_epi16(_mm_load_si128(out), _mm_sll_epi16(r[k], by)));
                } else {
                    uint32_t *const out = (uint32_t *)sums + at;
                    STORE(out, _mm256_add_epi32(LOAD(out), _mm256_sll_epi32(_mm256_cvtepu16_epi32(r[k]), by)));
                }
            }
        }
}

/* Sums [PLACES][block] of codes for one block of channels. */
static void lookup_block(const Layer *l, int32_t first, const uint8_t *indices, uint16_t *tile, void *sums, int narrow)
{
    static const int32_t fills[9] = {0, 63, 21, 0, 4, 0, 0, 0, 4}; /* by bits: groups whose largest sums fit a byte */
    const int32_t groups = lookup_groups(l), passes = l->bits == 8 ? 2 : 1;
    const int32_t parts = (groups + GROUPS_AT_ONCE - 1) / GROUPS_AT_ONCE, part = (groups + parts - 1) / parts;
    memset(sums, 0, (size_t)(PLACES * l->block) * (narrow ? 2 : 4));
    for (int32_t pass = 0; pass < passes; ++pass)
        for (int32_t g = 0; g < groups; g += part) {
            const int32_t count = groups - g < part ? groups - g : part;
            for (int32_t c = 0; c < l->block; c += 4) {
                const int64_t four = (pass * l->out_padded + first + c) / 4;
                lookup_four(l->tables + (four * groups + g) * 64, indices + (int64_t)g * PLACES, count, fills[l->bits],
                            tile + c * PLACES);
            }
            add_tile(tile, sums, l->block, narrow, 4 * pass);
        }
}
#endif
