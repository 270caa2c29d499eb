// Average pooling of images (N, H, W, C). See xpcnn.ops.pool. Number is their type. The border is not there: windows
// are cut off at the image, and know how many entries they count nevertheless.

typedef long long i64;

// How many entries of a window count along one axis: those in the image, and so many of the border before and after it.
__device__ i64 counted(i64 first, int kernel, int before, int end) {
    i64 stop = first + kernel;
    return (stop < end ? stop : end) - (first > -before ? first : -before);
}

// A thread makes one output:  y[n, oh, ow, c] = sum_{i, j} x[n, oh sh + i - top, ow sw + j - left, c] / count[oh, ow].
// The border that counts ends above at -before_h and below at end_h, likewise at the sides.
extern "C" __global__ void avg_pool(const Number *x, Number *y, i64 count, int h, int w, int c, int rows, int cols,
                                    int kh, int kw, int sh, int sw, int top, int left, int before_h, int end_h,
                                    int before_w, int end_w) {
    i64 o = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (o >= count) return;
    i64 channel = o % c, col = o / c % cols, row = o / c / cols % rows, image = o / c / cols / rows;
    i64 first_h = row * sh - top, first_w = col * sw - left;
    Wide sum = 0;
    for (i64 i = first_h; i < first_h + kh; ++i) {
        for (i64 j = first_w; j < first_w + kw; ++j) {
            if (i >= 0 && i < h && j >= 0 && j < w) sum += x[((image * h + i) * w + j) * c + channel];
        }
    }
    i64 entries = counted(first_h, kh, before_h, end_h) * counted(first_w, kw, before_w, end_w);
    y[o] = sum * ((Wide)1 / (Wide)entries);
}

// A thread makes one entry of dx, from the windows that cover it:
//     dx[n, h, w, c] = sum of dy[n, oh, ow, c] / count[oh, ow] over these
extern "C" __global__ void avg_pool_backward(const Number *dy, Number *dx, i64 count, int h, int w, int c, int rows,
                                             int cols, int kh, int kw, int sh, int sw, int top, int left, int before_h,
                                             int end_h, int before_w, int end_w) {
    i64 o = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (o >= count) return;
    i64 channel = o % c, x = o / c % w, y = o / c / w % h, image = o / c / w / h;
    Wide sum = 0;
    for (int i = 0; i < kh; ++i) {
        i64 first_h = y - i, down = first_h + top, row = down / sh;
        if (down < 0 || down % sh || row >= rows) continue;
        for (int j = 0; j < kw; ++j) {
            i64 first_w = x - j, across = first_w + left, col = across / sw;
            if (across < 0 || across % sw || col >= cols) continue;
            i64 entries = counted(first_h, kh, before_h, end_h) * counted(first_w, kw, before_w, end_w);
            sum += dy[((image * rows + row) * cols + col) * c + channel] * ((Wide)1 / (Wide)entries);
        }
    }
    dx[o] = sum;
}

// dx[n, p, c] = share dy[n, c]
extern "C" __global__ void global_avg_pool_backward(const Number *dy, Number *dx, i64 count, i64 places, i64 channels,
                                                    Wide share) {
    i64 o = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (o < count) dx[o] = dy[o / channels / places * channels + o % channels] * share;
}
