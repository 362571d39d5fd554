/* ${title}
   Pushes the embedded samples, one channel at ${sampling} Hz, through encoder and network, and compares with the reference's: the
   class after each frame, an FNV-1a hash of the frames, and one of the running logits (little-endian int32). */
#include <stdio.h>

#include "encoder.h"
#include "model.h"

#define SAMPLES ${count}
#define STEPS ${steps}
#define EXPECTED_FRAMES UINT64_C(${frames_hash})
#define EXPECTED_LOGITS UINT64_C(${logits_hash})

static const int16_t samples[SAMPLES] = {
    ${samples}
};

static const int16_t decisions[STEPS] = {
    ${decisions}
};

static ${prefix}_encoder encoder;
static ${prefix}_state state;

static uint64_t fnv1a(uint64_t hash, uint32_t value, int bytes)
{
    for (; bytes > 0; --bytes, value >>= 8) {
        hash = (hash ^ (value & 255u)) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static int report(const char *what, int equal)
{
    printf("%s %s\n", what, equal ? "equal" : "DIFFER");
    return equal;
}

int main(void)
{
    int8_t frame[${PREFIX}_ENCODER_CHANNELS];
    uint64_t frames_hash = UINT64_C(0xcbf29ce484222325), logits_hash = frames_hash;
    int n, k, passed, steps = 0, right = 0;
    ${prefix}_encoder_reset(&encoder);
    ${prefix}_reset(&state);
    for (n = 0; n <= SAMPLES; ++n) {
        if (n < SAMPLES ? ${prefix}_encoder_push(&encoder, samples[n], frame) : ${prefix}_encoder_finish(&encoder, frame)) {
            if (steps == STEPS) {
                printf("too many frames\nFAIL\n");
                return 1;
            }
            ${prefix}_step(&state, frame);
            right += ${prefix}_argmax(&state) == decisions[steps];
            ++steps;
            for (k = 0; k < ${PREFIX}_ENCODER_CHANNELS; ++k) {
                frames_hash = fnv1a(frames_hash, (uint8_t)frame[k], 1);
            }
            for (k = 0; k < ${PREFIX}_CLASSES; ++k) {
                logits_hash = fnv1a(logits_hash, (uint32_t)${prefix}_logits(&state)[k], 4);
            }
        }
    }
    passed = report("frames", frames_hash == EXPECTED_FRAMES);
    passed &= report("logits", logits_hash == EXPECTED_LOGITS);
    passed &= report("decisions", right == STEPS);
    printf("%s\n", passed ? "PASS" : "FAIL");
    return passed ? 0 : 1;
}
