"""Bugs in the mathematics, and in the layers around it."""

from tests.mutants.mutant import Mutant

RECORDED = "tests/oracle/test_recorded.py"
LAWS = "tests/layers/test_laws.py"

CONV = f"tests/ops/test_conv.py {RECORDED} -k (conv or index) and numpy or test_conv"
POOL = f"{RECORDED} tests/ops/test_pool.py -k (pool and numpy) or test_pool"
NORM = f"{RECORDED} tests/layers/test_norm.py -k (norm and numpy) or test_norm"
LINEAR = f"{RECORDED} -k linear and numpy"
SOFTMAX = f"{RECORDED} tests/ops/test_softmax.py -k (oftmax and numpy) or test_softmax"
CROSS_ENTROPY = f"{RECORDED} tests/ops -k (cross and numpy) or losses"
ACTIVATIONS = f"{RECORDED} tests/layers/test_activations.py -k (relu or sigmoid or tanh) and numpy or test_activations"
DROPOUT = "tests/layers/test_dropout.py tests/backend/test_random.py"
LAW = f"{LAWS} -k numpy and not readonly and "


def ops(file: str, bug: str, old: str, new: str, tests: str) -> Mutant:
    return Mutant(bug, f"ops/{file}.py", old, new, tests)


MUTANTS = [
    # convolution
    ops("conv", "conv: dilation dropped", "v = windows(channels_last, cut.kernel, cut.stride, cut.dilation)",
        "v = windows(channels_last, cut.kernel, cut.stride, (1, 1))", CONV),
    ops("conv", "conv: kernel axes swapped in the weight matrix", "xp.permute_dims(w, (0, 3, 4, 2, 1))",
        "xp.permute_dims(w, (0, 4, 3, 2, 1))", CONV),
    ops("conv", "conv: axes of the weight gradient swapped", "xp.permute_dims(dw, (0, 4, 3, 1, 2))",
        "xp.permute_dims(dw, (0, 4, 3, 2, 1))", CONV),
    ops("conv", "conv: bias forgotten", "y += xp.reshape(b,", "y += 0.0 * xp.reshape(b,", CONV),
    ops("windows", "windows: stride of the width taken for the height", "taps = [x[:, tap(i, oh, sh, dh),",
        "taps = [x[:, tap(i, oh, sw, dh),", "tests/ops/test_windows.py"),
    ops("windows", "windows: a tap starts one too far", "start = i * dilation", "start = i * dilation + (i > 1)", CONV),
    ops("windows", "windows: crop forgets the left border", "left : x.shape[3] - right] if any(pads) else x",
        "0 : x.shape[3] - right - left] if any(pads) else x", "tests/ops/test_windows.py"),
    ops("geometry", "geometry: off by one in the output size", "room = n + before + after - d * (k - 1) - 1",
        "room = n + before + after - d * (k - 1)", CONV),
    ops("geometry", "geometry: same padding puts the odd row first",
        "return total // 2, total - total // 2", "return total - total // 2, total // 2", CONV),
    ops("geometry", "geometry: four paddings taken as top, bottom, left, right",
        "left, right, top, bottom = numbers", "top, bottom, left, right = numbers", CONV),
    ops("geometry", "geometry: ceil_mode starts a window in the far padding",
        "if ceil_mode and (count - 1) * s >= n + before:", "if ceil_mode and (count - 1) * s > n + before:", POOL),
    # pooling
    ops("pool", "max pool: of equal entries the last wins", "xp.logical_or(entry > y, entry != entry)",
        "xp.logical_or(entry >= y, entry != entry)", POOL),
    ops("pool", "max pool: NaN loses", "xp.logical_or(entry > y, entry != entry)", "entry > y", "tests/ops/test_pool.py"),
    ops("pool", "max pool: padded by zeros", "x = pad(x, win.border, -math.inf)", "x = pad(x, win.border, 0.0)", POOL),
    ops("pool", "max pool: overlapping windows overwrite", "dx[:, :, rows, cols] += dy * xp.astype(index == t, dy.dtype)",
        "dx[:, :, rows, cols] = dy * xp.astype(index == t, dy.dtype)", POOL),
    ops("pool", "avg pool: the border always counts",
        "before, after = edges[2 * axis : 2 * axis + 2] if count_include_pad else (0, 0)",
        "before, after = edges[2 * axis : 2 * axis + 2]", POOL),
    ops("pool", "avg pool: gradient not divided", "share = dy * _one_over_count(dy, shape, win, padding, count_include_pad)",
        "share = dy * 1.0", POOL),
    ops("pool", "global avg pool: divided by the height twice", "share = xp.reshape(dy * (1.0 / (h * w)), (n, 1, 1, c))",
        "share = xp.reshape(dy * (1.0 / (h * h)), (n, 1, 1, c))", POOL),
    # normalization
    ops("norm", "batch norm: epsilon outside of the root", "1.0 / xp.sqrt(xp.astype(var, xp.float64) + eps)",
        "1.0 / (xp.sqrt(xp.astype(var, xp.float64)) + eps)", NORM),
    ops("norm", "batch norm: gradient forgets the path through the mean", "through = g - db * share",
        "through = g + 0.0", NORM),
    ops("norm", "batch norm: gradient forgets the path through the variance",
        "through -= xhat", "through -= 0.0", NORM),
    ops("norm", "batch norm: variance without the correction of the mean", "xp.float64) - rest * rest", "xp.float64)", NORM),
    ops("norm", "batch norm: mean added in float32", "mean = sum_rows_in_float64(rows) / count",
        "mean = sum_rows(rows, 1.0, xp.float64) / count", NORM),
    ops("norm", "batch norm: rounding makes a variance negative", "mean = sum_rows_in_float64(rows) / count",
        "mean = sum_rows_in_float64(rows) * (1.0 / count)", NORM),
    Mutant("batch norm: running mean rounded twice", "layers/norm.py", "self._track(*exact, math", "self._track(mean, var, math", NORM),
    Mutant("batch norm: momentum inverted", "layers/norm.py", "(new * factor - old) * momentum",
           "(new * factor - old) * (1.0 - momentum)", NORM),
    Mutant("batch norm: running variance is the biased one", "layers/norm.py", "(\"running_var\", var, count / (count - 1))",
           "(\"running_var\", var, 1.0)", NORM),
    Mutant("batch norm: running statistics are stale", "layers/norm.py", "xp.astype(old + (new * factor - old) * momentum",
           "xp.astype(old + 0.0 * (new * factor - old) * momentum", NORM),
    Mutant("batch norm: momentum None forgets to count", "layers/norm.py",
           'buffers["num_batches_tracked"] = xp.asarray(seen)', "xp.asarray(seen)", NORM),
    # linear, sums
    ops("linear", "linear: weights not transposed in the gradient", "return xp.matmul(dy, w), xp.matmul(dy.T, x), sum_rows(dy)",
        "return xp.matmul(dy, w), xp.matmul(x.T, dy).T * 0.5, sum_rows(dy)", LINEAR),
    ops("linear", "linear: bias gradient is a mean", "xp.matmul(dy.T, x), sum_rows(dy)",
        "xp.matmul(dy.T, x), sum_rows(dy) / dy.shape[0]", LINEAR),
    # softmax and cross-entropy
    ops("softmax", "softmax: overflow, the largest is not subtracted",
        "e = xp.exp(x - xp.max(x, axis=dim, keepdims=True))", "e = xp.exp(x)",
        f"{SOFTMAX} or shift"),
    ops("softmax", "softmax: gradient forgets the other classes", "return y * (dy - xp.sum(dy * y, axis=dim, keepdims=True))",
        "return y * (1.0 - y) * dy", SOFTMAX),
    ops("softmax", "log softmax: small differences lose their digits at large scores",
        "return z - xp.log(xp.sum(xp.exp(z), axis=dim, keepdims=True))",
        "return x - (xp.max(x, axis=dim, keepdims=True) + xp.log(xp.sum(xp.exp(z), axis=dim, keepdims=True)))",
        "tests/ops/test_softmax.py"),
    # activations
    ops("activations", "relu: the gradient at the kink is 1", "xp.logical_not(y <= 0.0)", "xp.logical_not(y < 0.0)",
        ACTIVATIONS),
    ops("activations", "leaky relu: slope on the wrong side", "dy * (positive + (1.0 - positive) * negative_slope)",
        "dy * (positive * negative_slope + (1.0 - positive))", ACTIVATIONS),
    ops("activations", "sigmoid: wrong sign, as in deepnet", "xp.astype(x >= 0.0, x.dtype)", "xp.astype(x <= 0.0, x.dtype)",
        ACTIVATIONS),
    ops("activations", "sigmoid: gradient loses a digit where 1 - y is rounded", "m -= m * m", "m *= 1.0 - m", ACTIVATIONS),
    ops("activations", "tanh: gradient without the square", "return dy * (1.0 - y * y)", "return dy * (1.0 - y)", ACTIVATIONS),
    # dropout and random bits
    ops("dropout", "dropout: not scaled", "(1.0 / (1.0 - p) if p < 1.0 else 0.0)", "(1.0 if p < 1.0 else 0.0)", DROPOUT),
    ops("dropout", "dropout: p is the chance to keep", "mask = keep_mask(x, p, key)", "mask = keep_mask(x, 1.0 - p, key)",
        DROPOUT),
    Mutant("random: the mask of part of a batch starts anew", "backend/random.py",
           "start = key.first * math.prod(shape[1:])", "start = 0", f"{LAW} one_by_one and Dropout"),
    Mutant("random: the step is left out of the counter", "backend/random.py",
           "counter = np.array([block, 0, key.step, 0], dtype=np.uint64)",
           "counter = np.array([block, 0, 0, 0], dtype=np.uint64)", DROPOUT),
    Mutant("random: the path is left out of the key", "backend/random.py",
           "digest = hashlib.blake2b(self.path.encode(), digest_size=8)", 'digest = hashlib.blake2b(b"", digest_size=8)',
           DROPOUT),
    # layers
    Mutant("layer: any layer's cache is taken", "layers/base.py",
           "if not isinstance(cache, Cache) or cache.owner is not self:", "if not isinstance(cache, Cache):",
           f"{LAW} wrong_calls and Linear"),
    Mutant("layer: the gradient's shape is not looked at", "layers/base.py",
           "if tuple(dy.shape) != cache.shape:", "if False:", f"{LAW} wrong_calls"),
    Mutant("container: a layer at two places keeps one gradient", "models/container.py",
           "grads[full] = grads[full] + grad if full in grads else grad", "grads[full] = grad",
           f"{RECORDED} -k twice and numpy"),
    Mutant("residual: the shortcut's gradient is forgotten", "models/blocks.py", "return dx + other if input_grad else None, grads",
           "return dx if input_grad else None, grads", f"{RECORDED} -k residual and numpy"),
    Mutant("concat: every branch gets the first part of the gradient", "models/blocks.py", "start += count",
           "start += 0", f"{RECORDED} -k concat and numpy"),
    Mutant("penalties: L2 without the half", "layers/penalties.py", "return 0.5 * self.lam *", "return self.lam *",
           "tests/layers/test_penalties.py"),
    Mutant("penalties: L1 counts twice", "layers/penalties.py", "self.lam * xp.sign(w)", "2.0 * self.lam * xp.sign(w)",
           "tests/layers/test_penalties.py"),
    Mutant(
        "conv: unused border rows are not left out", "ops/conv.py",
        "[:, : size[0], : size[1], ...]",
        "",
        "tests/ops/test_conv.py tests/ops/test_conv1d.py tests/ops/test_conv_transpose.py tests/oracle/test_recorded.py -k (conv or transpose) and (numpy and not readonly) or test_conv and not (strict or torch or cupy)",
    ),
    Mutant(
        "conv: groups interleaved", "ops/conv.py",
        "xp.permute_dims(xp.reshape(rows, (rows.shape[0], cut.groups, -1)), (1, 0, 2))",
        "xp.permute_dims(xp.reshape(rows, (rows.shape[0], -1, cut.groups)), (2, 0, 1))",
        "tests/ops/test_conv.py tests/ops/test_conv1d.py tests/ops/test_conv_transpose.py tests/oracle/test_recorded.py -k (conv or transpose) and (numpy and not readonly) or test_conv and not (strict or torch or cupy)",
    ),
    Mutant(
        "transposed conv: asymmetric padding taken twice", "ops/conv_transpose.py",
        "size.append(reach - sum(cut.border[2 * axis : 2 * axis + 2]) + extra[axis])",
        "size.append(reach - 2 * cut.border[2 * axis] + extra[axis])",
        "tests/ops/test_conv.py tests/ops/test_conv1d.py tests/ops/test_conv_transpose.py tests/oracle/test_recorded.py -k (conv or transpose) and (numpy and not readonly) or test_conv and not (strict or torch or cupy)",
    ),
    Mutant(
        "transposed conv: output_padding may not reach the dilation", "ops/conv_transpose.py",
        "if any(p >= max(s, d)",
        "if any(p >= s",
        "tests/ops/test_conv.py tests/ops/test_conv1d.py tests/ops/test_conv_transpose.py tests/oracle/test_recorded.py -k (conv or transpose) and (numpy and not readonly) or test_conv and not (strict or torch or cupy)",
    ),
    Mutant(
        "transposed conv: dilation dropped from the size", "ops/conv_transpose.py",
        "+ cut.dilation[axis] * (cut.kernel[axis] - 1) + 1",
        "+ cut.kernel[axis]",
        "tests/ops/test_conv.py tests/ops/test_conv1d.py tests/ops/test_conv_transpose.py tests/oracle/test_recorded.py -k (conv or transpose) and (numpy and not readonly) or test_conv and not (strict or torch or cupy)",
    ),
    Mutant(
        "conv1d: paddings left and right exchanged", "ops/conv1d.py",
        "\"padding\": (left, right, 0, 0)",
        "\"padding\": (right, left, 0, 0)",
        "tests/ops/test_conv.py tests/ops/test_conv1d.py tests/ops/test_conv_transpose.py tests/oracle/test_recorded.py -k (conv or transpose) and (numpy and not readonly) or test_conv and not (strict or torch or cupy)",
    ),
    Mutant(
        "transposed conv: the layer forgets output_padding", "layers/conv.py",
        "super()._settings() | {\"output_padding\": self.output_padding}",
        "super()._settings()",
        "tests/ops/test_conv.py tests/ops/test_conv1d.py tests/ops/test_conv_transpose.py tests/oracle/test_recorded.py -k (conv or transpose) and (numpy and not readonly) or test_conv and not (strict or torch or cupy)",
    ),
    Mutant(
        "adaptive pool: windows one too long", "ops/adaptive_pool.py",
        "-((i + 1) * size // -count)) for i",
        "(i + 1) * size // count + (i == count - 1 or size < count)) for i",
        "tests/ops/test_adaptive_pool.py tests/oracle/test_recorded.py -k (adaptive or global or padding or upsample or pad2d) and numpy or test_adaptive or test_padding or test_upsample",
    ),
    Mutant(
        "adaptive max pool: of equal entries the last wins", "ops/adaptive_pool.py",
        "xp.arange(b - a, 0, -1, dtype=kind, device=x.device)",
        "xp.arange(1, b - a + 1, dtype=kind, device=x.device)",
        "tests/ops/test_adaptive_pool.py tests/oracle/test_recorded.py -k (adaptive or global or padding or upsample or pad2d) and numpy or test_adaptive or test_padding or test_upsample",
    ),
    Mutant(
        "reflection: the edge is repeated", "ops/padding.py",
        "flip(y[_at(axis, before + 1, 2 * before + 1)]",
        "flip(y[_at(axis, before, 2 * before)]",
        "tests/ops/test_padding.py tests/oracle/test_recorded.py -k (adaptive or global or padding or upsample or pad2d) and numpy or test_adaptive or test_padding or test_upsample",
    ),
    Mutant(
        "replication: gradient of the border is a mean", "ops/padding.py",
        "xp.sum(dy[_at(axis, 0, before)], axis",
        "xp.mean(dy[_at(axis, 0, before)], axis",
        "tests/ops/test_padding.py tests/oracle/test_recorded.py -k (adaptive or global or padding or upsample or pad2d) and numpy or test_adaptive or test_padding or test_upsample",
    ),
    Mutant(
        "padding: the gradient is changed in place", "ops/padding.py",
        "dy = dy if any(cut) else xp.asarray(dy, copy=True)",
        "dy = dy if any(cut) else xp.asarray(dy)",
        "tests/ops/test_padding.py tests/oracle/test_recorded.py -k (adaptive or global or padding or upsample or pad2d) and numpy or test_adaptive or test_padding or test_upsample",
    ),
    Mutant(
        "upsample: pixels lie at corners", "ops/upsample.py",
        "(place + 0.5) * axis.step - 0.5",
        "place * axis.step",
        "tests/ops/test_upsample.py tests/oracle/test_recorded.py -k (adaptive or global or padding or upsample or pad2d) and numpy or test_adaptive or test_padding or test_upsample",
    ),
    Mutant(
        "upsample: the rounded size says where pixels lie", "ops/upsample.py",
        "n / out if factor is None else 1.0 / factor",
        "n / out",
        "tests/ops/test_upsample.py tests/oracle/test_recorded.py -k (adaptive or global or padding or upsample or pad2d) and numpy or test_adaptive or test_padding or test_upsample",
    ),
    Mutant(
        "focal: confident scores lose their digits", "ops/losses/focal.py",
        "c = xp.where(u < 0.5, -xp.log1p(-low), c)",
        "c = c + 0.0 * low",
        "tests/ops/test_losses_digits.py",
    ),
    Mutant(
        "binary cross-entropy: slope by a difference", "ops/losses/binary.py",
        "values, dlogits = yes * c_yes + no * c_no, no * up - yes * down",
        "values, dlogits = yes * c_yes + no * c_no, (no + yes) * up - yes",
        "tests/ops/test_losses_digits.py",
    ),
    Mutant(
        "losses: divided by the sum of the samples' weights", "layers/losses/base.py",
        "total = self.total(prediction, target) if self.reduction",
        "total = xp.sum(sample_weight) if self.reduction",
        "tests/ops/test_losses_reductions.py",
    ),
    Mutant(
        "layer norm: gradient forgets the path through the mean", "ops/standardize.py",
        "return (g - mean - of.xhat * along) * of.inv_std",
        "return (g - of.xhat * along) * of.inv_std",
        "tests/layers/test_laws.py -k gradients and GroupNorm and numpy",
    ),
    Mutant(
        "group norm: a large mean spoils the deviations", "ops/standardize.py",
        "centred = centred - rest",
        "centred = centred - 0.0 * rest",
        "tests/layers/test_group_norm.py",
    ),
    Mutant(
        "instance norm: unbiased by the wrong count", "layers/group_norm.py",
        "math.prod(x.shape[2:]), self.momentum)",
        "math.prod(x.shape), self.momentum)",
        "tests/layers/test_group_norm.py",
    ),
    Mutant(
        "response norm: windows of the gradient not mirrored", "ops/local_response_norm.py",
        "_window(direct * x / d, (size - 1) // 2, size // 2)",
        "_window(direct * x / d, size // 2, (size - 1) // 2)",
        "tests/ops/test_local_response_norm.py",
    ),
    Mutant(
        "response norm: alpha not divided by the size", "ops/local_response_norm.py",
        "* (alpha / size) + k",
        "* alpha + k",
        "tests/ops/test_local_response_norm.py",
    ),
    Mutant(
        "gelu: wrong factor in the slope of the tanh form", "ops/gelu.py",
        "(1.0 + 3.0 * _CUBE * square)",
        "(1.0 + 2.0 * _CUBE * square)",
        "tests/layers/test_activations.py",
    ),
    Mutant(
        "hardswish: the kink belongs to the wrong side", "ops/gated.py",
        "xp.astype(xp.abs(x) < 3.0, x.dtype)",
        "xp.astype(xp.abs(x) <= 3.0, x.dtype)",
        "tests/layers/test_activations.py",
    ),
    Mutant(
        "softplus: small values lose their digits", "ops/softplus.py",
        "xp.log1p(xp.exp(-xp.abs(u)))",
        "xp.log(1.0 + xp.exp(-xp.abs(u)))",
        "tests/layers/test_activations.py",
    ),
    Mutant(
        "dropout 2d: part of a batch draws anew", "ops/dropout.py",
        "keep_mask(x[:, :, 0, 0], p, key)",
        "keep_mask(x[:, :, 0, 0], p, key.at(0))",
        "tests/layers/test_dropout.py",
    ),
    Mutant(
        "sums: rows that fill no block are lost", "ops/sums.py",
        "rows = xp.concat([sums, rows[parts * BLOCK :, :]], axis=0) if left else sums",
        "rows = sums",
        "tests/ops/test_sums.py",
    ),
]
