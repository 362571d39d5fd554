/* Runs the chain on samples that the emulator has put into memory (their number, then int16 each), and prints
     empty TICKS            between two readings of the clock that follow each other
     frame ENCODER NETWORK CLASS   clock ticks since the frame before, of the step, and the decision
     stack BYTES            deepest use of the stack below the caller
     frames HASH, logits HASH      FNV-1a of the frames and of the running logits (little-endian int32) */
#include "board.h"
#include "stack.h"
#include "encoder.h"
#include "model.h"

static ${prefix}_encoder encoder;
static ${prefix}_state state;

static uint64_t fnv1a(uint64_t hash, uint32_t value, int bytes)
{
    for (; bytes > 0; --bytes, value >>= 8) {
        hash = (hash ^ (value & 255u)) * UINT64_C(0x100000001b3);
    }
    return hash;
}

int main(void)
{
    const uint32_t count = *(const volatile uint32_t *)FRAMES;
    const int16_t *const samples = (const int16_t *)((uintptr_t)FRAMES + 4);
    int8_t frame[${PREFIX}_ENCODER_CHANNELS];
    uint64_t frames_hash = UINT64_C(0xcbf29ce484222325), logits_hash = frames_hash;
    uint32_t n, since, between;
    int k;
    const uint32_t *const top = paint();
    board_start_clock();
    since = board_clock();
    print_number("empty ", board_clock() - since);
    ${prefix}_encoder_reset(&encoder);
    ${prefix}_reset(&state);
    since = board_clock();
    for (n = 0; n <= count; ++n) {
        const int whole = n < count ? ${prefix}_encoder_push(&encoder, samples[n], frame)
                                    : ${prefix}_encoder_finish(&encoder, frame);
        if (whole) {
            between = board_clock();
            print_number("\nframe ", between - since);
            since = board_clock();
            ${prefix}_step(&state, frame);
            between = board_clock();
            print_number(" ", between - since);
            print_number(" ", (uint32_t)${prefix}_argmax(&state));
            for (k = 0; k < ${PREFIX}_ENCODER_CHANNELS; ++k) {
                frames_hash = fnv1a(frames_hash, (uint8_t)frame[k], 1);
            }
            for (k = 0; k < ${PREFIX}_CLASSES; ++k) {
                logits_hash = fnv1a(logits_hash, (uint32_t)${prefix}_logits(&state)[k], 4);
            }
            since = board_clock();
        }
    }
    print_number("\nstack ", used(top));
    print_hash("\nframes ", frames_hash);
    print_hash("logits ", logits_hash);
    return 0;
}
