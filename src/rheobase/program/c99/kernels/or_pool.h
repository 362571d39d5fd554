/* Maxima of windows. Input (c, y, x) lies at c * input_c + y * input_y + x * input_x and is 0 outside its map; output is
   channel-last. */
static void ${name}(const ${value} *input, ${value} *output, int32_t channels, int32_t height, int32_t width, int32_t input_c,
                    int32_t input_y, int32_t input_x, int32_t out_height, int32_t out_width, int32_t kernel, int32_t stride,
                    int32_t padding)
{
    int32_t y, x, c, u, v;
    for (y = 0; y < out_height; ++y) {
        for (x = 0; x < out_width; ++x) {
            ${value} *const most = output + (y * out_width + x) * channels;
            memset(most, 0, (size_t)channels * sizeof *most);
            for (u = y * stride - padding; u < y * stride - padding + kernel; ++u) {
                for (v = x * stride - padding; v < x * stride - padding + kernel; ++v) {
                    const ${value} *place;
                    if (u < 0 || u >= height || v < 0 || v >= width) {
                        continue;
                    }
                    place = input + u * input_y + v * input_x;
                    for (c = 0; c < channels; ++c) {
                        if (place[c * input_c] > most[c]) {
                            most[c] = place[c * input_c];
                        }
                    }
                }
            }
        }
    }
}
