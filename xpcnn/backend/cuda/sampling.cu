// Images read at other places, for augmentation. See xpcnn.data.augment.sampling. x lies in memory as its four strides
// say, y as (N, OH, OW, C). Number is their type.

typedef long long i64;

// y[n, i, j, c] = x[n, c, rows[n, i], cols[n, j]]; -1 is outside. `places` holds an image's rows, then its columns.
extern "C" __global__ void gather(const Number *x, const int *places, Number *y, i64 count, i64 c, i64 oh, i64 ow,
                                  i64 by_n, i64 by_c, i64 by_h, i64 by_w, Number fill) {
    i64 o = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (o >= count) return;
    i64 channel = o % c, j = o / c % ow, i = o / c / ow % oh, image = o / c / ow / oh;
    i64 row = places[image * (oh + ow) + i], col = places[image * (oh + ow) + oh + j];
    y[o] = row < 0 || col < 0 ? fill : x[image * by_n + channel * by_c + row * by_h + col * by_w];
}

// The whole part of a position from -1 to size, at most size - 1; what is left over comes to lie in `fraction`.
__device__ i64 split(Number a, i64 size, Number *fraction) {
    a = a < -1 ? (Number)-1 : a > size ? (Number)size : a;
    Number whole = floor(a);
    if (whole > size - 1) whole = (Number)(size - 1);
    *fraction = a - whole;
    return (i64)whole;
}

// turn[n] holds the cosine and the sine of the angle t; with the centre (ci, cj), the pixel (i, j) is read at
//     a = ci + cos(t) (i - ci) + sin(t) (j - cj),  b = cj - sin(t) (i - ci) + cos(t) (j - cj)
// and lies between four others, with A = floor(a), B = floor(b), f = a - A and g = b - B:
//     (1 - f) ((1 - g) x[A, B] + g x[A, B + 1]) + f ((1 - g) x[A + 1, B] + g x[A + 1, B + 1])
extern "C" __global__ void rotate(const Number *x, const Number *turn, Number *y, i64 count, i64 c, i64 h, i64 w,
                                  i64 by_n, i64 by_c, i64 by_h, i64 by_w, Number fill) {
    i64 o = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (o >= count) return;
    i64 channel = o % c, column = o / c % w, row = o / c / w % h, image = o / c / w / h;
    Number ci = (Number)(h - 1) / 2, cj = (Number)(w - 1) / 2, i = row - ci, j = column - cj;
    Number cosine = turn[2 * image], sine = turn[2 * image + 1], f, g;
    i64 top = split(cosine * i + sine * j + ci, h, &f), left = split(cosine * j - sine * i + cj, w, &g);
    const Number *plane = x + image * by_n + channel * by_c;
    Number corners[4];
    for (int k = 0; k < 4; ++k) {
        i64 at_h = top + k / 2, at_w = left + k % 2;
        bool inside = at_h >= 0 && at_h < h && at_w >= 0 && at_w < w;
        corners[k] = inside ? plane[at_h * by_h + at_w * by_w] : fill;
    }
    y[o] = (1 - f) * ((1 - g) * corners[0] + g * corners[1]) + f * ((1 - g) * corners[2] + g * corners[3]);
}
