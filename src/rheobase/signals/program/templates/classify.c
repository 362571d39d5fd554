#define SAMPLES ${hop} /* between two frames */

static ${prefix}_encoder encoder;
static ${prefix}_state state;
static int16_t samples[SAMPLES]; /* one channel at ${sampling} Hz */

/* Put the next samples here, from a microphone or a serial line. */
static void read_samples(void)
{
    memset(samples, 0, sizeof samples);
}

/* Feeds samples until the network has seen as many frames as it was trained on, and shows its decision. */
static void classify(void)
{
    int8_t frame[${PREFIX}_ENCODER_CHANNELS];
    int n, steps = 0;
    ${prefix}_encoder_reset(&encoder);
    ${prefix}_reset(&state);
    while (steps < ${PREFIX}_STEPS) {
        read_samples();
        for (n = 0; n < SAMPLES; ++n) {
            if (${prefix}_encoder_push(&encoder, samples[n], frame)) {
                ${prefix}_step(&state, frame);
                ++steps;
            }
        }
    }
    show(${prefix}_argmax(&state));
}
