/* Maps from channel-last to channel by channel, as torch flattens them. */
static void ${name}(const ${value} *restrict input, ${value} *restrict output, int32_t places, int32_t channels)
{
    int32_t place, c;
    for (c = 0; c < channels; ++c) {
        for (place = 0; place < places; ++place) {
            *output++ = input[place * channels + c];
        }
    }
}
