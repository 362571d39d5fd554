/* Event-driven convolution by weights that lie `dilation` apart: each non-zero input adds its weight rows to the outputs it
   touches. Inputs and outputs are cut into `groups` equal parts; weights are [kernel_height][kernel_width][channels / groups]
   [row]. Input y meets output row (y + padding - dilation * ky) / stride where that is whole. */
static void ${name}(const ${in} *input, ${sum} *sums, const uint8_t *weights, const conv2d_shape *s,
                    int32_t groups, int32_t dilation)
{
    const int32_t row = (s->out_channels + ${planes} - 1) / ${planes};
    const int32_t in_part = s->channels / groups;
    const int32_t out_part = s->out_channels / groups;
    int32_t y, x, c, ky, kx;
    memset(sums, 0, (size_t)(s->out_height * s->out_width * s->out_channels) * sizeof *sums);
    for (y = 0; y < s->height; ++y) {
        for (x = 0; x < s->width; ++x) {
            const ${in} *const place = input + y * s->input_y + x * s->input_x;
            for (c = 0; c < s->channels; ++c) {
                const int32_t value = (int32_t)place[c * s->input_c];
                const int32_t first = c / in_part * out_part;
                if (value == 0) {
                    continue;
                }
                for (ky = 0; ky < s->kernel_height; ++ky) {
                    const int32_t down = y + s->padding - dilation * ky;
                    if (down < 0 || down % s->stride != 0 || down / s->stride >= s->out_height) {
                        continue;
                    }
                    for (kx = 0; kx < s->kernel_width; ++kx) {
                        const int32_t right = x + s->padding - dilation * kx;
                        if (right < 0 || right % s->stride != 0 || right / s->stride >= s->out_width) {
                            continue;
                        }
                        ${add_part}(sums + (down / s->stride * s->out_width + right / s->stride) * s->out_channels + first,
                                    weights + ((ky * s->kernel_width + kx) * in_part + c % in_part) * row, row,
                                    first, out_part, value * s->weight_step, value * s->weight_offset);
                    }
                }
            }
        }
    }
}
