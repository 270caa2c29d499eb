// Pooling along one axis by windows that share it out evenly. See xpcnn.ops.adaptive_pool. Number is the type of the
// images, Place that of a place in a window. Arrays have shape (outer, size, inner), or (outer, windows, inner).

typedef long long i64;

// Window i of `windows` is  first(i, size, windows) <= k < stop(i, size, windows).  And turned around: the windows that
// cover k are  first(k, windows, size) <= i < stop(k, windows, size).
__device__ i64 first(i64 i, i64 size, i64 windows) { return i * size / windows; }
__device__ i64 stop(i64 i, i64 size, i64 windows) { return ((i + 1) * size + windows - 1) / windows; }

// y[o, i, c] = sum of x[o, k, c] over window i, divided by its length
extern "C" __global__ void window_means(const Number *x, Number *y, i64 count, i64 size, i64 windows, i64 inner) {
    i64 o = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (o >= count) return;
    i64 i = o / inner % windows, a = first(i, size, windows), b = stop(i, size, windows);
    const Number *line = x + o / inner / windows * size * inner + o % inner;
    double sum = 0.0;
    for (i64 k = a; k < b; ++k) sum += (double)line[k * inner];
    y[o] = (Number)(sum / (double)(b - a));
}

// dx[o, k, c] = sum of dy[o, i, c] / (length of window i) over the windows that cover k
extern "C" __global__ void window_means_backward(const Number *dy, Number *dx, i64 count, i64 size, i64 windows,
                                                 i64 inner) {
    i64 o = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (o >= count) return;
    i64 k = o / inner % size;
    const Number *line = dy + o / inner / size * windows * inner + o % inner;
    Wide sum = 0;
    for (i64 i = first(k, windows, size); i < stop(k, windows, size); ++i) {
        sum += line[i * inner] / (Wide)(stop(i, size, windows) - first(i, size, windows));
    }
    dx[o] = sum;
}

// y[o, i, c] = max of x[o, k, c] over window i, and its place k - first(i): of equal entries the first, of NaN too
extern "C" __global__ void window_maxima(const Number *x, Number *y, Place *places, i64 count, i64 size, i64 windows,
                                         i64 inner) {
    i64 o = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (o >= count) return;
    i64 i = o / inner % windows, a = first(i, size, windows), b = stop(i, size, windows), place = a;
    const Number *line = x + o / inner / windows * size * inner + o % inner;
    Number best = line[a * inner];
    for (i64 k = a + 1; k < b; ++k) {
        Number entry = line[k * inner];
        if (entry > best || (entry != entry && best == best)) {
            best = entry;
            place = k;
        }
    }
    y[o] = best;
    places[o] = place - a;
}

// dx[o, k, c] = sum of dy[o, i, c] over the windows that cover k and have their maximum there
extern "C" __global__ void window_maxima_backward(const Number *dy, const Place *places, Number *dx, i64 count,
                                                  i64 size, i64 windows, i64 inner) {
    i64 o = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (o >= count) return;
    i64 k = o / inner % size, line = o / inner / size * windows * inner + o % inner;
    Wide sum = 0;
    for (i64 i = first(k, windows, size); i < stop(k, windows, size); ++i) {
        bool won = places[line + i * inner] == k - first(i, size, windows);
        sum += dy[line + i * inner] * (Wide)won;
    }
    dx[o] = sum;
}
