/* What a machine gives the harness. */
#ifndef RHEOBASE_BOARD_H
#define RHEOBASE_BOARD_H

#include <stdint.h>

/* Semihosting: the emulator prints a string, or ends with an exit code. */
void board_print(const char *text);
void board_exit(int code);

/* A clock that counts up and wraps at 32 bits; with a fixed number of instructions a tick it counts instructions. */
void board_start_clock(void);
uint32_t board_clock(void);

/* Written by the linker script: the stack grows down from `stack_top` towards `stack_end`. */
extern uint32_t stack_end[], stack_top[];

int main(void);

#endif
