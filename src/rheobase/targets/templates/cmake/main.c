/* Classifies once and prints the class. Takes ${input}. */
#include <stdio.h>
#include <string.h>

${includes}

static void show(int decision)
{
    printf("%d\n", decision);
}

${example}
int main(void)
{
    classify();
    return 0;
}
