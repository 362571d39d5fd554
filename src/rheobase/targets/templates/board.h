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

/* Sixteen hexadecimal digits and a line's end, after `what`. */
static inline void print_hash(const char *what, uint64_t hash)
{
    char text[18];
    int i;
    for (i = 0; i < 16; ++i) {
        text[i] = "0123456789abcdef"[(hash >> (60 - 4 * i)) & 15u];
    }
    text[16] = '\n';
    text[17] = '\0';
    board_print(what);
    board_print(text);
}

/* A decimal number after `what`. */
static inline void print_number(const char *what, uint32_t number)
{
    char text[11];
    char *first = text + 10;
    *first = '\0';
    do {
        *--first = (char)('0' + number % 10u);
        number /= 10u;
    } while (number > 0);
    board_print(what);
    board_print(first);
}

#endif
