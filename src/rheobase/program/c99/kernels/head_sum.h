/* Sums over the `part` channels of each head at each of `places`; place p and channel c of the input lie at
   p * place + c * channel. Output is channel-last. */
static void ${name}(const ${in} *input, ${out} *output, int32_t places, int32_t heads, int32_t part, int32_t input_place,
                    int32_t input_channel)
{
    int32_t place, head, i;
    for (place = 0; place < places; ++place) {
        const ${in} *at = input + place * input_place;
        for (head = 0; head < heads; ++head) {
            int32_t sum = 0;
            for (i = 0; i < part; ++i) {
                sum += (int32_t)*at;
                at += input_channel;
            }
            output[place * heads + head] = (${out})sum;
        }
    }
}
