/* How deep the stack was used: paint it, run, and look how much paint is left. */
#ifndef RHEOBASE_STACK_H
#define RHEOBASE_STACK_H

#include "board.h"

#define PAINT 0xa5a5a5a5u
#define MARGIN 16 /* words of paint's own frame that stay as they are */

/* Paint what is free of the stack; return where the caller's part of it ends. */
__attribute__((noinline)) static const uint32_t *paint(void)
{
    const uint32_t *const top = (const uint32_t *)__builtin_frame_address(0);
    volatile uint32_t *word;
    for (word = stack_end; word < top - MARGIN; ++word) {
        *word = PAINT;
    }
    return top;
}

static uint32_t used(const uint32_t *top)
{
    const volatile uint32_t *word = stack_end;
    while (word < top && *word == PAINT) {
        ++word;
    }
    return (uint32_t)((uintptr_t)top - (uintptr_t)word);
}

#endif
