/* Products of matrices of spikes, head by head: both factors as strings of bits along the inner axis, whose ANDs' ones are counted.
   `bits` has room for a row of the first factor and all columns of the second. Output is [rows][heads][columns]. */
static void ${name}(const uint8_t *a, const uint8_t *b, ${sum} *output, uint32_t *bits, const head_matmul_shape *s)
{
    const int32_t words = (s->inner + 31) / 32, all = s->heads * s->columns;
    uint32_t *const columns = bits + words;
    int32_t row, head, k, column, w;
    for (head = 0; head < s->heads; ++head) {
        for (column = 0; column < s->columns; ++column) {
            const uint8_t *const entries = b + head * s->second_head + column * s->second_column;
            for (w = 0; w < words; ++w) {
                const int32_t rest = s->inner - 32 * w, count = rest < 32 ? rest : 32;
                uint32_t word = 0;
                for (k = count - 1; k >= 0; --k) {
                    word = word << 1 | entries[(32 * w + k) * s->second_inner];
                }
                columns[column * words + w] = word;
            }
        }
        for (row = 0; row < s->rows; ++row) {
            const uint8_t *const entries = a + head * s->first_head + row * s->first_row;
            ${sum} *const out = output + row * all + head * s->columns;
            memset(out, 0, (size_t)s->columns * sizeof *out);
            for (w = 0; w < words; ++w) {
                const int32_t rest = s->inner - 32 * w, count = rest < 32 ? rest : 32;
                uint32_t word = 0;
                for (k = count - 1; k >= 0; --k) {
                    word = word << 1 | entries[(32 * w + k) * s->first_inner];
                }
                for (column = 0; word != 0 && column < s->columns; ++column) {
                    uint32_t n = word & columns[column * words + w];
                    n = n - (n >> 1 & 0x55555555u);
                    n = (n & 0x33333333u) + (n >> 2 & 0x33333333u);
                    n = (n + (n >> 4)) & 0x0f0f0f0fu;
                    out[column] = (${sum})(out[column] + (n * 0x01010101u >> 24));
                }
            }
        }
    }
}
