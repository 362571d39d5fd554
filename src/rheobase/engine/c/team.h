/* Threads of a team meet after each part of a layer. */
#include <sched.h>

static void meet(Memory *m)
{
    if (m->threads == 1)
        return;
    const int32_t turn = __atomic_load_n(&m->turn, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&m->waiting, 1, __ATOMIC_ACQ_REL) == m->threads) {
        __atomic_store_n(&m->waiting, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&m->turn, turn + 1, __ATOMIC_RELEASE);
        return;
    }
    for (int32_t spins = 0; __atomic_load_n(&m->turn, __ATOMIC_ACQUIRE) == turn; ++spins)
        if (spins > 2000)
            sched_yield();
}
