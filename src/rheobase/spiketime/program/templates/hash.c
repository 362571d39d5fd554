static uint64_t bytes_of(uint64_t hash, uint32_t value, int bytes)
{
    for (; bytes > 0; --bytes, value >>= 8) {
        hash = (hash ^ (value & 255u)) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static uint64_t all_of(uint64_t hash, const ${prefix}_state *s, int chosen)
{
    int i;
    for (i = 0; i < ${PREFIX}_TIMES; ++i) {
        hash = bytes_of(hash, s->times[i], 2);
    }
    for (i = 0; i < ${PREFIX}_RESULTS; ++i) {
        hash = bytes_of(hash, (uint32_t)s->result[i], 4);
    }
    return bytes_of(hash, (uint32_t)chosen, 4);
}
