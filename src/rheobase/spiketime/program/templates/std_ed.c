
/* The sum of a neuron's weights, and its potential when the window of its inputs ends. */
static int32_t take_in(${prefix}_state *state, uint32_t count, const int8_t *weight, int32_t *potential)
{
    const ${prefix}_arrival *const a = state->arrivals;
    int32_t sum = 0;
    uint32_t i = 0;
    *potential = 0;
    while (i < count) {
        const uint16_t tick = a[i].tick;
        do {
            sum += weight[a[i].row];
            ++i;
        } while (i < count && a[i].tick == tick);
        *potential += sum * ((i < count ? a[i].tick : ${PREFIX}_HORIZON) - tick);
        ++state->updates;
    }
    state->additions += count;
    return sum;
}

/* The tick of its own window at which a neuron meets the falling threshold. */
static uint16_t spike(${prefix}_state *state, uint32_t count, const int8_t *weight, int32_t threshold)
{
    int32_t potential, slope;
    const int32_t sum = take_in(state, count, weight, &potential);
    if (potential >= threshold) {
        return 0;
    }
    slope = threshold + ${PREFIX}_TICKS * sum;
    if (slope <= 0 || potential + ${PREFIX}_TICKS * sum <= 0) {
        return ${PREFIX}_SILENT;
    }
    ++state->divisions;
    return (uint16_t)((${PREFIX}_TICKS * (threshold - potential) + slope - 1) / slope);
}
