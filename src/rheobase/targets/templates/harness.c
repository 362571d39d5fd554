/* Runs a program on frames that the emulator has put into memory, and prints what came out:
     logits HASH        FNV-1a of the running logits after each step (little-endian int32), as in self_test.c
     spikes HASH        with RHEOBASE_TRACE: of every spike
     steps TICKS...     one line a sample: clock ticks of each step
     reset TICKS        of the last reset
     empty TICKS        between two readings of the clock that follow each other
     op TICKS           with RHEOBASE_PROFILE, which needs calls of rheobase_mark in model.c: one line an op, over all steps
     stack BYTES        deepest use of the stack below the caller */
#include "board.h"
#include "stack.h"
#include "model.h"

/* Two words, samples and steps, then bytes [samples][steps][C][H][W]. */
#define HEADER ((const volatile uint32_t *)FRAMES)

static ${prefix}_state state;

static uint64_t fnv1a(uint64_t hash, uint8_t byte)
{
    return (hash ^ byte) * UINT64_C(0x100000001b3);
}

#ifdef RHEOBASE_TRACE
static uint64_t spikes_hash;

static void hash_spikes(void *user, int layer, const uint8_t *spikes, size_t n)
{
    size_t i;
    (void)user;
    (void)layer;
    for (i = 0; i < n; ++i) {
        spikes_hash = fnv1a(spikes_hash, spikes[i]);
    }
}
#endif

#ifdef RHEOBASE_PROFILE
#define IDLE RHEOBASE_PROFILE /* number of ops: what is spent between two marks is counted for the first */
void rheobase_mark(int op);

static uint32_t spent[IDLE + 1];
static uint32_t since;
static int current;

void rheobase_mark(int op)
{
    spent[current] += board_clock() - since;
    current = op;
    since = board_clock();
}
#endif

int main(void)
{
    const uint32_t samples = HEADER[0];
    const uint32_t steps = HEADER[1];
    const ${frame_type} *frame = (const ${frame_type} *)(uintptr_t)FRAMES + 8;
    uint64_t logits_hash = UINT64_C(0xcbf29ce484222325);
    uint32_t n, t, before, ticks = 0;
    int k, b;
    const uint32_t *const top = paint();
    board_start_clock();
    before = board_clock();
    print_number("empty ", board_clock() - before);
#ifdef RHEOBASE_TRACE
    spikes_hash = UINT64_C(0xcbf29ce484222325);
    state.trace = hash_spikes;
#endif
#ifdef RHEOBASE_PROFILE
    rheobase_mark(0);
    spent[0] = 0;
    rheobase_mark(IDLE);
    print_number("\nmark ", spent[0]);
    spent[0] = 0;
#endif
    for (n = 0; n < samples; ++n) {
        before = board_clock();
        ${prefix}_reset(&state);
        ticks = board_clock() - before;
        board_print("\nsteps");
        for (t = 0; t < steps; ++t) {
            uint32_t taken = board_clock();
            ${prefix}_step(&state, frame);
#ifdef RHEOBASE_PROFILE
            rheobase_mark(IDLE);
#endif
            taken = board_clock() - taken;
            print_number(" ", taken);
            for (k = 0; k < ${PREFIX}_CLASSES; ++k) {
                const uint32_t value = (uint32_t)${prefix}_logits(&state)[k];
                for (b = 0; b < 32; b += 8) {
                    logits_hash = fnv1a(logits_hash, (uint8_t)((value >> b) & 255u));
                }
            }
            frame += ${PREFIX}_FRAME_SIZE;
        }
    }
    print_number("\nreset ", ticks);
    print_number("\nstack ", used(top));
#ifdef RHEOBASE_PROFILE
    for (k = 0; k < IDLE; ++k) {
        print_number("\nop ", spent[k]);
    }
#endif
    print_hash("\nlogits ", logits_hash);
#ifdef RHEOBASE_TRACE
    print_hash("spikes ", spikes_hash);
#endif
    return 0;
}
