/* output = input * scale, `places` of `channels` among the `all` channels of the output, which is channel-last; place p and
   channel c of the input lie at p * place + c * channel. */
static void ${name}(const ${in} *restrict input, ${out} *restrict output, int32_t places, int32_t channels, int32_t all,
                    int32_t input_place, int32_t input_channel, int32_t scale)
{
    int32_t place, c;
    for (place = 0; place < places; ++place) {
        for (c = 0; c < channels; ++c) {
            output[place * all + c] = (${out})((int32_t)input[place * input_place + c * input_channel] * scale);
        }
    }
}
