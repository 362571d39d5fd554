/* Event-driven convolution: each non-zero input adds its weight rows to the outputs it touches, so work follows spikes.
   Weights are [kernel_height][kernel_width][channels][row]. Input y meets output row (y + padding - ky) / stride. */
static void ${name}(const ${in} *input, ${sum} *sums, const uint8_t *weights, const conv2d_shape *s)
{
    const int32_t row = (s->out_channels + ${planes} - 1) / ${planes};
    int32_t y, x, c;
    memset(sums, 0, (size_t)(s->out_height * s->out_width * s->out_channels) * sizeof *sums);
    for (y = 0; y < s->height; ++y) {
        const int32_t down = y + s->padding;
        const int32_t lowest = down - (s->out_height - 1) * s->stride;
        const int32_t first_ky = lowest >= 0 ? lowest : down % s->stride;
        for (x = 0; x < s->width; ++x) {
            const ${in} *const place = input + y * s->input_y + x * s->input_x;
            const int32_t right = x + s->padding;
            const int32_t leftmost = right - (s->out_width - 1) * s->stride;
            const int32_t first_kx = leftmost >= 0 ? leftmost : right % s->stride;
            for (c = 0; c < s->channels; ++c) {
                const int32_t value = (int32_t)place[c * s->input_c];
                int32_t ky, kx;
                if (value == 0) {
                    continue;
                }
                for (ky = first_ky; ky < s->kernel_height && ky <= down; ky += s->stride) {
                    const int32_t out_y = (down - ky) / s->stride;
                    for (kx = first_kx; kx < s->kernel_width && kx <= right; kx += s->stride) {
                        const int32_t out_x = (right - kx) / s->stride;
                        ${add_row}(sums + (out_y * s->out_width + out_x) * s->out_channels,
                                   weights + ((ky * s->kernel_width + kx) * s->channels + c) * row,
                                   s->out_channels, value * s->weight_step, value * s->weight_offset);
                    }
                }
            }
        }
    }
}
