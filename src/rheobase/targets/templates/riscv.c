/* Start-up, semihosting and clock of the RISC-V machine `virt`. */
#include "board.h"

void start(void);

/* The entry, first in memory: set the stack, send every trap to `trap`, clear .bss, go on in C. */
__asm__(".section .vectors, \"ax\"\n"
        ".globl entry\n"
        "entry:\n"
        "    la sp, stack_top\n"
        "    la t0, trap\n"
        "    csrw mtvec, t0\n"
        "    la t0, bss_start\n"
        "    la t1, bss_end\n"
        "1:  bgeu t0, t1, 2f\n"
        "    sw zero, 0(t0)\n"
        "    addi t0, t0, 4\n"
        "    j 1b\n"
        "2:  j start\n"
        "    .balign 4\n"
        "trap:\n"
        "    j trapped\n"
        "    .text\n");

/* The three instructions of a call must lie in one aligned line and not be compressed. */
__asm__(".text\n"
        ".balign 16\n"
        ".globl semihost\n"
        ".option push\n"
        ".option norvc\n"
        "semihost:\n"
        "    slli zero, zero, 0x1f\n"
        "    ebreak\n"
        "    srai zero, zero, 7\n"
        "    ret\n"
        ".option pop\n");

uintptr_t semihost(uintptr_t operation, uintptr_t argument);
void trapped(void);

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

void trapped(void)
{
    board_print("fault\n");
    board_exit(3);
}

void start(void)
{
    board_exit(main());
}

void board_start_clock(void)
{
    __asm__ volatile("csrw mcountinhibit, zero");
}

uint32_t board_clock(void)
{
    uint32_t count;
    __asm__ volatile("csrr %0, mcycle" : "=r"(count));
    return count;
}
