/* Places of the events of one row, channel-last: list holds x * channels + c of each, as often as it counts (at most ${most});
   ends[x] is how many lie left of x. */
static void ${name}(const uint8_t *events, uint16_t *list, uint16_t *ends, int32_t width, int32_t channels)
{
    uint32_t count = 0, at = 0;
    int32_t x, c;
    ends[0] = 0;
    for (x = 0; x < width; ++x) {
        for (c = 0; c + 4 <= channels; c += 4, at += 4, events += 4) {
            uint32_t i;
            if ((events[0] | events[1] | events[2] | events[3]) == 0) {
                continue;
            }
            for (i = 0; i < 4; ++i) {
                ${append_four}
            }
        }
        for (; c < channels; ++c, ++at, ++events) {
            const uint32_t i = 0;
            ${append}
        }
        ends[x + 1] = (uint16_t)count;
    }
}
