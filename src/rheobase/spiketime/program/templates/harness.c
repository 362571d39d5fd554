/* Runs samples that the emulator has put into memory: `hash HASH` of all that came out, as in self_test.c, and a line
   `sample TICKS` of the clock for each; `empty TICKS` lie between two readings of the clock. */
#include "board.h"
#include "model.h"

/* One word, samples, then uint8 [samples][T][C][H][W]. */
#define HEADER ((const volatile uint32_t *)FRAMES)

static ${prefix}_state state;

${hash}
int main(void)
{
    const uint8_t *frames = (const uint8_t *)(uintptr_t)FRAMES + 4;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    uint32_t n, before;
    board_start_clock();
    before = board_clock();
    print_number("empty ", board_clock() - before);
    for (n = 0; n < HEADER[0]; ++n) {
        int chosen;
        uint32_t taken = board_clock();
        chosen = ${prefix}_run(&state, frames);
        taken = board_clock() - taken;
        print_number("\nsample ", taken);
        hash = all_of(hash, &state, chosen);
        frames += ${PREFIX}_STEPS * ${PREFIX}_INPUTS;
    }
    print_number("\nhigh ", (uint32_t)(hash >> 32));
    print_number("\nlow ", (uint32_t)hash);
    board_print("\n");
    return 0;
}
