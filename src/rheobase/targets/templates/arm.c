/* Start-up, semihosting and clock of Cortex-M machines. */
#include "board.h"

extern uint32_t bss_start[], bss_end[];

void reset(void);
static void fault(void);

/* The first words of memory: stack pointer, reset, then the fifteen exceptions of the core, which must not happen. */
__attribute__((section(".vectors"), used)) const uintptr_t vectors[16] = {
    (uintptr_t)stack_top, (uintptr_t)reset, (uintptr_t)fault, (uintptr_t)fault, (uintptr_t)fault, (uintptr_t)fault,
    (uintptr_t)fault,     (uintptr_t)fault, (uintptr_t)fault, (uintptr_t)fault, (uintptr_t)fault, (uintptr_t)fault,
    (uintptr_t)fault,     (uintptr_t)fault, (uintptr_t)fault, (uintptr_t)fault,
};

static uintptr_t semihost(uintptr_t operation, uintptr_t argument)
{
    register uintptr_t r0 __asm__("r0") = operation;
    register uintptr_t r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void board_print(const char *text)
{
    semihost(0x04, (uintptr_t)text); /* SYS_WRITE0 */
}

void board_exit(int code)
{
    const uintptr_t block[2] = {0x20026, (uintptr_t)code}; /* ADP_Stopped_ApplicationExit */
    semihost(0x20, (uintptr_t)block);                      /* SYS_EXIT_EXTENDED */
    for (;;) {
    }
}

static void fault(void)
{
    board_print("fault\n");
    board_exit(3);
}

void reset(void)
{
    uint32_t *word;
#ifdef VECTOR_UNIT
    *(volatile uint32_t *)0xe000ed88u |= 0xfu << 20; /* CPACR: full access to CP10 and CP11 */
    __asm__ volatile("dsb\n\tisb");
#endif
    for (word = bss_start; word < bss_end; ++word) {
        *word = 0;
    }
    board_exit(main());
}

#ifdef SYSTEM_COUNTER /* SSE-300: a 64-bit counter, of which the lower half is read */
void board_start_clock(void)
{
    *(volatile uint32_t *)SYSTEM_COUNTER = 1;
}

uint32_t board_clock(void)
{
    return *(volatile uint32_t *)(SYSTEM_COUNTER + 8);
}
#else /* CMSDK APB timer: counts down from its reload value */
void board_start_clock(void)
{
    *(volatile uint32_t *)(APB_TIMER + 8) = 0xffffffffu;
    *(volatile uint32_t *)(APB_TIMER + 4) = 0xffffffffu;
    *(volatile uint32_t *)APB_TIMER = 1;
}

uint32_t board_clock(void)
{
    return ~*(volatile uint32_t *)(APB_TIMER + 4);
}
#endif
