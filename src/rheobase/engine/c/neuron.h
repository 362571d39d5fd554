/* Neurons of one place and block of channels for one step: leak, add, saturate, compare (>=), reset; spikes as bits.
 * I = scale * (step * codes + offset * events); `by_code` and `by_event` are its two factors modulo 2^32.
 */
static inline int32_t floor_shift(int32_t v, int32_t k)
{
    return v >= 0 ? v >> k : -1 - ((-1 - v) >> k);
}

static void neuron_plain(const Layer *l, int32_t first, int32_t block, const uint32_t *sums, uint32_t by_code, uint32_t base,
                         int32_t *membranes, uint64_t *spikes)
{
    const int32_t sat = l->saturation;
    for (int32_t c = 0; c < block; ++c) {
        const int32_t at = first + c;
        int32_t v = membranes[c], current = (int32_t)(sums[c] * by_code + base);
        if (l->leak == SHIFT)
            v -= floor_shift(v, l->leak_shift);
        else if (l->leak == MULTIPLY)
            v = floor_shift(v * l->leak_multiplier, l->leak_shift);
        if (l->neuron == ROUNDED) {
            const int32_t half = ((int32_t)1 << l->gain_shift) >> 1;
            current = floor_shift((int32_t)((uint32_t)current * (uint32_t)l->gain[at] + (uint32_t)half), l->gain_shift);
        }
        v = (int32_t)((uint32_t)v + (uint32_t)current + (uint32_t)l->bias[at]); /* fits for real channels; padding may wrap */
        v = v > sat ? sat : v < -sat ? -sat : v;
        const int fired = v >= l->threshold[at];
        if (fired)
            v = l->hard ? l->reset[at] : v - l->threshold[at];
        if (l->neuron == ROUNDED) {
            int32_t code = 0, last = l->edge_count;
            while (code < last) { /* the number of edges <= v */
                const int32_t middle = (code + last) / 2;
                if (l->edges[middle] <= v)
                    code = middle + 1;
                else
                    last = middle;
            }
            v = l->levels[code];
        }
        membranes[c] = v;
        spikes[c / 64] |= (uint64_t)fired << c % 64;
    }
}

#ifdef __AVX2__
static void neuron_wide(const Layer *l, int32_t first, int32_t block, const uint32_t *sums, uint32_t by_code,
                             uint32_t base, int32_t *membranes, uint64_t *spikes)
{
    const __m256i factor = _mm256_set1_epi32((int32_t)by_code), add = _mm256_set1_epi32((int32_t)base);
    const __m256i top = _mm256_set1_epi32(l->saturation), bottom = _mm256_set1_epi32(-l->saturation);
    const __m256i multiplier = _mm256_set1_epi32(l->leak_multiplier);
    const __m128i shift = _mm_cvtsi32_si128(l->leak_shift);
    for (int32_t c = 0; c < block; c += 8) {
        const __m256i threshold = LOAD(l->threshold + first + c);
        __m256i v = LOAD(membranes + c), current = _mm256_add_epi32(_mm256_mullo_epi32(LOAD(sums + c), factor), add);
        if (l->leak == SHIFT)
            v = _mm256_sub_epi32(v, _mm256_sra_epi32(v, shift));
        else if (l->leak == MULTIPLY)
            v = _mm256_sra_epi32(_mm256_mullo_epi32(v, multiplier), shift);
        v = _mm256_add_epi32(v, _mm256_add_epi32(current, LOAD(l->bias + first + c)));
        v = _mm256_max_epi32(_mm256_min_epi32(v, top), bottom);
        const __m256i silent = _mm256_cmpgt_epi32(threshold, v);
        v = l->hard ? _mm256_blendv_epi8(LOAD(l->reset + first + c), v, silent)
                    : _mm256_sub_epi32(v, _mm256_andnot_si256(silent, threshold));
        STORE(membranes + c, v);
        spikes[c / 64] |= (uint64_t)(~_mm256_movemask_ps(_mm256_castsi256_ps(silent)) & 255) << c % 64;
    }
}

/* In 16 bits, all steps of a place in turn, so that membranes stay in registers: `sums` are [steps][BLOCK]. I + bias fits 16 bits, so
   one saturating addition and a clip are the same as a clip of the exact sum. */
static APART void neuron_narrow(const Layer *l, int32_t first, int32_t steps, const uint16_t *sums, uint32_t by_code,
                          const uint32_t *bases, int16_t *membranes, uint64_t (*spikes)[BLOCK / 64])
{
    const __m256i factor = _mm256_set1_epi16((int16_t)by_code);
    const __m256i top = _mm256_set1_epi16((int16_t)l->saturation), bottom = _mm256_set1_epi16((int16_t)-l->saturation);
    const __m128i shift = _mm_cvtsi32_si128(l->leak_shift);
    for (int32_t c = 0; c < l->block; c += 32) {
        __m256i v[2], threshold[2], bias[2], reset[2];
        for (int k = 0; k < 2; ++k) {
            const int32_t at = first + c + 16 * k;
            v[k] = LOAD(membranes + c + 16 * k);
            threshold[k] = LOAD(l->threshold16 + at);
            bias[k] = LOAD(l->bias16 + at);
            reset[k] = LOAD(l->reset16 + at);
        }
        for (int32_t t = 0; t < steps; ++t) {
            const __m256i base = _mm256_set1_epi16((int16_t)bases[t]);
            __m256i silent[2];
            for (int k = 0; k < 2; ++k) {
                const __m256i sum = LOAD(sums + t * BLOCK + c + 16 * k);
                const __m256i current = _mm256_add_epi16(_mm256_mullo_epi16(sum, factor), _mm256_add_epi16(base, bias[k]));
                if (l->leak == SHIFT)
                    v[k] = _mm256_sub_epi16(v[k], _mm256_sra_epi16(v[k], shift));
                v[k] = _mm256_adds_epi16(v[k], current);
                v[k] = _mm256_max_epi16(_mm256_min_epi16(v[k], top), bottom);
                silent[k] = _mm256_cmpgt_epi16(threshold[k], v[k]);
                v[k] = l->hard ? _mm256_blendv_epi8(reset[k], v[k], silent[k])
                               : _mm256_sub_epi16(v[k], _mm256_andnot_si256(silent[k], threshold[k]));
            }
            const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packs_epi16(silent[0], silent[1]), 0xd8);
            spikes[t][c / 64] |= (uint64_t)~(uint32_t)_mm256_movemask_epi8(bytes) << c % 64;
        }
        for (int k = 0; k < 2; ++k)
            STORE(membranes + c + 16 * k, v[k]);
    }
}
#endif
