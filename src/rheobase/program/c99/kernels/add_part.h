/* sums[i] += value * (step * code[first + i] + offset) for a part of one row of packed ${bits}-bit weights.
   Code c sits in byte c % bytes at bit ${bits} * (c / bytes), and bytes >= 1. */
static void ${name}(${sum} *restrict sums, const uint8_t *restrict row, int32_t bytes, int32_t first, int32_t count,
                    int32_t scale, int32_t base)
{
    int32_t byte = first % bytes;
    int32_t shift = ${bits} * (first / bytes);
    int32_t i;
    for (i = 0; i < count; ++i) {
        sums[i] = (${sum})(sums[i] + (int32_t)((row[byte] >> shift) & ${mask}) * scale + base);
        if (++byte == bytes) {
            byte = 0;
            shift += ${bits};
        }
    }
}
