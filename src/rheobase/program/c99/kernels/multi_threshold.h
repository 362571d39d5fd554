/* output = how many of its channel's `levels` thresholds, which never fall, input * scale reaches (>=). `places` of `channels`,
   channel-last; place p and channel c of the input lie at p * place + c * channel. The output may be the input. */
static void ${name}(const ${value} *input, uint8_t *output, int32_t places, int32_t channels, int32_t input_place,
                    int32_t input_channel, int32_t scale, const int32_t *threshold, int32_t levels)
{
    int32_t place, c;
    for (place = 0; place < places; ++place) {
        for (c = 0; c < channels; ++c) {
            const int32_t value = (int32_t)input[place * input_place + c * input_channel] * scale;
            int32_t reached = 0;
            while (reached < levels && value >= threshold[reached * channels + c]) {
                ++reached;
            }
            output[place * channels + c] = (uint8_t)reached;
        }
    }
}
