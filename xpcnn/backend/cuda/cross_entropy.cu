// Softmax and cross-entropy of labels, the gradient, and the mean of both. See xpcnn.ops.losses.cross_entropy.
// Number is the type of the scores, Label that of the labels. Sums are in double and in a fixed order.

typedef long long i64;

// How much a sample counts: 1 where the label is a class, 0 where it is to be ignored, NaN where it is neither.
__device__ double counts(i64 label, i64 classes, i64 ignored) {
    return label == ignored ? 0.0 : label >= 0 && label < classes ? 1.0 : nan("");
}

__device__ double added(const double *x, i64 count) {
    double sum = 0.0;
#pragma unroll 8
    for (i64 i = 0; i < count; ++i) sum += x[i];
    return sum;
}

// The largest of some scores, each `step` after the one before; a NaN stays.
__device__ Number largest_of(const Number *z, i64 first, i64 step, i64 stop) {
    Number largest = z[first];
    for (i64 k = first + step; k < stop; k += step) {
        if (z[k] > largest || z[k] != z[k]) largest = z[k];
    }
    return largest;
}

__device__ double sum_of(const Number *z, i64 first, i64 step, i64 stop, Number largest) {
    double sum = 0.0;
    for (i64 k = first; k < stop; k += step) sum += exp(z[k] - largest);
    return sum;
}

// With q what the sample counts and D what the mean divides by:  d[k] = (q p[k] - q [k = t]) / D
__device__ void gradient_of(const Number *z, Number *d, i64 first, i64 step, i64 stop, Number largest, Number log_sum,
                            i64 label, Number q, Number divisor) {
    for (i64 k = first; k < stop; k += step) {
        Number p = exp(z[k] - largest - log_sum);
        d[k] = (p * q - (k == label || q != q ? q : (Number)0)) / divisor;
    }
}

__device__ Number value_of(const Number *z, Number largest, Number log_sum, i64 label, Number q) {
    return q == (Number)0 ? (Number)0 : q != q ? q : log_sum - (z[label] - largest);
}

// What the gradient is divided by, of the parts of a sum: 1 for no parts, and where nothing counts.
__device__ Number divisor_of(const double *totals, i64 parts) {
    double total = parts ? added(totals, parts) : 1.0;
    return total == 0.0 ? (Number)1 : (Number)total;
}

// The sum of all that samples count, in parts: thread c takes every sample that is `parts` after the one before.
extern "C" __global__ void count_labels(const Label *target, double *totals, i64 samples, i64 classes, i64 ignored,
                                        i64 parts) {
    i64 c = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (c >= parts) return;
    double sum = 0.0;
    for (i64 n = c; n < samples; n += parts) sum += counts((i64)target[n], classes, ignored);
    totals[c] = sum;
}

// A thread takes one sample.  values[n] = -q log p[t],  dlogits as above.
extern "C" __global__ void softmax_cross_entropy(const Number *logits, const Label *target, const double *totals,
                                                 Number *values, Number *dlogits, i64 samples, i64 classes,
                                                 i64 ignored, i64 parts) {
    i64 n = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (n >= samples) return;
    const Number *z = logits + n * classes;
    i64 label = (i64)target[n];
    Number q = (Number)counts(label, classes, ignored), largest = largest_of(z, 0, 1, classes);
    Number log_sum = (Number)log(sum_of(z, 0, 1, classes, largest));
    gradient_of(z, dlogits + n * classes, 0, 1, classes, largest, log_sum, label, q, divisor_of(totals, parts));
    values[n] = value_of(z, largest, log_sum, label, q);
}

// The same for many classes, in three launches: thread g of a sample's `groups` takes the classes g, g + groups, ...

extern "C" __global__ void largest_of_groups(const Number *logits, Number *largest, i64 samples, i64 classes,
                                             i64 groups) {
    i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (i >= samples * groups) return;
    largest[i] = largest_of(logits + i / groups * classes, i % groups, groups, classes);
}

extern "C" __global__ void sums_of_groups(const Number *logits, const Number *largest, double *sums, i64 samples,
                                          i64 classes, i64 groups) {
    i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (i >= samples * groups) return;
    i64 n = i / groups;
    Number most = largest_of(largest + n * groups, 0, 1, groups);
    sums[i] = sum_of(logits + n * classes, i % groups, groups, classes, most);
}

extern "C" __global__ void gradients_of_groups(const Number *logits, const Label *target, const double *totals,
                                               const Number *largest, const double *sums, Number *values,
                                               Number *dlogits, i64 samples, i64 classes, i64 ignored, i64 parts,
                                               i64 groups) {
    i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (i >= samples * groups) return;
    i64 n = i / groups, g = i % groups, label = (i64)target[n];
    const Number *z = logits + n * classes;
    Number q = (Number)counts(label, classes, ignored), most = largest_of(largest + n * groups, 0, 1, groups);
    Number log_sum = (Number)log(added(sums + n * groups, groups));
    gradient_of(z, dlogits + n * classes, g, groups, classes, most, log_sum, label, q, divisor_of(totals, parts));
    if (g == 0) values[n] = value_of(z, most, log_sum, label, q);
}

// The sum of all values, in parts, and from these the value itself.

extern "C" __global__ void add_values(const Number *values, double *sums, i64 samples, i64 parts) {
    i64 c = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (c >= parts) return;
    double sum = 0.0;
#pragma unroll 8
    for (i64 n = c; n < samples; n += parts) sum += (double)values[n];
    sums[c] = sum;
}

// Divided by what counts where there are totals; NaN where nothing does.
extern "C" __global__ void reduced_value(const double *sums, const double *totals, Number *value, i64 parts,
                                         i64 counted) {
    if (blockIdx.x || threadIdx.x) return;
    double total = counted ? added(totals, counted) : 1.0;
    value[0] = (Number)(added(sums, parts) / (total == 0.0 ? nan("") : total));
}
