/* Classifies once and prints the class. Takes ${input}. */
#include <stdio.h>
#include <string.h>

${includes}

static void show(int decision)
{
    printf("%d\n", decision);
}

${example}
void app_main(void);

void app_main(void)
{
    classify();
}
