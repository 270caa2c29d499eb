// Max pooling of images (N, H, W, C) that have their border already. See xpcnn.ops.pool. Number is their type, Place that
// of a place in a window.

typedef long long i64;

// A thread makes one output: of equal entries the first one wins, and a NaN wins over all, the last of them.
extern "C" __global__ void max_pool(const Number *x, Number *y, Place *index, i64 count, int h, int w, int c, int rows,
                                    int cols, int kh, int kw, int sh, int sw, int dh, int dw) {
    i64 o = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (o >= count) return;
    i64 channel = o % c, col = o / c % cols, row = o / c / cols % rows, image = o / c / cols / rows;
    const Number *corner = x + ((image * h + row * sh) * w + col * sw) * c + channel;
    Number best = *corner;
    Place place = 0;
    for (int i = 0; i < kh; ++i) {
        for (int j = 0; j < kw; ++j) {
            Number entry = corner[((i64)i * dh * w + (i64)j * dw) * c];
            if (entry > best || (entry != entry && i + j > 0)) {
                best = entry;
                place = i * kw + j;
            }
        }
    }
    y[o] = best;
    index[o] = place;
}

// A thread makes one entry of dx: it asks every window that it is in whether it won there. So no two threads add to the
// same number, and sums run in one order.
extern "C" __global__ void max_pool_backward(const Number *dy, const Place *index, Number *dx, i64 count, int h, int w,
                                             int c, int rows, int cols, int kh, int kw, int sh, int sw, int dh,
                                             int dw) {
    i64 o = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (o >= count) return;
    i64 channel = o % c, x = o / c % w, y = o / c / w % h, image = o / c / w / h;
    Wide sum = 0;
    for (int i = 0; i < kh; ++i) {
        i64 down = y - (i64)i * dh, row = down / sh;
        if (down < 0 || down % sh || row >= rows) continue;
        for (int j = 0; j < kw; ++j) {
            i64 across = x - (i64)j * dw, col = across / sw;
            if (across < 0 || across % sw || col >= cols) continue;
            i64 window = ((image * rows + row) * cols + col) * c + channel;
            sum += dy[window] * (Wide)(index[window] == i * kw + j);
        }
    }
    dx[o] = sum;
}
