// Softmax and cross-entropy of labels, and the gradient, in one. See xpcnn.ops.losses.cross_entropy.

typedef long long i64;

// A thread takes one sample. With q = 1 where the label is a class, 0 where it is to be ignored and NaN where it is
// neither:  values[n] = -q log p[t],  dlogits[n, k] = q p[k] - q [k = t],  counted[n] = q.
extern "C" __global__ void softmax_cross_entropy(const Number *logits, const i64 *target, Number *values,
                                                 Number *dlogits, Number *counted, i64 samples, int classes,
                                                 i64 ignored) {
    i64 n = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (n >= samples) return;
    const Number *z = logits + n * classes;
    Number *d = dlogits + n * classes;
    i64 label = target[n];
    bool known = label >= 0 && label < classes;
    Number q = label == ignored ? (Number)0 : known ? (Number)1 : (Number)nan("");
    Number largest = z[0];
    for (int k = 1; k < classes; ++k) {
        if (z[k] > largest || z[k] != z[k]) largest = z[k];  // a NaN stays
    }
    double sum = 0.0;
    for (int k = 0; k < classes; ++k) sum += exp(z[k] - largest);
    Number log_sum = (Number)log(sum);
    for (int k = 0; k < classes; ++k) {
        Number p = exp(z[k] - largest - log_sum);
        d[k] = p * q - (k == label || q != q ? q : (Number)0);
    }
    values[n] = q == (Number)0 ? (Number)0 : q != q ? q : log_sum - (z[label] - largest);
    counted[n] = q;
}
