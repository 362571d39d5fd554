/* One step of integer neurons: leak, add, saturate, compare (>=), reset. `places` maps of `channels`, channel-last. */
static void ${name}(${membrane} *restrict membranes, const ${sum} *restrict sums, ${spike} *restrict spikes, int32_t places,
                    int32_t channels, const int32_t *restrict threshold, const int32_t *restrict bias, int32_t scale,
                    int32_t saturation${leak_argument}${reset_argument})
{
    int32_t place, c;
    for (place = 0; place < places; ++place) {
        for (c = 0; c < channels; ++c) {
            int32_t v = membranes[c];
            int32_t s;
            ${leak}v += (int32_t)sums[c] * scale + bias[c];
            v = v > saturation ? saturation : v < -saturation ? -saturation : v;
            s = ${fires};
            spikes[c] = (${spike})s;
            membranes[c] = (${membrane})(s != 0 ? ${reset} : v);
        }
        membranes += channels;
        sums += channels;
        spikes += channels;
    }
}
