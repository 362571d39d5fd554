/* output = a * a_scale + b * b_scale, `places` of `channels`, channel-last; place p and channel c of an input lie at
   p * place + c * channel. The output may be one of the inputs. */
static void ${name}(const ${first} *a, const ${second} *b, ${sum} *output, int32_t places, int32_t channels,
                    int32_t a_place, int32_t a_channel, int32_t a_scale, int32_t b_place, int32_t b_channel, int32_t b_scale)
{
    int32_t place, c;
    for (place = 0; place < places; ++place) {
        for (c = 0; c < channels; ++c) {
            const int32_t first = (int32_t)a[place * a_place + c * a_channel] * a_scale;
            const int32_t second = (int32_t)b[place * b_place + c * b_channel] * b_scale;
            output[place * channels + c] = (${sum})(first + second);
        }
    }
}
