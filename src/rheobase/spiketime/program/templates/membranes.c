
/* Membranes of the last layer when the window ends; the class of the greatest. */
static int membranes(${prefix}_state *state, const layer *l, const uint16_t *times)
{
    const uint32_t count = look(state, put_in_order(state, times, l), l, 0, 0);
    int chosen = 0, j;
    for (j = 0; j < l->outputs; ++j) {
        int32_t potential;
        const int32_t sum = take_in(state, count, l->weight + (size_t)j * l->channels, &potential);
        state->result[j] = potential + ${share} * sum;
        if (state->result[j] > state->result[chosen]) {
            chosen = j;
        }
    }
    return chosen;
}
