/* output = floor((input * scale * gain[c] + half) / 2^gain_shift) + bias[c], `places` of `channels`, channel-last; place p and
   channel c of the input lie at p * place + c * channel. The output may be the input. */
static void ${name}(const ${value} *input, ${out} *output, int32_t places, int32_t channels, int32_t input_place,
                    int32_t input_channel, int32_t scale, const int32_t *gain, const int32_t *bias, int32_t gain_shift)
{
    const ${product} half = ((${product})1 << gain_shift) >> 1;
    int32_t place, c;
    for (place = 0; place < places; ++place) {
        for (c = 0; c < channels; ++c) {
            const int32_t value = (int32_t)input[place * input_place + c * input_channel] * scale;
            output[place * channels + c] = (${out})(${floor_shift}((${product})value * gain[c] + half, gain_shift) + bias[c]);
        }
    }
}
