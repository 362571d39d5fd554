/* memcpy and memset, which compilers call even where no library is linked. By words where both ends are aligned. */
#include <stdint.h>
#include <string.h>

typedef uint32_t __attribute__((may_alias)) word;

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    uint8_t *out = to;
    const uint8_t *in = from;
    if ((((uintptr_t)out | (uintptr_t)in) & 3u) == 0) {
        for (; n >= 4; n -= 4, out += 4, in += 4) {
            *(word *)(void *)out = *(const word *)(const void *)in;
        }
    }
    while (n-- > 0) {
        *out++ = *in++;
    }
    return to;
}

void *memset(void *to, int value, size_t n)
{
    uint8_t *out = to;
    const uint32_t pattern = (uint32_t)(uint8_t)value * 0x01010101u;
    for (; n > 0 && ((uintptr_t)out & 3u) != 0; --n) {
        *out++ = (uint8_t)value;
    }
    for (; n >= 16; n -= 16, out += 16) {
        ((word *)(void *)out)[0] = pattern;
        ((word *)(void *)out)[1] = pattern;
        ((word *)(void *)out)[2] = pattern;
        ((word *)(void *)out)[3] = pattern;
    }
    while (n-- > 0) {
        *out++ = (uint8_t)value;
    }
    return to;
}
