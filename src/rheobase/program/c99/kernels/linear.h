/* Event-driven matrix product: each non-zero input adds its weight row [row] to the sums. */
static void ${name}(const ${in} *input, ${sum} *sums, const uint8_t *weights, int32_t features, int32_t classes,
                    int32_t weight_step, int32_t weight_offset)
{
    const int32_t row = (classes + ${planes} - 1) / ${planes};
    int32_t f;
    memset(sums, 0, (size_t)classes * sizeof *sums);
    for (f = 0; f < features; ++f) {
        const int32_t value = (int32_t)input[f];
        if (value != 0) {
            ${add_row}(sums, weights + f * row, classes, value * weight_step, value * weight_offset);
        }
    }
}
