/* sums[c] += sum over the window's rows of (step * code[c] + offset) for ${channels} channels, block by block of them.
   The window's entries are rows of weights; ${most} of them at most are added before a 16-bit lane is full. */
static void ${name}(const uint16_t *window, int32_t count, const ${word} *weights, ${sum} *sums, int32_t step, int32_t offset)
{
    while (count > 0) {
        const int32_t part = count < ${most} ? count : ${most};
        const ${word} *block = weights;
        ${sum} *out = sums;
        int32_t left = ${full_blocks};
        for (; left > 0; --left, block += ${words}, out += ${lanes}) {
            ${full}(window, part, block, ${row}, out, step, part * offset);
        }
${tail}        window += part;
        count -= part;
    }
}
