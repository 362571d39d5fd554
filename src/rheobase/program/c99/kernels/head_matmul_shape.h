/* Sizes of one product by heads. Entry (row, k) of a head's first factor lies at head * first_head + row * first_row +
   k * first_inner, entry (k, column) of its second factor at head * second_head + k * second_inner + column * second_column. */
typedef struct head_matmul_shape {
    int32_t heads, rows, inner, columns;
    int32_t first_head, first_row, first_inner;
    int32_t second_head, second_inner, second_column;
} head_matmul_shape;
