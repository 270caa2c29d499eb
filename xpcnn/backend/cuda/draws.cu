// What augmentation draws, and whom it mixes. See xpcnn.backend.random.sample_uniform and xpcnn.data.augment.mix.

#include "philox.cuh"

typedef long long i64;

// A thread encrypts one block of one sample's stream, which is four numbers: u[n, 4 b] to u[n, 4 b + 3], of which a last
// block may need fewer. `counter`, which a captured graph reads anew each time, is null where there is none.
extern "C" __global__ void sample_uniform(const i64 *index, double *u, u64 count, u64 blocks, u64 each, u64 step,
                                          const u64 *counter, u64 k0, u64 k1) {
    u64 o = blockIdx.x * (u64)blockDim.x + threadIdx.x;
    if (o >= count) return;
    u64 sample = o / blocks, block = o % blocks;
    u64 c[4] = {block + 1, (u64)index[sample], counter ? step + *counter : step, 0};
    philox4x64(c, k0, k1);
    for (u64 j = 0; j < 4 && 4 * block + j < each; ++j) {
        // the upper 53 bits, as NumPy makes a double of 64
        u[sample * each + 4 * block + j] = (double)(c[j] >> 11) * (1.0 / 9007199254740992.0);
    }
}

// place[n] is who has the next larger number, and for the largest the smallest; of equal ones the later is larger.
extern "C" __global__ void partners(const double *u, i64 *place, i64 count) {
    i64 n = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (n >= count) return;
    i64 next = -1, least = 0;
    for (i64 m = 0; m < count; ++m) {
        if (u[m] < u[least]) least = m;
        bool above = u[m] > u[n] || (u[m] == u[n] && m > n);
        if (above && (next < 0 || u[m] < u[next])) next = m;
    }
    place[n] = next < 0 ? least : next;
}
