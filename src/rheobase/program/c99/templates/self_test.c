/* Self-test of ${title}
   Runs the embedded frames and compares an FNV-1a hash of what comes out with the reference's: running logits after each
   step (little-endian int32), and with -DRHEOBASE_TRACE, which must then hold for model.c as well, every spike. */
#include <stdio.h>

#include "model.h"

#define SAMPLES ${samples}
#define STEPS ${steps}
#define EXPECTED_LOGITS UINT64_C(${logits_hash})
#define EXPECTED_SPIKES UINT64_C(${spikes_hash})

/* [SAMPLES][STEPS][C][H][W] */
static const ${frame_type} frames[] = {
${frames}
};

static ${prefix}_state state;

static uint64_t fnv1a(uint64_t hash, uint8_t byte)
{
    return (hash ^ byte) * UINT64_C(0x100000001b3);
}

#ifdef RHEOBASE_TRACE
static void hash_spikes(void *user, int layer, const uint8_t *spikes, size_t n)
{
    uint64_t *const hash = (uint64_t *)user;
    size_t i;
    (void)layer;
    for (i = 0; i < n; ++i) {
        *hash = fnv1a(*hash, spikes[i]);
    }
}
#endif

int main(void)
{
    uint64_t logits_hash = UINT64_C(0xcbf29ce484222325);
    int passed;
    int n, t, k, b;
#ifdef RHEOBASE_TRACE
    uint64_t spikes_hash = UINT64_C(0xcbf29ce484222325);
    state.trace = hash_spikes;
    state.trace_user = &spikes_hash;
#endif
    for (n = 0; n < SAMPLES; ++n) {
        ${prefix}_reset(&state);
        for (t = 0; t < STEPS; ++t) {
            ${prefix}_step(&state, frames + (size_t)(n * STEPS + t) * ${PREFIX}_FRAME_SIZE);
            for (k = 0; k < ${PREFIX}_CLASSES; ++k) {
                const uint32_t value = (uint32_t)${prefix}_logits(&state)[k];
                for (b = 0; b < 32; b += 8) {
                    logits_hash = fnv1a(logits_hash, (uint8_t)((value >> b) & 255u));
                }
            }
        }
    }
    passed = logits_hash == EXPECTED_LOGITS;
    printf("logits %s\n", passed ? "equal" : "DIFFER");
#ifdef RHEOBASE_TRACE
    printf("spikes %s\n", spikes_hash == EXPECTED_SPIKES ? "equal" : "DIFFER");
    passed = passed && spikes_hash == EXPECTED_SPIKES;
#endif
    printf("%s\n", passed ? "PASS" : "FAIL");
    return passed ? 0 : 1;
}
