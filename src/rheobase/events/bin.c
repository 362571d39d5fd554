/* Events to frames of counts, one pass over separate arrays of x, y and p.

   The events of bin b are rows edges[b] to edges[b + 1]: events are ordered by time, so bins are runs and the
   counts of one bin (128 KiB at 128 x 128) stay in cache until it is done. Addresses are computed a block at a
   time, which vectorises; then one increment an event. The largest x, y and p of each block are checked first,
   so a damaged recording is refused instead of written beyond the frames. */

#include <stdint.h>

enum { BLOCK = 1024 };

static int within(const uint16_t *x, const uint16_t *y, const uint8_t *p, int64_t n, int64_t width, int64_t height)
{
    uint16_t most_x = 0, most_y = 0;
    uint8_t most_p = 0;
    for (int64_t i = 0; i < n; i++) {
        most_x = x[i] > most_x ? x[i] : most_x;
        most_y = y[i] > most_y ? y[i] : most_y;
        most_p = p[i] > most_p ? p[i] : most_p;
    }
    return most_x < width && most_y < height && most_p < 2;
}

/* Adds to frames [bins, 2, height, width] of zeros; 1 where an event lies outside, else 0. A bin has less than
   2^32 cells: sides of at most 65536 (the caller checks 2 * height * width < 2^32). */
int bin_events(const uint16_t *x, const uint16_t *y, const uint8_t *p, const int64_t *edges, int64_t bins,
               int64_t width, int64_t height, int32_t *frames)
{
    const uint32_t row = (uint32_t)width, plane = (uint32_t)(width * height);
    uint32_t cell[BLOCK];
    for (int64_t b = 0; b < bins; b++, frames += 2 * (int64_t)plane) {
        for (int64_t first = edges[b]; first < edges[b + 1]; first += BLOCK) {
            int64_t left = edges[b + 1] - first, n = left < BLOCK ? left : BLOCK;
            if (!within(x + first, y + first, p + first, n, width, height))
                return 1;
            for (int64_t i = 0; i < n; i++)
                cell[i] = p[first + i] * plane + y[first + i] * row + x[first + i];
            for (int64_t i = 0; i < n; i++)
                frames[cell[i]]++;
        }
    }
    return 0;
}
