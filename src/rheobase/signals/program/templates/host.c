/* Many samples in one call, for the host only. Returns the number of frames; `finish` ends the recording. */
#include "encoder.h"

size_t coding_bytes(void);
void coding_reset(void *state);
int coding_run(void *state, const int16_t *samples, size_t count, int finish, int8_t *frames);

size_t coding_bytes(void)
{
    return sizeof(${prefix}_encoder);
}

void coding_reset(void *state)
{
    ${prefix}_encoder_reset((${prefix}_encoder *)state);
}

int coding_run(void *state, const int16_t *samples, size_t count, int finish, int8_t *frames)
{
    ${prefix}_encoder *const encoder = (${prefix}_encoder *)state;
    size_t n;
    int made = 0;
    for (n = 0; n < count; ++n) {
        made += ${prefix}_encoder_push(encoder, samples[n], frames + (size_t)made * ${PREFIX}_ENCODER_CHANNELS);
    }
    if (finish) {
        made += ${prefix}_encoder_finish(encoder, frames + (size_t)made * ${PREFIX}_ENCODER_CHANNELS);
    }
    return made;
}
