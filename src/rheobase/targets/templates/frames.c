static ${prefix}_state state;
static ${frame_type} frame[${PREFIX}_FRAME_SIZE]; /* [${channels}][${height}][${width}]: channel, row, column */

/* Put the counts of the next time step here, from a sensor or a serial line. */
static void read_frame(void)
{
    memset(frame, 0, sizeof frame);
}

/* Feeds as many frames as the network was trained on, and shows its decision. */
static void classify(void)
{
    int step;
    ${prefix}_reset(&state);
    for (step = 0; step < ${PREFIX}_STEPS; ++step) {
        read_frame();
        ${prefix}_step(&state, frame);
    }
    show(${prefix}_argmax(&state));
}
