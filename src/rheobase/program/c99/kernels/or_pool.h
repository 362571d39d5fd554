/* Maxima of windows, of what lies within the map. Input (c, y, x) lies at c * input_c + y * input_y + x * input_x, and output
   likewise. */
static void ${name}(const ${value} *input, ${value} *output, int32_t channels, int32_t height, int32_t width, int32_t input_c,
                    int32_t input_y, int32_t input_x, int32_t out_height, int32_t out_width, int32_t out_c, int32_t out_y,
                    int32_t out_x, int32_t kernel, int32_t stride, int32_t padding)
{
    int32_t y, x, c, u, v;
    for (y = 0; y < out_height; ++y) {
        const int32_t above = y * stride - padding;
        const int32_t top = above > 0 ? above : 0;
        const int32_t bottom = above + kernel < height ? above + kernel : height;
        for (x = 0; x < out_width; ++x) {
            const int32_t before = x * stride - padding;
            const int32_t left = before > 0 ? before : 0;
            const int32_t right = before + kernel < width ? before + kernel : width;
            ${value} *const most = output + y * out_y + x * out_x;
            for (c = 0; c < channels; ++c) {
                most[c * out_c] = input[top * input_y + left * input_x + c * input_c];
            }
            for (u = top; u < bottom; ++u) {
                for (v = left; v < right; ++v) {
                    const ${value} *const place = input + u * input_y + v * input_x;
                    for (c = 0; c < channels; ++c) {
                        if (place[c * input_c] > most[c * out_c]) {
                            most[c * out_c] = place[c * input_c];
                        }
                    }
                }
            }
        }
    }
}
