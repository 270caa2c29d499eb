// A bias for each column of rows, and the rectifier, in one pass. Number is the type of all, Wide that of the sum.

typedef long long i64;

// y[n, c] = max(x[n, c] + b[c], 0), a NaN stays
extern "C" __global__ void bias_relu(const Number *__restrict__ x, const Number *b, Number *__restrict__ y, i64 count,
                                     i64 channels) {
    i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (i >= count) return;
    Number sum = (Wide)x[i] + (Wide)b[i % channels];
    y[i] = sum < (Wide)0 ? (Number)(Wide)0 : sum;
}
