/* Places of the spikes of one row, channel-last: list holds x * channels + c of each, ends[x] how many lie left of x. */
static void event_row(const uint8_t *spikes, uint16_t *list, uint16_t *ends, int32_t width, int32_t channels)
{
    uint32_t count = 0, at = 0;
    int32_t x, c;
    ends[0] = 0;
    for (x = 0; x < width; ++x) {
        for (c = 0; c + 4 <= channels; c += 4, at += 4, spikes += 4) {
            if ((spikes[0] | spikes[1] | spikes[2] | spikes[3]) == 0) {
                continue;
            }
            list[count] = (uint16_t)at; /* kept where the count moves on */
            count += spikes[0];
            list[count] = (uint16_t)(at + 1);
            count += spikes[1];
            list[count] = (uint16_t)(at + 2);
            count += spikes[2];
            list[count] = (uint16_t)(at + 3);
            count += spikes[3];
        }
        for (; c < channels; ++c, ++at, ++spikes) {
            list[count] = (uint16_t)at;
            count += *spikes;
        }
        ends[x + 1] = (uint16_t)count;
    }
}
