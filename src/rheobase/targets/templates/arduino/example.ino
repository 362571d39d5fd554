/* Classifies again and again and prints the class. Takes ${input}. */
#include <${prefix}.h>

static void show(int decision)
{
    Serial.println(decision);
}

${example}
void setup()
{
    Serial.begin(115200);
}

void loop()
{
    classify();
}
