// How many scores are higher than that of the label. See xpcnn.ops.ranks.

typedef long long i64;

// A thread takes one sample:  ranks[n] = sum_k [z[n, k] > z[n, label[n]]], or the number of classes where that is NaN.
extern "C" __global__ void label_ranks(const Number *scores, const i64 *label, i64 *ranks, i64 samples, i64 classes) {
    i64 n = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (n >= samples) return;
    const Number *z = scores + n * classes;
    Number own = label[n] >= 0 && label[n] < classes ? z[label[n]] : (Number)0;
    i64 higher = 0;
    for (i64 k = 0; k < classes; ++k) higher += z[k] > own;
    ranks[n] = own == own ? higher : classes;
}
