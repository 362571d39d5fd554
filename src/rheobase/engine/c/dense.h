/* Sums of codes times counts, place by place of the window: for the first layer and whatever no other kernel takes.
 * Returns the number of events in the window.
 */
#define EACH_PLACE(L, COUNTS, Y, X, BODY)                                                                                \
    for (int32_t ky = 0; ky < (L)->kernel_height; ++ky) {                                                                \
        const int32_t iy = (Y) * (L)->stride_height - (L)->padding + ky;                                                        \
        if (iy < 0 || iy >= (L)->height)                                                                                 \
            continue;                                                                                                    \
        for (int32_t kx = 0; kx < (L)->kernel_width; ++kx) {                                                             \
            const int32_t ix = (X) * (L)->stride_width - (L)->padding + kx, tap = ky * (L)->kernel_width + kx;                 \
            if (ix < 0 || ix >= (L)->width)                                                                              \
                continue;                                                                                                \
            const uint16_t *const place = (COUNTS) + ((int64_t)iy * (L)->width + ix) * (L)->paired;                      \
            BODY                                                                                                         \
        }                                                                                                                \
    }

static uint32_t dense_plain(const Layer *l, const uint16_t *counts, int32_t y, int32_t x, int32_t first, int32_t block,
                            uint32_t *sums)
{
    uint32_t events = 0;
    memset(sums, 0, (size_t)block * sizeof *sums);
    EACH_PLACE(l, counts, y, x, {
        for (int32_t c = 0; c < l->channels; ++c) {
            const uint8_t *const row = l->codes + ((int64_t)tap * l->channels + c) * l->out_padded + first;
            if (!place[c])
                continue;
            events += place[c];
            for (int32_t o = 0; o < block; ++o)
                sums[o] += (uint32_t)place[c] * row[o];
        }
    })
    return events;
}

#ifdef __AVX2__
/* Two channels at a time: products of 16 bits, added in pairs. Counts are below 2^15. */
static uint32_t dense_avx2(const Layer *l, const uint16_t *counts, int32_t y, int32_t x, int32_t first, int32_t block,
                                uint32_t *sums)
{
    const int32_t pairs = l->paired / 2;
    uint32_t events = 0;
    for (int32_t part = 0; part < block; part += 64) {
        const int16_t *const weights =
            l->pairs + (int64_t)((first + part) / 64) * l->kernel_height * l->kernel_width * pairs * 128;
        __m256i acc[8];
        events = 0;
        for (int v = 0; v < 8; ++v)
            acc[v] = _mm256_setzero_si256();
        EACH_PLACE(l, counts, y, x, {
            for (int32_t c = 0; c < pairs; ++c) {
                const int16_t *const row = weights + ((int64_t)tap * pairs + c) * 128;
                int32_t both;
                memcpy(&both, place + 2 * c, 4);
                if (!both)
                    continue;
                events += (uint32_t)place[2 * c] + place[2 * c + 1];
                const __m256i value = _mm256_set1_epi32(both);
                for (int v = 0; v < 8; ++v)
                    acc[v] = _mm256_add_epi32(acc[v], _mm256_madd_epi16(LOAD(row + 16 * v), value));
            }
        })
        for (int v = 0; v < 8; ++v)
            STORE(sums + part + 8 * v, acc[v]);
    }
    return events;
}
#endif
