#define V 2
AVX2 static void event4b(const uint8_t *rows, const uint16_t *list, int32_t n, uint16_t *sums)
{
        const __m256i nibbles = _mm256_set1_epi8(15);
        __m256i ea[V],eh[V],oa[V],oh[V];
        UNROLLED
        for(int v=0;v<V;++v) ea[v]=eh[v]=oa[v]=oh[v]=_mm256_setzero_si256();
        for (int32_t i = 0; i < n; i += UNIT) {
            __m256i even[V], rest[V];
            UNROLLED
            for (int v = 0; v < V; ++v)
                even[v] = rest[v] = _mm256_setzero_si256();
            UNROLLED
            for (int k = 0; k < UNIT; ++k) {
                const uint8_t *const row = rows + (uint64_t)list[i + k] * (32 * V);
                UNROLLED
                for (int v = 0; v < V; ++v) {
                    const __m256i codes = LOAD(row + 32 * v);
                    even[v] = _mm256_add_epi8(even[v], _mm256_and_si256(codes, nibbles));
                    rest[v] = _mm256_add_epi16(rest[v], _mm256_srli_epi16(codes, 4));
                    IN_REGISTER(even[v]);
                    IN_REGISTER(rest[v]);
                }
            }
            UNROLLED
            for (int v = 0; v < V; ++v) {
                const __m256i third = _mm256_srli_epi16(even[v], 8);
                const __m256i odd = _mm256_sub_epi16(rest[v], _mm256_slli_epi16(third, 4));
                ea[v]=_mm256_add_epi16(ea[v],even[v]); eh[v]=_mm256_add_epi16(eh[v],third);
                oa[v]=_mm256_add_epi16(oa[v],odd); oh[v]=_mm256_add_epi16(oh[v],_mm256_srli_epi16(odd,8));
                IN_REGISTER(ea[v]);IN_REGISTER(eh[v]);IN_REGISTER(oa[v]);IN_REGISTER(oh[v]);
            }
        }
            UNROLLED
            for (int v = 0; v < V; ++v) {
                uint16_t *const s = sums + 64 * v;
                STORE(s, _mm256_sub_epi16(ea[v], _mm256_slli_epi16(eh[v],8)));
                STORE(s+16, _mm256_sub_epi16(oa[v], _mm256_slli_epi16(oh[v],8)));
                STORE(s + 32, eh[v]);
                STORE(s + 48, oh[v]);
            }
}
#undef V
