/* Classifies once and prints the class. Takes ${input}. */
#include <string.h>
#include <zephyr/sys/printk.h>

${includes}

static void show(int decision)
{
    printk("%d\n", decision);
}

${example}
int main(void)
{
    classify();
    return 0;
}
