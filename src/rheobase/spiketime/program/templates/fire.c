
/* The spikes of a layer, [outputs][oh][ow]. */
static void fire(${prefix}_state *state, const layer *l, const uint16_t *times, uint16_t *fired)
{
    const uint32_t count = put_in_order(state, times, l);
    uint32_t oy, ox, j;
    for (oy = 0; oy < l->oh; ++oy) {
        for (ox = 0; ox < l->ow; ++ox) {
            const uint32_t seen = look(state, count, l, oy, ox);
            for (j = 0; j < l->outputs; ++j) {
                fired[(j * l->oh + oy) * l->ow + ox] =
                    spike(state, seen, l->weight + (size_t)j * l->channels * l->kh * l->kw, l->threshold[j]);
            }
        }
    }
}
