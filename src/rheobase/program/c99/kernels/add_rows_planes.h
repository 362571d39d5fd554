/* sums[c] += step * (sum of code[c] over rows) + base for ${channels} channels of ${bits} bits, counted bit by bit: a word holds one
   bit of ${width} channels, and planes[k] holds bit k of ${width} counters side by side. Eight rows go through carry-save adders at
   a time. Channel 2p lies at bit p and channel 2p + 1 ${half} bits above. */
static void ${name}(const uint16_t *rows, int32_t count, const ${word} *block, int32_t row, ${sum} *sums, int32_t step, int32_t base)
{
    uint32_t planes[16]; /* as many as `count` has bits are used */
    uint32_t lanes[${pairs}] = {0};
    int32_t width = 0;
    int32_t b, k, n;
    while ((count >> width) != 0) {
        ++width;
    }
    for (b = ${bits} - 1; b >= 0; --b) {
        const ${word} *const words = block + b;
        uint32_t ones = 0, twos = 0, fours = 0;
        for (k = 0; k < width; ++k) {
            planes[k] = 0;
        }
        for (n = 0; n + 8 <= count; n += 8) {
            const uint16_t *const eight = rows + n;
            uint32_t twos_a, twos_b, fours_a, fours_b, carry;
            CARRY_SAVE(twos_a, ones, ones, words[eight[0] * row], words[eight[1] * row]);
            CARRY_SAVE(twos_b, ones, ones, words[eight[2] * row], words[eight[3] * row]);
            CARRY_SAVE(fours_a, twos, twos, twos_a, twos_b);
            CARRY_SAVE(twos_a, ones, ones, words[eight[4] * row], words[eight[5] * row]);
            CARRY_SAVE(twos_b, ones, ones, words[eight[6] * row], words[eight[7] * row]);
            CARRY_SAVE(fours_b, twos, twos, twos_a, twos_b);
            CARRY_SAVE(carry, fours, fours, fours_a, fours_b);
            for (k = 3; carry != 0; ++k) {
                const uint32_t kept = planes[k];
                planes[k] = kept ^ carry;
                carry &= kept;
            }
        }
        planes[0] = ones;
        planes[1] = twos;
        planes[2] = fours;
        for (; n < count; ++n) {
            uint32_t carry = words[rows[n] * row];
            for (k = 0; carry != 0; ++k) {
                const uint32_t kept = planes[k];
                planes[k] = kept ^ carry;
                carry &= kept;
            }
        }
        for (n = 0; n < ${pairs}; n += 8) { /* counters to lanes of 16 bits, from the highest plane down */
            uint32_t *const lane = lanes + n;
            uint32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0, a6 = 0, a7 = 0;
            for (k = width - 1; k >= 0; --k) {
                const uint32_t plane = ${spread};
                a0 = 2 * a0 + (plane & 0x00010001u);
                a1 = 2 * a1 + ((plane >> 1) & 0x00010001u);
                a2 = 2 * a2 + ((plane >> 2) & 0x00010001u);
                a3 = 2 * a3 + ((plane >> 3) & 0x00010001u);
                a4 = 2 * a4 + ((plane >> 4) & 0x00010001u);
                a5 = 2 * a5 + ((plane >> 5) & 0x00010001u);
                a6 = 2 * a6 + ((plane >> 6) & 0x00010001u);
                a7 = 2 * a7 + ((plane >> 7) & 0x00010001u);
            }
            lane[0] = 2 * lane[0] + a0;
            lane[1] = 2 * lane[1] + a1;
            lane[2] = 2 * lane[2] + a2;
            lane[3] = 2 * lane[3] + a3;
            lane[4] = 2 * lane[4] + a4;
            lane[5] = 2 * lane[5] + a5;
            lane[6] = 2 * lane[6] + a6;
            lane[7] = 2 * lane[7] + a7;
        }
    }
    for (k = 0; k + 1 < ${channels}; k += 2, sums += 2) {
        const uint32_t lane = lanes[k / 2];
        sums[0] = (${sum})(sums[0] + (int32_t)(lane & 0xffffu) * step + base);
        sums[1] = (${sum})(sums[1] + (int32_t)(lane >> 16) * step + base);
    }
    if (k < ${channels}) {
        *sums = (${sum})(*sums + (int32_t)(lanes[k / 2] & 0xffffu) * step + base);
    }
}
