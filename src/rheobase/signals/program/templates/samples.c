/* No front end: the encoder sees the samples. */
static int front(${prefix}_encoder *encoder, int16_t sample, int32_t *values)
{
    (void)encoder;
    values[0] = sample;
    return 1;
}
