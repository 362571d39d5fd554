/* Row out_y of a convolution that gathers: for each output place the events of its window are listed once, as rows of the weights,
   and each block of output channels adds those rows in registers. Weights are [kernel_height][kernel_width][channels][row].
   scratch: lists of kernel_height input rows, their ends, and the window's list. Rows are asked for from the first to the last;
   `listed` input rows have been listed so far, 0 at first. */
static void ${name}(const uint8_t *input, ${sum} *sums, uint16_t *scratch, const ${word} *weights, const conv2d_shape *s,
                    int32_t out_y, int32_t *listed)
{
    const int32_t size = s->width * s->channels;
    const int32_t room = size * ${most}; /* of one row's list */
    const int32_t bottom = s->height < s->kernel_height ? s->height : s->kernel_height; /* rows kept at a time */
    uint16_t *const ends = scratch + bottom * room;
    uint16_t *const window = ends + bottom * (s->width + 1);
    const int32_t top = out_y * s->stride - s->padding;
    const int32_t first_y = top > 0 ? top : 0;
    const int32_t last_y = top + s->kernel_height < s->height ? top + s->kernel_height : s->height;
    int32_t out_x, y;
    memset(sums, 0, (size_t)(s->out_width * s->out_channels) * sizeof *sums);
    for (y = *listed > first_y ? *listed : first_y; y < last_y; ++y) {
        ${event_row}(input + y * size, scratch + y % bottom * room, ends + y % bottom * (s->width + 1), s->width, s->channels);
    }
    *listed = y;
    for (out_x = 0; out_x < s->out_width; ++out_x, sums += s->out_channels) {
        const int32_t left = out_x * s->stride - s->padding;
        const int32_t first_x = left > 0 ? left : 0;
        const int32_t last_x = left + s->kernel_width < s->width ? left + s->kernel_width : s->width;
        uint16_t *last = window;
        for (y = first_y; y < last_y && first_x < last_x; ++y) {
            const uint16_t *const end = ends + y % bottom * (s->width + 1);
            const uint16_t *event = scratch + y % bottom * room + end[first_x];
            const uint16_t *const stop = scratch + y % bottom * room + end[last_x];
            const int32_t moved = ((y - top) * s->kernel_width - left) * s->channels;
            while (event != stop) {
                *last++ = (uint16_t)(*event++ + moved);
            }
        }
        if (last != window) {
            ${add_window}(window, (int32_t)(last - window), weights, sums, s->weight_step, s->weight_offset);
        }
    }
}
