/* Running class scores: logits += sums * scale + bias. */
static void ${name}(int32_t *logits, const ${sum} *sums, const int32_t *bias, int32_t classes, int32_t scale)
{
    int32_t k;
    for (k = 0; k < classes; ++k) {
        logits[k] += (int32_t)sums[k] * scale + bias[k];
    }
}
