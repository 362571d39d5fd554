/* One step of integer neurons that keep a code of ${bits} bits: scale the sum, decode, leak, add, saturate, compare (>=), reset,
   encode. `places` maps of `channels`, channel-last; code i sits in byte i / ${planes} at bit ${bits} * (i % ${planes}), relative to the
   code of level 0: what is kept is (number of edges <= v) + rest, modulo 2^${bits}, and `levels` is in that order. */
static void ${name}(uint8_t *restrict codes, const ${sum} *restrict sums, ${spike} *restrict spikes, int32_t places,
                    int32_t channels, const int32_t *restrict threshold, const int32_t *restrict bias,
                    const int32_t *restrict gain, const int32_t *restrict levels, const int32_t *restrict edges,
                    int32_t edge_count, int32_t rest, int32_t gain_shift, int32_t scale,
                    int32_t saturation${leak_argument}${reset_argument})
{
    const int32_t half = ((int32_t)1 << gain_shift) >> 1;
    int32_t place, c, i = 0;
    for (place = 0; place < places; ++place) {
        for (c = 0; c < channels; ++c, ++i) {
            uint8_t *const byte = codes + i / ${planes};
            const int32_t bit = ${bits} * (i % ${planes});
            int32_t v = levels[((uint32_t)*byte >> bit) & ${mask}u];
            int32_t s, code = 0;
            int32_t last = edge_count;
            ${leak}v += floor_shift((int32_t)sums[i] * scale * gain[c] + half, gain_shift) + bias[c];
            v = v > saturation ? saturation : v < -saturation ? -saturation : v;
            s = ${fires};
            spikes[i] = (${spike})s;
            v = s != 0 ? ${reset} : v;
            while (code < last) { /* binary search: code <= number of edges <= v is at most last */
                const int32_t middle = (code + last) / 2;
                if (edges[middle] <= v) {
                    code = middle + 1;
                } else {
                    last = middle;
                }
            }
            *byte = (uint8_t)(((uint32_t)*byte & ~(${mask}u << bit)) | (((uint32_t)(code + rest) & ${mask}u) << bit));
        }
    }
}
