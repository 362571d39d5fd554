#define HALF ${half} /* complex numbers of the transform: half the points */

/* sin(pi k / HALF) from the table of cos(pi k / HALF), 0 <= k <= HALF. */
static int32_t sine(int k)
{
    return cosine[k > HALF / 2 ? k - HALF / 2 : HALF / 2 - k];
}

/* Windowed samples, even ones real and odd ones imaginary, into places whose numbers have their bits in reverse. */
static void load(${prefix}_encoder *encoder)
{
    int n, at = encoder->at, place = 0;
    for (n = 0; n < 2 * HALF; n += 2) {
        int32_t pair[2];
        int i, bit;
        for (i = 0; i < 2; ++i) {
            pair[i] = 0;
            if (n + i < ${length}) {
                pair[i] = (int32_t)rounded((int64_t)encoder->window[at] * hann[n + i], ${down});
                at = at + 1 < ${length} ? at + 1 : 0;
            }
        }
        encoder->re[place] = pair[0];
        encoder->im[place] = pair[1];
        for (bit = HALF / 2; bit > 0 && (place & bit) != 0; bit /= 2) {
            place -= bit;
        }
        place += bit;
    }
}

/* Fourier transform of HALF complex numbers, radix 2. */
static void transform(int32_t *re, int32_t *im)
{
    int size, j, k;
    for (size = 1; size < HALF; size *= 2) {
        for (j = 0; j < size; ++j) {
            const int64_t c = cosine[j * (HALF / size)];
            const int64_t s = sine(j * (HALF / size));
            for (k = j; k < HALF; k += 2 * size) {
                const int32_t b_re = re[k + size];
                const int32_t b_im = im[k + size];
                const int32_t t_re = (int32_t)rounded(b_re * c + b_im * s, 30);
                const int32_t t_im = (int32_t)rounded(b_im * c - b_re * s, 30);
                re[k + size] = re[k] - t_re;
                im[k + size] = im[k] - t_im;
                re[k] += t_re;
                im[k] += t_im;
            }
        }
    }
}

/* 512 log2(v), rounded, from a table of 32 parts of an octave and straight lines between. */
static int32_t log2_of(uint64_t v)
{
    int32_t top = 0, part, rest, fine;
    uint32_t mantissa;
    int step;
    for (step = 32; step > 0; step /= 2) {
        if (v >> (top + step) != 0) {
            top += step;
        }
    }
    mantissa = (uint32_t)(top >= 15 ? v >> (top - 15) : v << (15 - top));
    part = (int32_t)((mantissa >> 10) & 31u);
    rest = (int32_t)(mantissa & 1023u);
    fine = (int32_t)logarithm[part] + (((int32_t)logarithm[part + 1] - (int32_t)logarithm[part]) * rest + 512) / 1024;
    return top * 512 + (fine + 32) / 64;
}

/* Log-mel of the last ${length} samples, every ${hop} samples. */
static int front(${prefix}_encoder *encoder, int16_t sample, int32_t *values)
{
    uint64_t energy[CHANNELS + 1];
    int k, b;
    encoder->window[encoder->at] = sample;
    encoder->at = encoder->at + 1 < ${length} ? encoder->at + 1 : 0;
    if (--encoder->wait > 0) {
        return 0;
    }
    encoder->wait = ${hop};
    load(encoder);
    transform(encoder->re, encoder->im);
    for (b = 0; b <= CHANNELS; ++b) {
        energy[b] = FLOOR;
    }
    for (k = 0; k <= HALF; ++k) {
        const int here = k % HALF, there = (HALF - k) % HALF;
        const int64_t c = cosine[k];
        const int64_t s = sine(k);
        const int32_t dif_re = encoder->re[here] - encoder->re[there];
        const int32_t dif_im = encoder->im[here] + encoder->im[there];
        const int64_t re = encoder->re[here] + encoder->re[there] + rounded(c * dif_im - s * dif_re, 30);
        const int64_t im = encoder->im[here] - encoder->im[there] + rounded(-s * dif_im - c * dif_re, 30);
        const uint64_t power = (uint64_t)(re * re + im * im) >> ${power_shift};
        energy[band[k]] += power * weight[k][0];
        energy[band[k] + 1] += power * weight[k][1];
    }
    for (b = 0; b < CHANNELS; ++b) {
        values[b] = log2_of(energy[b]);
    }
    return 1;
}
