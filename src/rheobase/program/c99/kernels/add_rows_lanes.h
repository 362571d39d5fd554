/* sums[c] += step * (sum of code[c] over rows) + base for ${channels} channels of ${bits} bits: two 16-bit lanes a register.
   Channel 2p lies at bit ${bits} * p of its word and channel 2p + 1 at 16 bits above, so that one mask takes both. */
static void ${name}(const uint16_t *rows, int32_t count, const uint32_t *block, int32_t row, ${sum} *sums, int32_t step, int32_t base)
{
    uint32_t ${registers};
    do {
        const uint32_t *const words = block + *rows++ * row;
        uint32_t w;
${adds}
    } while (--count > 0);
${stores}
}
