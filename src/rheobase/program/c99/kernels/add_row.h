/* sums[c] += value * (step * code[c] + offset) for one row of packed ${bits}-bit weights.
   Code c sits in byte c % bytes at bit ${bits} * (c / bytes). `scale` is value * step, `base` is value * offset. */
static void ${name}(${sum} *restrict sums, const uint8_t *restrict row, int32_t channels, int32_t scale, int32_t base)
{
    const int32_t bytes = (channels + ${planes} - 1) / ${planes};
    int32_t first = 0;
    int shift = 0;
    for (; first < channels; first += bytes, shift += ${bits}) {
        const int32_t count = channels - first < bytes ? channels - first : bytes;
        ${sum} *const part = sums + first;
        int32_t c;
        for (c = 0; c < count; ++c) {
            part[c] = (${sum})(part[c] + (int32_t)((row[c] >> shift) & ${mask}) * scale + base);
        }
    }
}
