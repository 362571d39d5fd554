/* Sums of non-overlapping windows. Input (c, y, x) lies at c * input_c + y * input_y + x * input_x; output is channel-last. */
static void ${name}(const ${in} *input, ${out} *output, int32_t input_c, int32_t input_y, int32_t input_x,
                    int32_t channels, int32_t out_height, int32_t out_width, int32_t window_height, int32_t window_width)
{
    int32_t y, x, c, u, v;
    for (y = 0; y < out_height; ++y) {
        for (x = 0; x < out_width; ++x) {
            const ${in} *const corner = input + y * window_height * input_y + x * window_width * input_x;
            ${out} *const sums = output + (y * out_width + x) * channels;
            memset(sums, 0, (size_t)channels * sizeof *sums);
            for (u = 0; u < window_height; ++u) {
                for (v = 0; v < window_width; ++v) {
                    const ${in} *const place = corner + u * input_y + v * input_x;
                    for (c = 0; c < channels; ++c) {
                        sums[c] = (${out})((int32_t)sums[c] + (int32_t)place[c * input_c]);
                    }
                }
            }
        }
    }
}
