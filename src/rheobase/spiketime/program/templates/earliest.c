
/* The earliest spike of each window of k x k. */
static void earliest(const uint16_t *times, uint16_t *fired, uint32_t channels, uint32_t height, uint32_t width, uint32_t k)
{
    uint32_t c, y, x, dy, dx;
    for (c = 0; c < channels; ++c) {
        for (y = 0; y + k <= height; y += k) {
            for (x = 0; x + k <= width; x += k) {
                uint16_t first = ${PREFIX}_SILENT;
                for (dy = 0; dy < k; ++dy) {
                    for (dx = 0; dx < k; ++dx) {
                        const uint16_t t = times[(c * height + y + dy) * width + x + dx];
                        first = t < first ? t : first;
                    }
                }
                *fired++ = first;
            }
        }
    }
}
