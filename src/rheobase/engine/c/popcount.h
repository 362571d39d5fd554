/* Sums of 1- and 2-bit codes bit by bit: a window's spikes are one string of bits, ANDed with the strings of each output's codes, whose
 * ones are counted. `planes` are [out_padded / 64][taps * words][bits][64] words: bit p of the codes of 64 outputs for 64 channels of
 * a tap. The work does not depend on the spikes. Pays where vectors count ones (AVX-512 VPOPCNTDQ); compilers make it so.
 */
static uint32_t popcount_block(const Layer *l, const uint64_t *map, int32_t y, int32_t x, int32_t first, uint32_t *sums)
{
    const int32_t words = l->value.words, taps = l->kernel_height * l->kernel_width, bits = l->bits;
    uint32_t events = 0;
    for (int32_t part = 0; part < l->block; part += 64) {
        const uint64_t *const planes = l->planes + (int64_t)((first + part) / 64) * taps * words * bits * 64;
        uint64_t found[2][64] ALIGNED;
        memset(found, 0, sizeof found);
        events = 0;
        for (int32_t tap = 0; tap < taps; ++tap) {
            const int32_t iy = y * l->stride_height - l->padding + tap / l->kernel_width;
            const int32_t ix = x * l->stride_width - l->padding + tap % l->kernel_width;
            if (iy < 0 || iy >= l->height || ix < 0 || ix >= l->width)
                continue;
            for (int32_t w = 0; w < words; ++w) {
                const uint64_t spikes = map[((int64_t)iy * l->width + ix) * words + w];
                events += (uint32_t)__builtin_popcountll(spikes);
                for (int32_t p = 0; p < bits; ++p) {
                    const uint64_t *const codes = planes + ((int64_t)(tap * words + w) * bits + p) * 64;
                    for (int32_t o = 0; o < 64; ++o)
                        found[p][o] += (uint64_t)__builtin_popcountll(codes[o] & spikes);
                }
            }
        }
        for (int32_t o = 0; o < 64; ++o)
            sums[part + o] = (uint32_t)(found[0][o] + 2 * found[1][o]);
    }
    return events;
}
