/* floor(v / 2^k) without shifting a negative number, of a product of 64 bits whose quotient fits 32. */
static int32_t floor_shift_wide(int64_t v, int32_t k)
{
    return (int32_t)(v >= 0 ? v >> k : -1 - ((-1 - v) >> k));
}
