/* Event-driven sums: for each event of a window one row of packed codes is added to the sums of a block of channels.
 *
 * What counts is the number of vector instructions an event costs, so sums grow in the narrowest lanes that hold a few events
 * and are widened seldom. A list begins with `doubled` events that count double: what they sum to is doubled before the others come.
 * On Arm the same sums fit 128-bit vectors (NEON: `vsraq_n_u16` shifts and adds at once, `vaddw` widens); until that is written and
 * tested there, Arm runs the plain C. All results are sums of codes modulo 2^16, exact when they stay below it. Lists are whole
 * UNITs for 1 bit, else whole fours.
 */
static void event_plain(const Layer *l, const Window *w, int32_t first, int32_t block, uint32_t *sums)
{
    memset(sums, 0, (size_t)block * sizeof *sums);
    for (int32_t i = 0; i < w->padded; ++i) {
        const uint8_t *const row = l->codes + (int64_t)w->list[i] * l->out_padded + first;
        const int32_t shift = i < w->doubled;
        for (int32_t c = 0; c < block; ++c)
            sums[c] += (uint32_t)row[c] << shift;
    }
}

#ifdef __AVX2__
/* Keeps a sum in its register from one addition to the next; compilers that reorder the additions run out of registers. */
#define IN_REGISTER(v) __asm__("" : "+x"(v))
#define UNROLLED _Pragma("GCC unroll 16")

static inline void zero(uint16_t *sums, int32_t count)
{
    for (int32_t c = 0; c < count; c += 16)
        STORE(sums + c, _mm256_setzero_si256());
}

static inline void twice(uint16_t *sums, int32_t count)
{
    for (int32_t c = 0; c < count; c += 16)
        STORE(sums + c, _mm256_slli_epi16(LOAD(sums + c), 1));
}

/* 8 bits, 32 codes a vector: lane j of 16 bits holds codes j and 16 + j. In 16 bits the plain sum is low + 256 * high modulo 2^16,
   and the sum of what is shifted down is high alone: three instructions for 32 codes. */
static inline void event8(const uint8_t *rows, const uint16_t *list, int32_t doubled, int32_t n, uint16_t *sums, const int V)
{
    __m256i all[4], high[4];
    UNROLLED
    for (int v = 0; v < V; ++v)
        all[v] = high[v] = _mm256_setzero_si256();
    for (int32_t i = 0; i < n; i += 4) {
        if (i == doubled)
            UNROLLED
            for (int v = 0; v < V; ++v) {
                all[v] = _mm256_slli_epi16(all[v], 1);
                high[v] = _mm256_slli_epi16(high[v], 1);
            }
        UNROLLED
        for (int k = 0; k < 4; ++k) {
            const uint8_t *const row = rows + (uint64_t)list[i + k] * (uint64_t)(32 * V);
            UNROLLED
            for (int v = 0; v < V; ++v) {
                const __m256i codes = LOAD(row + 32 * v);
                all[v] = _mm256_add_epi16(all[v], codes);
                high[v] = _mm256_add_epi16(high[v], _mm256_srli_epi16(codes, 8));
                IN_REGISTER(all[v]);
                IN_REGISTER(high[v]);
            }
        }
    }
    const int last = doubled == n; /* no event counted once came and doubled the sums */
    UNROLLED
    for (int v = 0; v < V; ++v) {
        STORE(sums + 32 * v, _mm256_slli_epi16(_mm256_sub_epi16(all[v], _mm256_slli_epi16(high[v], 8)), last));
        STORE(sums + 32 * v + 16, _mm256_slli_epi16(high[v], last));
    }
}

/* 4 bits, 64 codes a vector: lane j of 16 bits holds codes j, 16 + j, 32 + j, 48 + j. For a UNIT of events, `even` sums the first
   and third nibble in bytes (at most 240), `rest` the lane shifted down by a nibble (second + 16 * third + 256 * fourth, at most
   65520); the third being known, the other two follow: four instructions for 64 codes. Over units, both grow as the sums of event8 do. */
#define EVENT4_ADD(COUNT)                                                                                                    UNROLLED                                                                                                                 for (int k = 0; k < (COUNT); ++k) {                                                                                          const uint8_t *const row = rows + (uint64_t)list[i + k] * (uint64_t)(32 * V);                                            UNROLLED                                                                                                                 for (int v = 0; v < V; ++v) {                                                                                                const __m256i codes = LOAD(row + 32 * v);                                                                                even[v] = _mm256_add_epi8(even[v], _mm256_and_si256(codes, nibbles));                                                    rest[v] = _mm256_add_epi16(rest[v], _mm256_srli_epi16(codes, 4));                                                        IN_REGISTER(even[v]);                                                                                                    IN_REGISTER(rest[v]);                                                                                                }                                                                                                                    }
#define EVENT4_WIDEN                                                                                                         UNROLLED                                                                                                                 for (int v = 0; v < V; ++v) {                                                                                                const __m256i third = _mm256_srli_epi16(even[v], 8);                                                                     const __m256i odd = _mm256_sub_epi16(rest[v], _mm256_slli_epi16(third, 4));                                              even_all[v] = _mm256_add_epi16(even_all[v], even[v]);                                                                    even_high[v] = _mm256_add_epi16(even_high[v], third);                                                                    odd_all[v] = _mm256_add_epi16(odd_all[v], odd);                                                                          odd_high[v] = _mm256_add_epi16(odd_high[v], _mm256_srli_epi16(odd, 8));                                                  even[v] = rest[v] = _mm256_setzero_si256();                                                                          }

static inline void event4(const uint8_t *rows, const uint16_t *list, int32_t doubled, int32_t n, uint16_t *sums, const int V)
{
    const __m256i nibbles = _mm256_set1_epi8(15);
    __m256i even_all[2], even_high[2], odd_all[2], odd_high[2], even[2], rest[2];
    int32_t i = 0, stop = doubled ? doubled : n;
    UNROLLED
    for (int v = 0; v < V; ++v)
        even_all[v] = even_high[v] = odd_all[v] = odd_high[v] = even[v] = rest[v] = _mm256_setzero_si256();
    for (;;) {
        for (; i + UNIT <= stop; i += UNIT) {
            EVENT4_ADD(UNIT)
            EVENT4_WIDEN
        }
        if (i < stop) {
            for (; i < stop; i += 4)
                EVENT4_ADD(4)
            EVENT4_WIDEN
        }
        if (stop == doubled)
            UNROLLED
            for (int v = 0; v < V; ++v) {
                even_all[v] = _mm256_slli_epi16(even_all[v], 1);
                even_high[v] = _mm256_slli_epi16(even_high[v], 1);
                odd_all[v] = _mm256_slli_epi16(odd_all[v], 1);
                odd_high[v] = _mm256_slli_epi16(odd_high[v], 1);
            }
        if (stop == n)
            break;
        stop = n;
    }
    UNROLLED
    for (int v = 0; v < V; ++v) {
        STORE(sums + 64 * v, _mm256_sub_epi16(even_all[v], _mm256_slli_epi16(even_high[v], 8)));
        STORE(sums + 64 * v + 16, _mm256_sub_epi16(odd_all[v], _mm256_slli_epi16(odd_high[v], 8)));
        STORE(sums + 64 * v + 32, even_high[v]);
        STORE(sums + 64 * v + 48, odd_high[v]);
    }
}

#define EVENT_OF_BLOCK(NAME, KERNEL, V)                                                                                  \
    static void NAME(const uint8_t *rows, const uint16_t *list, int32_t doubled, int32_t n, uint16_t *sums)              \
    {                                                                                                                    \
        KERNEL(rows, list, doubled, n, sums, V);                                                                         \
    }

EVENT_OF_BLOCK(event8_32, event8, 1)
EVENT_OF_BLOCK(event8_64, event8, 2)
EVENT_OF_BLOCK(event8_128, event8, 4)
EVENT_OF_BLOCK(event4_64, event4, 1)
EVENT_OF_BLOCK(event4_128, event4, 2)

/* 2 bits, 128 codes a vector: lane j of 16 bits holds codes 16 * k + j, k = 0..7. As with 4 bits, over 4 events: `even` has four
   sums of at most 12 in nibbles, `rest` the lane shifted down by two bits (at most 65532). Nibbles grow on in bytes. */
static inline void event2_add(const uint8_t *rows, const uint16_t *list, int32_t n, uint16_t *sums)
{
    const __m256i pairs = _mm256_set1_epi8(0x33), nibbles = _mm256_set1_epi8(15), low = _mm256_set1_epi16(255);
    const __m256i above = _mm256_set1_epi16((int16_t)0xfff0);
    static const int order[4] = {0, 2, 1, 3}; /* bytes[b] holds codes of k = order[b] and order[b] + 4 */
    for (int32_t i = 0; i < n;) {
        const int32_t stop = i + 80 < n ? i + 80 : n; /* 20 times 12 in a byte */
        __m256i bytes[4];
        for (int b = 0; b < 4; ++b)
            bytes[b] = _mm256_setzero_si256();
        for (; i < stop; i += 4) {
            __m256i even = _mm256_setzero_si256(), rest = even;
            for (int k = 0; k < 4; ++k) {
                const __m256i codes = LOAD(rows + (uint64_t)list[i + k] * 32);
                even = _mm256_add_epi8(even, _mm256_and_si256(codes, pairs));
                rest = _mm256_add_epi16(rest, _mm256_srli_epi16(codes, 2));
                IN_REGISTER(even);
                IN_REGISTER(rest);
            }
            rest = _mm256_sub_epi16(rest, _mm256_srli_epi16(_mm256_and_si256(even, above), 2));
            bytes[0] = _mm256_add_epi8(bytes[0], _mm256_and_si256(even, nibbles));
            bytes[1] = _mm256_add_epi8(bytes[1], _mm256_and_si256(_mm256_srli_epi16(even, 4), nibbles));
            bytes[2] = _mm256_add_epi8(bytes[2], _mm256_and_si256(rest, nibbles));
            bytes[3] = _mm256_add_epi8(bytes[3], _mm256_and_si256(_mm256_srli_epi16(rest, 4), nibbles));
        }
        for (int b = 0; b < 4; ++b) {
            uint16_t *const s = sums + 16 * order[b];
            STORE(s, _mm256_add_epi16(LOAD(s), _mm256_and_si256(bytes[b], low)));
            STORE(s + 64, _mm256_add_epi16(LOAD(s + 64), _mm256_srli_epi16(bytes[b], 8)));
        }
    }
}

/* One bit of 256 sums at once: sum <- sum ^ a ^ b, carry out. */
static inline __m256i full_add(__m256i *sum, __m256i a, __m256i b)
{
    const __m256i half = _mm256_xor_si256(*sum, a);
    const __m256i carry = _mm256_or_si256(_mm256_and_si256(*sum, a), _mm256_and_si256(half, b));
    *sum = _mm256_xor_si256(half, b);
    return carry;
}

/* sums[c] += the number whose bits are those at c of planes[0..7]. */
static inline void add_planes(const __m128i planes[8], uint16_t *sums)
{
    const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3,
                                            3, 3, 3, 3);
    const __m256i bit = _mm256_set1_epi64x((int64_t)0x8040201008040201u);
    uint32_t quarter[8][4] ALIGNED;
    for (int p = 0; p < 8; ++p)
        _mm_store_si128((__m128i *)quarter[p], planes[p]);
    for (int q = 0; q < 4; ++q) {
        __m256i bytes = _mm256_setzero_si256();
        for (int p = 7; p >= 0; --p) {
            const __m256i bits = _mm256_shuffle_epi8(_mm256_set1_epi32((int32_t)quarter[p][q]), spread);
            const __m256i one = _mm256_cmpeq_epi8(_mm256_and_si256(bits, bit), bit); /* -1 */
            bytes = _mm256_sub_epi8(_mm256_add_epi8(bytes, bytes), one);
        }
        uint16_t *const s = sums + 32 * q;
        STORE(s, _mm256_add_epi16(LOAD(s), _mm256_cvtepu8_epi16(_mm256_castsi256_si128(bytes))));
        STORE(s + 16, _mm256_add_epi16(LOAD(s + 16), _mm256_cvtepu8_epi16(_mm256_extracti128_si256(bytes, 1))));
    }
}

/* 1 bit, 128 codes in half a vector, so two events a vector. Counters lie across the planes, one bit of all sums in each: a unit
   of 16 events goes through seven full adders (carry-save, as in the Harley-Seal population count) before it reaches the
   plane of eights. 240 events fill a counter of 8 bits in both halves together. */
static inline void event1_add(const uint8_t *rows, const uint16_t *list, int32_t n, uint16_t *sums)
{
    for (int32_t i = 0; i < n;) {
        const int32_t stop = i + 240 < n ? i + 240 : n;
        const __m256i zero = _mm256_setzero_si256();
        __m256i p0 = zero, p1 = zero, p2 = zero, p3 = zero, p4 = zero, p5 = zero, p6 = zero;
        for (; i < stop; i += UNIT) {
            __m256i in[8], carry, next;
            for (int k = 0; k < 8; ++k)
                in[k] = _mm256_inserti128_si256(
                    _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(rows + (uint64_t)list[i + 2 * k] * 16))),
                    _mm_loadu_si128((const __m128i *)(rows + (uint64_t)list[i + 2 * k + 1] * 16)), 1);
            const __m256i two0 = full_add(&p0, in[0], in[1]), two1 = full_add(&p0, in[2], in[3]);
            const __m256i four0 = full_add(&p1, two0, two1);
            const __m256i two2 = full_add(&p0, in[4], in[5]), two3 = full_add(&p0, in[6], in[7]);
            const __m256i four1 = full_add(&p1, two2, two3);
            carry = full_add(&p2, four0, four1);
            next = _mm256_and_si256(p3, carry), p3 = _mm256_xor_si256(p3, carry);
            carry = _mm256_and_si256(p4, next), p4 = _mm256_xor_si256(p4, next);
            next = _mm256_and_si256(p5, carry), p5 = _mm256_xor_si256(p5, carry);
            p6 = _mm256_xor_si256(p6, next);
        }
        const __m256i halves[7] = {p0, p1, p2, p3, p4, p5, p6};
        __m128i planes[8], carry = _mm_setzero_si128();
        for (int p = 0; p < 7; ++p) {
            const __m128i a = _mm256_castsi256_si128(halves[p]), b = _mm256_extracti128_si256(halves[p], 1);
            const __m128i half = _mm_xor_si128(a, b);
            planes[p] = _mm_xor_si128(half, carry);
            carry = _mm_or_si128(_mm_and_si128(a, b), _mm_and_si128(half, carry));
        }
        planes[7] = carry;
        add_planes(planes, sums);
    }
}

#define EVENT_IN_MEMORY(NAME, ADD)                                                                                       \
    static void NAME(const uint8_t *rows, const uint16_t *list, int32_t doubled, int32_t n, uint16_t *sums)              \
    {                                                                                                                    \
        zero(sums, 128);                                                                                                 \
        if (doubled) {                                                                                                   \
            ADD(rows, list, doubled, sums);                                                                              \
            twice(sums, 128);                                                                                            \
        }                                                                                                                \
        ADD(rows, list + doubled, n - doubled, sums);                                                                    \
    }

EVENT_IN_MEMORY(event2_128, event2_add)
EVENT_IN_MEMORY(event1_128, event1_add)

typedef void (*event_sum)(const uint8_t *, const uint16_t *, int32_t, int32_t, uint16_t *);

static event_sum event_kernel(const Layer *l)
{
    switch (l->bits) {
    case 1: return event1_128;
    case 2: return event2_128;
    case 4: return l->block == 64 ? event4_64 : event4_128;
    default: return l->block == 32 ? event8_32 : l->block == 64 ? event8_64 : event8_128;
    }
}

static inline void widen(const uint16_t *part, int32_t block, int32_t shift, uint32_t *sums)
{
    for (int32_t c = 0; c < block; ++c)
        sums[c] += (uint32_t)part[c] << shift;
}

/* Sums of codes of any size: as many events at a time as 16 bits hold. */
static void event_wide(const Layer *l, event_sum kernel, const uint8_t *rows, const Window *w, uint32_t *sums)
{
    const int32_t most = (65535 >> l->bits) / UNIT * UNIT;
    uint16_t part[BLOCK] ALIGNED;
    memset(sums, 0, (size_t)l->block * sizeof *sums);
    if (w->events <= most) {
        kernel(rows, w->list, w->doubled, w->padded, part);
        widen(part, l->block, 0, sums);
        return;
    }
    for (int32_t i = 0; i < w->padded;) {
        const int32_t end = i < w->doubled ? w->doubled : w->padded, count = end - i < most ? end - i : most;
        kernel(rows, w->list + i, 0, count, part);
        widen(part, l->block, i < w->doubled, sums);
        i += count;
    }
}
#endif
