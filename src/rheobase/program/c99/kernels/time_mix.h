/* One step of thresholds on all values since the reset: keep this step's, mix them by this step's row of a lower triangle,
   compare (>=). Triangles of two channels lie `apart` numbers apart; 0: they are one. `places` of `channels`, channel-last; place p and channel c of the input lie at p * place + c * channel. */
static void ${name}(${value} *past, int32_t *step, const ${value} *input, uint8_t *spikes, const int32_t *mixing,
                    const int32_t *threshold, int32_t places, int32_t channels, int32_t input_place, int32_t input_channel,
                    int32_t steps, int32_t scale, int32_t apart)
{
    const int32_t t = *step;
    const int32_t size = places * channels;
    int32_t place, c, j, i = 0;
    if (t >= steps) {
        memset(spikes, 0, (size_t)size);
        return;
    }
    mixing += t * (t + 1) / 2;
    threshold += t * channels;
    for (place = 0; place < places; ++place) {
        for (c = 0; c < channels; ++c, ++i) {
            int32_t sum = 0;
            past[t * size + i] = input[place * input_place + c * input_channel];
            for (j = 0; j <= t; ++j) {
                sum += mixing[c * apart + j] * ((int32_t)past[j * size + i] * scale);
            }
            spikes[i] = (uint8_t)(sum >= threshold[c]);
        }
    }
    *step = t + 1;
}
