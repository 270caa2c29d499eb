// Dropout, with the random words of xpcnn.backend.random: Philox4x64-10, so masks are those of every other library.
// Source: Salmon, Moraes, Dror and Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3", section 3.3.

typedef unsigned long long u64;

__device__ void philox4x64(u64 c[4], u64 k0, u64 k1) {
    for (int round = 0; round < 10; ++round) {
        const u64 m0 = 0xD2E7470EE14C6C93ull, m1 = 0xCA5A826395121157ull;
        u64 high0 = __umul64hi(m0, c[0]), low0 = m0 * c[0];
        u64 high1 = __umul64hi(m1, c[2]), low1 = m1 * c[2];
        c[0] = high1 ^ c[1] ^ k0;
        c[1] = low1;
        c[2] = high0 ^ c[3] ^ k1;
        c[3] = low0;
        k0 += 0x9E3779B97F4A7C15ull;
        k1 += 0xBB67AE8584CAA73Bull;
    }
}

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
