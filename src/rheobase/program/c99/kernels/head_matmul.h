/* Event-driven products of matrices, head by head: each non-zero entry of the first factor adds its multiple of a row of the
   second. Output is [rows][heads][columns]. */
static void ${name}(const ${first} *a, const ${second} *b, ${sum} *output, const head_matmul_shape *s)
{
    int32_t row, head, k, column;
    memset(output, 0, (size_t)(s->rows * s->heads * s->columns) * sizeof *output);
    for (row = 0; row < s->rows; ++row) {
        for (head = 0; head < s->heads; ++head) {
            const ${first} *const from = a + head * s->first_head + row * s->first_row;
            for (k = 0; k < s->inner; ++k) {
                const int32_t factor = (int32_t)from[k * s->first_inner];
                const ${second} *const entries = b + head * s->second_head + k * s->second_inner;
                if (factor == 0) {
                    continue;
                }
                for (column = 0; column < s->columns; ++column) {
                    output[column] = (${sum})((int32_t)output[column] + factor * (int32_t)entries[column * s->second_column]);
                }
            }
            output += s->columns;
        }
    }
}
