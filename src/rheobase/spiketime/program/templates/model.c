/* rheobase program ${title} */
#include <string.h>

#include "model.h"

typedef struct {
    const int8_t *weight;     /* [outputs][channels][kh][kw] */
    const int32_t *threshold; /* [outputs] */
    uint16_t channels, height, width, kh, kw, sh, sw, ph, pw, oh, ow, outputs;
} layer;

${constants}

/* The spikes of a map in order of time, by counting; returns how many there are up to the horizon. */
static uint32_t put_in_order(${prefix}_state *state, const uint16_t *times, const layer *l)
{
    uint32_t c, y, x, i = 0;
    const uint32_t inputs = (uint32_t)l->channels * l->height * l->width;
    memset(state->places, 0, sizeof state->places);
    for (i = 0; i < inputs; ++i) {
        if (times[i] <= ${PREFIX}_HORIZON) {
            ++state->places[times[i] + 1u];
        }
    }
    for (i = 1; i < ${PREFIX}_HORIZON + 2u; ++i) {
        state->places[i] = (uint16_t)(state->places[i] + state->places[i - 1u]);
    }
    i = 0;
    for (c = 0; c < l->channels; ++c) {
        for (y = 0; y < l->height; ++y) {
            for (x = 0; x < l->width; ++x, ++i) {
                if (times[i] <= ${PREFIX}_HORIZON) {
                    ${prefix}_event *const e = &state->events[state->places[times[i]]++];
                    e->tick = times[i];
                    e->row = (uint16_t)(c * l->kh * l->kw);
                    e->y = (uint16_t)(y + l->ph);
                    e->x = (uint16_t)(x + l->pw);
                }
            }
        }
    }
    return state->places[${PREFIX}_HORIZON];
}

/* Those of them that an output position sees, in the same order. */
static uint32_t look(${prefix}_state *state, uint32_t count, const layer *l, uint32_t oy, uint32_t ox)
{
    uint32_t i, seen = 0;
    for (i = 0; i < count; ++i) {
        const ${prefix}_event *const e = &state->events[i];
        const uint32_t dy = e->y - oy * l->sh, dx = e->x - ox * l->sw; /* huge if before the window */
        if (dy < l->kh && dx < l->kw) {
            state->arrivals[seen].tick = e->tick;
            state->arrivals[seen].row = (uint16_t)(e->row + dy * l->kw + dx);
            ++seen;
        }
    }
    return seen;
}
${kernels}
void ${prefix}_encode(${prefix}_state *state, const uint8_t *frames)
{
    uint32_t i, t;
    for (i = 0; i < ${PREFIX}_INPUTS; ++i) {
${encode}
    }
}

int ${prefix}_decide(${prefix}_state *state)
{
    state->additions = 0;
    state->updates = 0;
    state->divisions = 0;
${calls}
}

int ${prefix}_run(${prefix}_state *state, const uint8_t *frames)
{
    ${prefix}_encode(state, frames);
    return ${prefix}_decide(state);
}
