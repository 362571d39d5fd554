/* Which of the engine's builds this processor runs: 0 plain C, 1 AVX2, 2 AVX-512. */
#include <stdint.h>

int32_t best_isa(void);

int32_t best_isa(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt")))
        return 0;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vpopcntdq"))
        return 2;
    return 1;
#else
    return 0;
#endif
}
