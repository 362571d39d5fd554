/* Second-order sections of ${bands} bands, with ${fraction} fractional bits; what a floor takes is given back a sample later. */
static int front(${prefix}_encoder *encoder, int16_t sample, int32_t *values)
{
    const int32_t x = sample * (1 << ${fraction});
    int b, i;
${raw}
    for (b = 0; b < ${bands}; ++b) {
        int32_t y = x;
        for (i = 0; i < ${sections}; ++i) {
            const int32_t *const k = section[b * ${sections} + i];
            int32_t *const before = encoder->past[b][i];
            const int32_t *const after = encoder->past[b][i + 1];
            const int64_t sum = (int64_t)k[0] * y + (int64_t)k[1] * before[0] + (int64_t)k[2] * before[1] -
                                (int64_t)k[3] * after[0] - (int64_t)k[4] * after[1] + encoder->rest[b][i];
            const int64_t floored = sum >= 0 ? sum >> 28 : -1 - ((-1 - sum) >> 28);
            encoder->rest[b][i] = (int32_t)(sum - floored * (1 << 28));
            before[1] = before[0];
            before[0] = y;
            y = (int32_t)(floored > ${limit} ? ${limit} : floored < -${limit} ? -${limit} : floored);
        }
        encoder->past[b][${sections}][1] = encoder->past[b][${sections}][0];
        encoder->past[b][${sections}][0] = y;
        values[b + ${first}] = y;
    }
    return 1;
}
