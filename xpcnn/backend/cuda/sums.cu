// Sums of the rows of matrices, in double. Number is the type of the entries, Sum that of what is written. A fixed
// order, and nobody adds to another thread's number: the same bits in every run.

typedef long long i64;

// x has shape (batch, rows, columns). A thread adds every row of its matrix that is `slabs` rows after the one before:
//     y[n, s, c] = scale (x[n, s, c] + x[n, s + slabs, c] + x[n, s + 2 slabs, c] + ...) / divisor
// So neighbours read neighbouring numbers, whatever the number of columns is.
extern "C" __global__ void sum_rows(const Number *x, Sum *y, i64 count, i64 rows, i64 slabs, i64 columns, double scale,
                                    double divisor) {
    i64 o = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (o >= count) return;
    i64 step = slabs * columns, matrix = o / step, stop = (matrix + 1) * rows * columns;
    double sum = 0.0;
#pragma unroll 8
    for (i64 i = matrix * rows * columns + o % step; i < stop; i += step) sum += (double)x[i];
    y[o] = (Sum)(sum * scale / divisor);
}
