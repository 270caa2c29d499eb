// Loss, right answers and top-k of a batch, added to what there is. See xpcnn.training.metrics.
// Number is the type of the scores, Label that of the labels.

typedef long long i64;

// The sums of a tally, each one number, and which k there are of the top k.
struct Places {
    Number *loss, *total;
    i64 *counted, *right, *top[8], k[8];
};

// Thread c takes every sample that is `parts` after the one before, and leaves a number in each row of `found`:
// samples that count, those whose label is no class, right ones, and for each k those whose label is in the top k.
extern "C" __global__ void tally_samples(const Number *scores, const Label *target, i64 *found, const Places places,
                                         int tops, i64 samples, i64 classes, i64 ignored, i64 parts) {
    i64 c = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (c >= parts) return;
    i64 counted = 0, wrong = 0, right = 0, top[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    for (i64 n = c; n < samples; n += parts) {
        const Number *z = scores + n * classes;
        i64 label = (i64)target[n], best = 0, higher = 0;
        if (label == ignored) continue;
        bool known = label >= 0 && label < classes;
        Number own = known ? z[label] : (Number)0, largest = z[0];
        for (i64 k = 0; k < classes; ++k) {
            higher += z[k] > own;
            if (largest == largest && (z[k] > largest || z[k] != z[k])) {  // the first NaN, else the first of equals
                largest = z[k];
                best = k;
            }
        }
        if (own != own) higher = classes;
        ++counted;
        wrong += !known;
        right += best == label;
        for (int j = 0; j < tops; ++j) top[j] += higher < places.k[j];
    }
    found[c] = counted;
    found[parts + c] = wrong;
    found[2 * parts + c] = right;
    for (int j = 0; j < tops; ++j) found[(3 + j) * parts + c] = top[j];
}

__device__ i64 added(const i64 *x, i64 count) {
    i64 sum = 0;
#pragma unroll 8
    for (i64 i = 0; i < count; ++i) sum += x[i];
    return sum;
}

// A thread takes one sum; the first takes those of the loss and of what it was divided by.
extern "C" __global__ void tally_sums(const Number *value, const i64 *found, const Places places, int tops, i64 parts,
                                      int mean) {
    i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (i == 0) {
        Number total = added(found + parts, parts) ? (Number)nan("") : (Number)added(found, parts);
        Number part = mean ? value[0] * total : value[0];
        *places.loss += total == (Number)0 ? (Number)0 : part;  // a batch in which nothing counts has no mean
        *places.total += total;
    } else if (i == 1) {
        *places.counted += added(found, parts);
    } else if (i < 3 + tops) {
        *(i == 2 ? places.right : places.top[i - 3]) += added(found + i * parts, parts);
    }
}
