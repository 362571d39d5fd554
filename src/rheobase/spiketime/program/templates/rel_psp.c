
/* The first tick at which a neuron's potential reaches the threshold; it looks at no arrival after it. */
static uint16_t spike(${prefix}_state *state, uint32_t count, const int8_t *weight, int32_t threshold)
{
    const ${prefix}_arrival *const a = state->arrivals;
    int32_t sum = 0, potential = 0;
    uint32_t i = 0;
    while (i < count) {
        const uint16_t tick = a[i].tick;
        int32_t gap, after;
        do {
            sum += weight[a[i].row];
            ++i;
        } while (i < count && a[i].tick == tick);
        gap = (i < count ? a[i].tick : ${PREFIX}_HORIZON) - tick;
        after = potential + sum * gap;
        ++state->updates;
        if (after >= threshold) {
            state->additions += i;
            ++state->divisions;
            return (uint16_t)(tick + (threshold - potential + sum - 1) / sum);
        }
        potential = after;
    }
    state->additions += i;
    return ${PREFIX}_SILENT;
}
