/* Row out_y of an event-driven convolution, whose whole map would take more memory than there is: the rows of the input below its
   windows are read once for each of them. Weights are [kernel_height][kernel_width][channels][row]. */
static void ${name}(const ${in} *input, ${sum} *sums, const uint8_t *weights, const conv2d_shape *s, int32_t out_y)
{
    const int32_t row = (s->out_channels + ${planes} - 1) / ${planes};
    int32_t ky, x, c;
    memset(sums, 0, (size_t)(s->out_width * s->out_channels) * sizeof *sums);
    for (ky = 0; ky < s->kernel_height; ++ky) {
        const int32_t y = out_y * s->stride + ky - s->padding;
        if (y < 0 || y >= s->height) {
            continue;
        }
        for (x = 0; x < s->width; ++x) {
            const ${in} *const place = input + y * s->input_y + x * s->input_x;
            const int32_t right = x + s->padding;
            const int32_t leftmost = right - (s->out_width - 1) * s->stride;
            const int32_t first_kx = leftmost >= 0 ? leftmost : right % s->stride;
            const int32_t first_out_x = (right - first_kx) / s->stride;
            for (c = 0; c < s->channels; ++c) {
                const int32_t value = (int32_t)place[c * s->input_c];
                int32_t kx, out_x;
                if (value == 0) {
                    continue;
                }
                for (kx = first_kx, out_x = first_out_x; kx < s->kernel_width && out_x >= 0; kx += s->stride, --out_x) {
                    ${add_row}(sums + out_x * s->out_channels, weights + ((ky * s->kernel_width + kx) * s->channels + c) * row,
                               s->out_channels, value * s->weight_step, value * s->weight_offset);
                }
            }
        }
    }
}
