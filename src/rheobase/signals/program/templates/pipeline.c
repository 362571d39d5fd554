/* Samples to decisions, as an example: reads 16-bit samples in the byte order of the machine from standard input, prints after
   each frame its time in seconds, the class with the largest sum since the start, and the margin.
     cc -std=c99 -O2 pipeline.c encoder.c model.c -o pipeline && ./pipeline < clip.s16
   After ${PREFIX}_MAX_STEPS frames it starts anew; a device would rather do so where a word can begin. */
#include <stdio.h>

#include "encoder.h"
#include "model.h"

static ${prefix}_encoder encoder;
static ${prefix}_state state;

int main(void)
{
    int8_t frame[${PREFIX}_ENCODER_CHANNELS];
    int16_t sample;
    unsigned long samples = 0;
    int steps = 0, more = 1;
    ${prefix}_encoder_reset(&encoder);
    ${prefix}_reset(&state);
    while (more) {
        int whole;
        more = fread(&sample, sizeof sample, 1, stdin) == 1;
        whole = more ? ${prefix}_encoder_push(&encoder, sample, frame) : ${prefix}_encoder_finish(&encoder, frame);
        samples += (unsigned long)more;
        if (whole) {
            if (steps == ${PREFIX}_MAX_STEPS) {
                ${prefix}_reset(&state);
                steps = 0;
            }
            ${prefix}_step(&state, frame);
            ++steps;
            printf("%.3f %d %lu\n", (double)samples / ${sampling}, ${prefix}_argmax(&state), (unsigned long)${prefix}_margin(&state));
        }
    }
    return 0;
}
