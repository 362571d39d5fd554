
/* All neurons of the last layer side by side, until the first of them fires. */
static int first_spike(${prefix}_state *state, const layer *l, const uint16_t *times)
{
    const uint32_t count = look(state, put_in_order(state, times, l), l, 0, 0);
    const ${prefix}_arrival *const a = state->arrivals;
    uint32_t i = 0, j;
    int chosen = 0;
    memset(state->sums, 0, sizeof state->sums);
    memset(state->potentials, 0, sizeof state->potentials);
    state->result[0] = ${PREFIX}_SILENT;
    while (i < count && state->result[0] == ${PREFIX}_SILENT) {
        const uint16_t tick = a[i].tick;
        int32_t gap;
        do {
            const int8_t *weight = l->weight + a[i].row;
            for (j = 0; j < l->outputs; ++j, weight += l->channels) {
                state->sums[j] += *weight;
            }
            ++i;
        } while (i < count && a[i].tick == tick);
        gap = (i < count ? a[i].tick : ${PREFIX}_HORIZON) - tick;
        for (j = 0; j < l->outputs; ++j) {
            const int32_t sum = state->sums[j], after = state->potentials[j] + sum * gap;
            if (after >= l->threshold[j]) {
                const int32_t t = tick + (l->threshold[j] - state->potentials[j] + sum - 1) / sum;
                ++state->divisions;
                if (t < state->result[0]) {
                    state->result[0] = t;
                    chosen = (int)j;
                }
            }
            state->potentials[j] = after;
        }
        state->updates += l->outputs;
    }
    state->additions += i * l->outputs;
    return chosen;
}
