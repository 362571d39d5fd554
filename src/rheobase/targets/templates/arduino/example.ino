/* Classifies ${steps} frames of event counts at a time and prints the class. */
#include <${prefix}.h>

static ${prefix}_state state;
static ${frame_type} frame[${PREFIX}_FRAME_SIZE]; /* [${channels}][${height}][${width}]: channel, row, column */

/* Put the counts of the next time step here, from a sensor or a serial line. */
static void read_frame()
{
    memset(frame, 0, sizeof frame);
}

void setup()
{
    Serial.begin(115200);
}

void loop()
{
    ${prefix}_reset(&state);
    for (int step = 0; step < ${PREFIX}_STEPS; ++step) {
        read_frame();
        ${prefix}_step(&state, frame);
    }
    Serial.println(${prefix}_argmax(&state));
}
