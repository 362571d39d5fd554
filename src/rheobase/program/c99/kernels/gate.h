/* output = gate * input: each of `gates` channels of the gate holds for `part` channels of the input, at each of `places`.
   Place p and channel c of an input lie at p * place + c * channel; output is channel-last, and may be the input. */
static void ${name}(const ${gate} *gate, const ${value} *input, ${out} *output, int32_t places, int32_t gates, int32_t part,
                    int32_t gate_place, int32_t gate_channel, int32_t input_place, int32_t input_channel)
{
    int32_t place, g, i;
    for (place = 0; place < places; ++place) {
        for (g = 0; g < gates; ++g) {
            const int32_t factor = (int32_t)gate[place * gate_place + g * gate_channel];
            for (i = g * part; i < (g + 1) * part; ++i) {
                const int32_t value = (int32_t)input[place * input_place + i * input_channel];
                output[place * gates * part + i] = (${out})(factor * value);
            }
        }
    }
}
