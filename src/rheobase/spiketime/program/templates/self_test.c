/* Self-test of ${title}: runs the embedded frames and compares an FNV-1a hash of all spike times, results and classes
   (little-endian) with the reference's. */
#include <stdio.h>

#include "model.h"

#define SAMPLES ${samples}
#define EXPECTED UINT64_C(${expected})

/* [SAMPLES][T][C][H][W] */
static const uint8_t frames[] = {
${frames}
};

static ${prefix}_state state;

${hash}
int main(void)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    int n;
    for (n = 0; n < SAMPLES; ++n) {
        const int chosen = ${prefix}_run(&state, frames + (size_t)n * ${PREFIX}_STEPS * ${PREFIX}_INPUTS);
        hash = all_of(hash, &state, chosen);
    }
    puts(hash == EXPECTED ? "PASS" : "FAIL");
    return hash == EXPECTED ? 0 : 1;
}
