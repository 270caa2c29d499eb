// Dropout, with the random words of xpcnn.backend.random, so masks are those of every other library.

#include "philox.cuh"

// Of the eight 32-bit words in a block the j-th: the lower half first.
__device__ u64 word(const u64 c[4], int j) { return j % 2 ? c[j / 2] >> 32 : c[j / 2] & 0xFFFFFFFFull; }

// A thread encrypts one block of the stream, which is eight words: those of the entries 8 b to 8 b + 7, counted from
// the first entry of sample 0. `start` is the number of x[0] in this count. `counter`, which a
// captured graph reads anew each time, is null where there is none.
extern "C" __global__ void dropout(const Number *x, Number *y, bool *mask, u64 count, u64 start, u64 step,
                                   const u64 *counter, u64 k0, u64 k1, u64 threshold, Wide scale) {
    u64 block = start / 8 + blockIdx.x * (u64)blockDim.x + threadIdx.x;
    if (8 * block >= start + count) return;
    u64 c[4] = {block + 1, 0, counter ? step + *counter : step, 0};
    philox4x64(c, k0, k1);
    for (int j = 0; j < 8; ++j) {
        u64 entry = 8 * block + j;
        if (entry < start || entry >= start + count) continue;
        bool keep = word(c, j) >= threshold;
        mask[entry - start] = keep;
        y[entry - start] = x[entry - start] * (keep ? scale : (Wide)0);
    }
}

// The mask alone: that of Dropout2d is small, and x is not.
extern "C" __global__ void keep_mask(bool *mask, u64 count, u64 start, u64 step, const u64 *counter, u64 k0,
                                     u64 k1, u64 threshold) {
    u64 block = start / 8 + blockIdx.x * (u64)blockDim.x + threadIdx.x;
    if (8 * block >= start + count) return;
    u64 c[4] = {block + 1, 0, counter ? step + *counter : step, 0};
    philox4x64(c, k0, k1);
    for (int j = 0; j < 8; ++j) {
        u64 entry = 8 * block + j;
        if (entry < start || entry >= start + count) continue;
        mask[entry - start] = word(c, j) >= threshold;
    }
}
