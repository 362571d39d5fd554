/* Event-driven convolution: each non-zero input adds its weight rows to the outputs it touches, so work follows spikes.
   Inputs and outputs are cut into `groups` equal parts, each output reading its own part; weights are
   [kernel_height][kernel_width][channels / groups][row]. Input y meets output row (y + padding - ky) / stride. */
static void ${name}(const ${in} *input, ${sum} *sums, const uint8_t *weights, const conv2d_shape *s,
                    int32_t groups)
{
    const int32_t row = (s->out_channels + ${planes} - 1) / ${planes};
    const int32_t in_part = s->channels / groups;
    const int32_t out_part = s->out_channels / groups;
    int32_t y, x, c;
    memset(sums, 0, (size_t)(s->out_height * s->out_width * s->out_channels) * sizeof *sums);
    for (y = 0; y < s->height; ++y) {
        const int32_t down = y + s->padding;
        const int32_t lowest = down - (s->out_height - 1) * s->stride;
        const int32_t first_ky = lowest >= 0 ? lowest : down % s->stride;
        const int32_t first_out_y = (down - first_ky) / s->stride;
        for (x = 0; x < s->width; ++x) {
            const ${in} *const place = input + y * s->input_y + x * s->input_x;
            const int32_t right = x + s->padding;
            const int32_t leftmost = right - (s->out_width - 1) * s->stride;
            const int32_t first_kx = leftmost >= 0 ? leftmost : right % s->stride;
            const int32_t first_out_x = (right - first_kx) / s->stride;
            for (c = 0; c < s->channels; ++c) {
                const int32_t value = (int32_t)place[c * s->input_c];
                const int32_t first = c / in_part * out_part;
                int32_t ky, out_y;
                if (value == 0) {
                    continue;
                }
                for (ky = first_ky, out_y = first_out_y; ky < s->kernel_height && out_y >= 0; ky += s->stride, --out_y) {
                    int32_t kx, out_x;
                    for (kx = first_kx, out_x = first_out_x; kx < s->kernel_width && out_x >= 0; kx += s->stride, --out_x) {
                        ${add_part}(sums + (out_y * s->out_width + out_x) * s->out_channels + first,
                                    weights + ((ky * s->kernel_width + kx) * in_part + c % in_part) * row, row,
                                    first, out_part, value * s->weight_step, value * s->weight_offset);
                    }
                }
            }
        }
    }
}
