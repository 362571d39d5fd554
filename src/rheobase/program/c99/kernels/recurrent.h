/* What drives neurons beside their sums: bias, and sums of weights of their own last spikes, brought to the unit of the membranes. */
static void ${name}(int32_t *restrict drive, int32_t channels, const int32_t *restrict gain, int32_t gain_shift,
                    const int32_t *restrict bias)
{
    const int32_t half = ((int32_t)1 << gain_shift) >> 1;
    int32_t c;
    for (c = 0; c < channels; ++c) {
        drive[c] = floor_shift(drive[c] * gain[c] + half, gain_shift) + bias[c];
    }
}
