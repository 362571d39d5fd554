/* One step of delays: `taps` late copies of the input beside one another, out of a ring of the last `depth` steps; then the
   input takes the place of the oldest. `places` of `channels`, channel-last; place p and channel c of the input lie at
   p * input_place + c * input_channel. */
static void ${name}(${value} *past, int32_t *oldest, const ${value} *input, ${value} *output, const int32_t *delays,
                    int32_t taps, int32_t depth, int32_t places, int32_t channels, int32_t input_place, int32_t input_channel)
{
    const int32_t size = places * channels;
    const int32_t at = *oldest;
    int32_t k, place, c;
    for (k = 0; k < taps; ++k) {
        const int32_t step = at - delays[k] + (delays[k] > at ? depth : 0);
        for (place = 0; place < places; ++place) {
            ${value} *const late = output + (place * taps + k) * channels;
            if (delays[k] == 0) {
                for (c = 0; c < channels; ++c) {
                    late[c] = input[place * input_place + c * input_channel];
                }
            } else {
                memcpy(late, past + step * size + place * channels, (size_t)channels * sizeof *late);
            }
        }
    }
    for (place = 0; place < places; ++place) {
        for (c = 0; c < channels; ++c) {
            past[at * size + place * channels + c] = input[place * input_place + c * input_channel];
        }
    }
    *oldest = at + 1 < depth ? at + 1 : 0;
}
