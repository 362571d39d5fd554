/* Sizes of one convolution. Input (c, y, x) lies at c * input_c + y * input_y + x * input_x; sums are channel-last. */
typedef struct conv2d_shape {
    int32_t channels, height, width;
    int32_t input_c, input_y, input_x;
    int32_t out_channels, out_height, out_width;
    int32_t kernel_height, kernel_width, stride, padding;
    int32_t weight_step, weight_offset;
} conv2d_shape;
