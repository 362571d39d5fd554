/* floor(v / 2^k) without shifting a negative number, whose result C leaves to the compiler. */
static int32_t floor_shift(int32_t v, int32_t k)
{
    return v >= 0 ? v >> k : -1 - ((-1 - v) >> k);
}
