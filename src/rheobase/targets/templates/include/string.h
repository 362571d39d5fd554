/* What generated C needs of <string.h>; memory.c defines it. */
#ifndef RHEOBASE_STRING_H
#define RHEOBASE_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memset(void *to, int value, size_t n);

#endif
