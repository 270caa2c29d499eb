// Batch norm of rows (P, C), one row a pixel. See xpcnn.ops.norm. Number is the type of x, Wide that of parameters
// and of what is computed, Stat that of mean and var.
// A thread stays with one channel and takes every row that is threads / C rows after the one before: neighbours read
// neighbouring numbers, whatever C is.

typedef long long i64;

// The first row is near the others: less it, squares are small, and all threads' sums just add up. An infinity is not.
__device__ double near_mean(double first) { return first - first == 0.0 ? first : 0.0; }

// sums[s, 0, c] = sum_p d[p],  sums[s, 1, c] = sum_p d[p]^2,  with d[p] = x[p, c] - x[0, c]
extern "C" __global__ void deviations(const Number *x, double *sums, i64 count, i64 threads, i64 channels) {
    i64 t = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (t >= threads) return;
    i64 c = t % channels;
    double first = near_mean(x[c]), sum = 0.0, square = 0.0;
#pragma unroll 8
    for (i64 i = t; i < count; i += threads) {
        double d = (double)x[i] - first;
        sum += d;
        square += d * d;
    }
    double *own = sums + (t - c) * 2 + c;
    own[0] = sum;
    own[channels] = square;
}

// With D and Q the sums of both over all threads:  mean = x[0] + D / P,  var = (Q - D^2 / P) / P.
// D^2 / P is at most P times Q - D^2 / P, so that at most so much of the digits of a double is lost, where x[0] is the
// one that lies far out; else none.
extern "C" __global__ void statistics(const Number *x, const double *sums, double *mean, double *var, i64 parts,
                                      i64 channels, double rows) {
    i64 c = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (c >= channels) return;
    double sum = 0.0, square = 0.0;
    for (i64 part = 0; part < parts; ++part) {
        sum += sums[part * 2 * channels + c];
        square += sums[(part * 2 + 1) * channels + c];
    }
    double off = sum / rows;
    mean[c] = near_mean(x[c]) + off;
    var[c] = (square - sum * off) / rows;
}

// What rounding a mean leaves over; nothing where it is given as it is rounded.
__device__ double rest(Stat mean) { return sizeof(Stat) == sizeof(Wide) ? 0.0 : (double)mean - (double)(Wide)mean; }

__device__ double one_over_std(Stat var, double eps) { return 1.0 / sqrt((double)var + eps); }

// What becomes of the numbers of a channel: y = (x - rounded) w s + (b - rest w s),  s = 1 / sqrt(var + eps); w and b
// may be null.
struct Line {
    Wide rounded, gain, offset;
};

__device__ Number at(Line own, Number x) { return (x - own.rounded) * own.gain + own.offset; }

__device__ Line line(const Stat *mean, const Stat *var, const Wide *w, const Wide *b, i64 c, double eps) {
    double scale = one_over_std(var[c], eps);
    if (w) scale *= (double)w[c];
    double shift = -rest(mean[c]) * scale;
    if (b) shift += (double)b[c];
    Line found = {(Wide)mean[c], (Wide)scale, (Wide)shift};
    return found;
}

// A NaN stays.
__device__ Number rectified(Number y) { return y < (Wide)0 ? (Number)(Wide)0 : y; }

// The gradient before the rectifier: a product, so that an infinity at a zero is a NaN, as without kernels.
__device__ Wide unrectified(Number dy, Number y) { return dy * (Wide)!(y <= (Wide)0); }

// y of all numbers, rectified where asked for. Since y is no part of x, a thread may read on before it has written.
extern "C" __global__ void normalize(const Number *__restrict__ x, const Stat *mean, const Stat *var, const Wide *w,
                                     const Wide *b, Number *__restrict__ y, i64 count, i64 threads, i64 channels,
                                     double eps, bool relu) {
    i64 t = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (t >= threads) return;
    i64 c = t % channels;
    Line own = line(mean, var, w, b, c, eps);
#pragma unroll 8
    for (i64 i = t; i < count; i += threads) {
        Number found = at(own, x[i]);
        y[i] = relu ? rectified(found) : found;
    }
}

// Filters w and their bias b, which may be null, so that convolution gives what the norm behind it gave: filter o is
// times its gain,  bias[o] = (b[o] - mean[o]) gain + shift[o]. In double, rounded once. A filter has `size` numbers.
extern "C" __global__ void fold(const Wide *w, const Wide *b, const Stat *mean, const Stat *var, const Wide *scale,
                                const Wide *shift, Number *folded, Number *bias, i64 count, i64 size, double eps) {
    i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (i >= count) return;
    i64 o = i / size;
    double gain = one_over_std(var[o], eps);
    if (scale) gain *= (double)scale[o];
    folded[i] = (Wide)((double)w[i] * gain);
    if (i % size) return;
    double before = b ? (double)b[o] : 0.0, behind = shift ? (double)shift[o] : 0.0;
    bias[o] = (Wide)((before - (double)mean[o]) * gain + behind);
}

// With near = (x - rounded) s, which is xhat but for one number a channel, off = rest s:
// sums[s, 0, c] = sum_p dy[p],  sums[s, 1, c] = sum_p dy[p] near[p]
// Behind a rectifier, dy is first what that lets through; y is computed again, since x is read anyway.
extern "C" __global__ void gradient_sums(const Number *dy, const Number *x, const Stat *mean, const Stat *var,
                                         const Wide *w, const Wide *b, double *sums, i64 count, i64 threads,
                                         i64 channels, double eps, bool relu) {
    i64 t = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (t >= threads) return;
    i64 c = t % channels;
    Wide rounded = (Wide)mean[c], s = (Wide)one_over_std(var[c], eps);
    Line own = line(mean, var, w, b, c, eps);
    double sum = 0.0, along = 0.0;
#pragma unroll 8
    for (i64 i = t; i < count; i += threads) {
        Wide d = relu ? unrectified(dy[i], at(own, x[i])) : (Wide)dy[i];
        sum += (double)d;
        along += (double)(d * ((x[i] - rounded) * s));
    }
    double *place = sums + (t - c) * 2 + c;
    place[0] = sum;
    place[channels] = along;
}

// db = sum dy,  dw = sum dy near - off db,  dx = w s (dy - (db - off dw) / P - near dw / P), or w s dy where mean and
// variance are fixed
extern "C" __global__ void batch_norm_backward(const Number *__restrict__ dy, const Number *__restrict__ x,
                                               const Stat *mean, const Stat *var, const Wide *w, const Wide *b,
                                               const double *sums, Number *__restrict__ dx, Wide *dw, Wide *db,
                                               i64 count, i64 threads, i64 channels, double eps, double share,
                                               bool fixed, bool relu) {
    i64 t = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (t >= threads) return;
    i64 c = t % channels;
    double s = one_over_std(var[c], eps), off = rest(mean[c]) * s;
    double sum = sums[c], along = sums[channels + c] - off * sum;
    if (t == c) {
        dw[c] = (Wide)along;
        db[c] = (Wide)sum;
    }
    Wide rounded = (Wide)mean[c], shrunk = (Wide)s, gain = (Wide)(w ? s * (double)w[c] : s);
    Line own = line(mean, var, w, b, c, eps);
    Wide slope = (Wide)(along * share), constant = (Wide)((sum - off * along) * share);
#pragma unroll 8
    for (i64 i = t; i < count; i += threads) {
        Wide d = relu ? unrectified(dy[i], at(own, x[i])) : (Wide)dy[i];
        Wide through = fixed ? d : d - constant - (x[i] - rounded) * shrunk * slope;
        dx[i] = through * gain;
    }
}
