/* a + b + c of 32 one-bit numbers side by side: 2 * high + low. */
#define CARRY_SAVE(high, low, a, b, c)                \
    do {                                              \
        const uint32_t first = (a), second = (b);     \
        const uint32_t third = (c);                   \
        const uint32_t odd = first ^ second;          \
        (high) = (first & second) | (odd & third);    \
        (low) = odd ^ third;                          \
    } while (0)
