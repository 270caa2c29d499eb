"""The formulas of all layers and losses, forward and backward: those of the ops' docstrings, one line each."""

from __future__ import annotations

from xpcnn import layers as L
from xpcnn import models as M
from xpcnn import optimizers as O

__all__ = ["BACKWARD", "FORWARD", "LOSS", "PADDED", "UPDATE"]

_CONV = "y[n, o, oh, ow] = b[o] + sum_{c, i, j} w[o, c, i, j] x[n, c, oh sh + i dh, ow sw + j dw]"
PADDED = "where x has its padding around it, and rows and columns count from there"
_NORM = "xhat = (x - mean) / sqrt(var + eps)"
_NORM_BACK = "dx = s (g - mean(g) - xhat mean(g xhat)), with g = w dy and s = 1 / sqrt(var + eps)"
_AFFINE_BACK = "dw[c] = sum_{n, p} dy xhat,  db[c] = sum_{n, p} dy"
_AFFINE = "y = w[c] xhat + b[c]"

FORWARD: dict[type, tuple[str, ...]] = {
    L.Conv2d: (_CONV, PADDED),
    L.Conv1d: ("y[n, o, l] = b[o] + sum_{c, i} w[o, c, i] x[n, c, l s + i d]", PADDED),
    L.ConvTranspose2d: (
        "y[n, o, oh, ow] = b[o] + sum of x[n, c, h, w] w[c, o, i, j]",
        "                  over all c, h sh + i dh == oh + top, w sw + j dw == ow + left",
    ),
    L.Linear: ("y[n, o] = sum_i x[n, i] w[o, i] + b[o]",),
    L.Flatten: ("y[n, (c H + h) W + w] = x[n, c, h, w]",),
    L.Dropout: ("y[i] = m[i] x[i] / (1 - p), with m[i] = 0 with probability p, else 1",),
    L.Dropout2d: ("y[n, c, h, w] = m[n, c] x[n, c, h, w] / (1 - p), with m = 0 with probability p, else 1",),
    L.MaxPool2d: ("y[n, c, oh, ow] = max_{i, j} x[n, c, oh sh + i dh, ow sw + j dw]", PADDED),
    L.AvgPool2d: ("y[n, c, oh, ow] = sum_{i, j} x[n, c, oh sh + i, ow sw + j] / count[oh, ow]", PADDED),
    L.GlobalAvgPool2d: ("y[n, c] = sum_{h, w} x[n, c, h, w] / (H W)",),
    L.GlobalMaxPool2d: ("y[n, c] = max_{h, w} x[n, c, h, w]",),
    L.AdaptiveAvgPool2d: (
        "y[n, c, oh, ow] = mean of x[n, c, h, w] over h in rows(oh), w in columns(ow)",
        "rows(i) = floor(i H / OH), ..., ceil((i + 1) H / OH) - 1",
    ),
    L.AdaptiveMaxPool2d: (
        "y[n, c, oh, ow] = max of x[n, c, h, w] over h in rows(oh), w in columns(ow)",
        "rows(i) = floor(i H / OH), ..., ceil((i + 1) H / OH) - 1",
    ),
    L.BatchNorm1d: (f"{_NORM},  with mean and var over n and all places", _AFFINE),
    L.BatchNorm2d: (f"{_NORM},  with mean and var over n, h, w", _AFFINE),
    L.InstanceNorm2d: (f"{_NORM},  with mean and var over h, w of each image", _AFFINE),
    L.GroupNorm: (f"{_NORM},  with mean and var over the channels of a group, h, w", _AFFINE),
    L.LayerNorm: (f"{_NORM},  with mean and var over the last axes", "y = w xhat + b"),
    L.LocalResponseNorm: (
        "d[n, c] = k + (alpha / size) sum of x[n, j]^2 over the `size` channels j around c",
        "y[n, c] = x[n, c] / d[n, c]^beta",
    ),
    L.ReLU: ("y = max(x, 0)",),
    L.LeakyReLU: ("y = x where x > 0, else negative_slope x",),
    L.PReLU: ("y[n, c] = max(x[n, c], 0) + w[c] min(x[n, c], 0)",),
    L.Sigmoid: ("y = 1 / (1 + exp(-x))",),
    L.Tanh: ("y = tanh x",),
    L.ELU: ("y = x where x > 0, else alpha (exp(x) - 1)",),
    L.SELU: ("y = 1.0507 x where x > 0, else 1.0507 * 1.6733 (exp(x) - 1)",),
    L.GELU: (
        "y = x Phi(x), with Phi(x) = (1 + erf(x / sqrt(2))) / 2",
        "for approximate='tanh': Phi(x) = (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2",
    ),
    L.SiLU: ("y = x s(x), with s(x) = 1 / (1 + exp(-x))",),
    L.Mish: ("y = x tanh(log(1 + exp(x)))",),
    L.Hardswish: ("y = x min(max(x + 3, 0), 6) / 6",),
    L.Softplus: ("y = log(1 + exp(beta x)) / beta; y = x where beta x > threshold",),
    L.Softmax: ("y[k] = exp(x[k]) / sum_j exp(x[j])",),
    L.LogSoftmax: ("y[k] = x[k] - log sum_j exp(x[j])",),
    L.ZeroPad2d: ("y[n, c, h + top, w + left] = x[n, c, h, w], and 0 elsewhere",),
    L.ReflectionPad2d: (
        "y[n, c, h, w] = x[n, c, r(h - top, H), r(w - left, W)]",
        "r(i, n) = n - 1 - | n - 1 - |i| |",
    ),
    L.ReplicationPad2d: (
        "y[n, c, h, w] = x[n, c, e(h - top, H), e(w - left, W)]",
        "e(i, n) = min(max(i, 0), n - 1)",
    ),
    L.Upsample: (
        "nearest:  y[n, c, oh, ow] = x[n, c, floor(oh / s), floor(ow / s)]",
        "bilinear: y[n, c, oh, ow] = sum_{h, w} R[oh, h] x[n, c, h, w] C[ow, w]",
        "          R[oh, h] = max(0, 1 - |u - h|), with u = (oh + 1/2) / s - 1/2",
    ),
    L.Add: ("y = x_0 + x_1 + ...",),
    L.Multiply: ("y = x_0 * x_1 * ...",),
    L.Concatenate: ("y = [x_0, x_1, ...]",),
    M.Residual: ("y = body(x) + shortcut(x)",),
    M.Concat: ("y = [b_0(x), b_1(x), ...] along the channels",),
    M.SqueezeExcite: ("y[n, c, h, w] = s[n, c] x[n, c, h, w], with gates s of the channels' means",),
    M.Sequential: (),
    M.Graph: ("y_v = f_v(y_u for u in inputs of v)",),
}

BACKWARD: dict[type, tuple[str, ...]] = {
    L.Conv2d: (
        "dx[n, c, h, w] = sum of dy[n, o, oh, ow] w[o, c, i, j]",
        "                 over all o, oh sh + i dh == h + top, ow sw + j dw == w + left",
        "dw[o, c, i, j] = sum_{n, oh, ow} dy[n, o, oh, ow] x[n, c, oh sh + i dh, ow sw + j dw]",
        "db[o] = sum_{n, oh, ow} dy[n, o, oh, ow]",
    ),
    L.Conv1d: (
        "dx[n, c, m] = sum of dy[n, o, l] w[o, c, i] over all o, l s + i d == m + left",
        "dw[o, c, i] = sum_{n, l} dy[n, o, l] x[n, c, l s + i d]",
        "db[o] = sum_{n, l} dy[n, o, l]",
    ),
    L.ConvTranspose2d: (
        "dx[n, c, h, w] = sum_{o, i, j} dy[n, o, h sh + i dh, w sw + j dw] w[c, o, i, j]",
        "dw[c, o, i, j] = sum_{n, h, w} x[n, c, h, w] dy[n, o, h sh + i dh, w sw + j dw]",
        "db[o] = sum_{n, oh, ow} dy[n, o, oh, ow]",
    ),
    L.Linear: (
        "dx[n, i] = sum_o dy[n, o] w[o, i]",
        "dw[o, i] = sum_n dy[n, o] x[n, i],  db[o] = sum_n dy[n, o]",
    ),
    L.Flatten: ("dx[n, c, h, w] = dy[n, (c H + h) W + w]",),
    L.Dropout: ("dx[i] = m[i] dy[i] / (1 - p)",),
    L.Dropout2d: ("dx[n, c, h, w] = m[n, c] dy[n, c, h, w] / (1 - p)",),
    L.MaxPool2d: ("dx[n, c, h, w] = sum of dy[n, c, oh, ow] over the windows whose maximum lies at (h, w)",),
    L.AvgPool2d: ("dx[n, c, h, w] = sum of dy[n, c, oh, ow] / count[oh, ow] over the windows that cover (h, w)",),
    L.GlobalAvgPool2d: ("dx[n, c, h, w] = dy[n, c] / (H W)",),
    L.GlobalMaxPool2d: ("dx[n, c, h, w] = dy[n, c] where the first maximum of the channel lies, else 0",),
    L.AdaptiveAvgPool2d: (
        "dx[n, c, h, w] = sum of dy[n, c, oh, ow] / (size of the window) over windows that cover (h, w)",
    ),
    L.AdaptiveMaxPool2d: ("dx[n, c, h, w] = sum of dy[n, c, oh, ow] over the windows whose maximum lies at (h, w)",),
    L.BatchNorm1d: (_NORM_BACK, _AFFINE_BACK),
    L.BatchNorm2d: (_NORM_BACK, _AFFINE_BACK),
    L.InstanceNorm2d: (_NORM_BACK, _AFFINE_BACK),
    L.GroupNorm: (_NORM_BACK, _AFFINE_BACK),
    L.LayerNorm: (_NORM_BACK, "dw = sum_n dy xhat,  db = sum_n dy"),
    L.LocalResponseNorm: (
        "dx[n, c] = dy[n, c] d[n, c]^-beta",
        "           - (2 alpha beta / size) x[n, c] sum_j dy[n, j] x[n, j] d[n, j]^(-beta - 1)",
    ),
    L.ReLU: ("dx = dy where y > 0, else 0",),
    L.LeakyReLU: ("dx = dy where x > 0, else negative_slope dy",),
    L.PReLU: ("dx = dy (1 if x > 0 else w[c])", "dw[c] = sum_{n, p} dy[n, c, p] min(x[n, c, p], 0)"),
    L.Sigmoid: ("dx = dy y (1 - y)",),
    L.Tanh: ("dx = dy (1 - y^2)",),
    L.ELU: ("dx = dy where x > 0, else alpha exp(x) dy",),
    L.SELU: ("dx = 1.0507 dy where x > 0, else 1.0507 * 1.6733 exp(x) dy",),
    L.GELU: ("dx = dy (Phi(x) + x phi(x)), where phi is the derivative of Phi",),
    L.SiLU: ("dx = dy s(x) (1 + x (1 - s(x)))",),
    L.Mish: ("dx = dy (t + x (1 - t^2) s(x)), with t = tanh(log(1 + exp(x)))",),
    L.Hardswish: ("dx = 0 where x < -3, dy where x > 3, else dy (2 x + 3) / 6",),
    L.Softplus: ("dx = dy / (1 + exp(-beta x)); dx = dy where beta x > threshold",),
    L.Softmax: ("dx[k] = y[k] (dy[k] - sum_j dy[j] y[j])",),
    L.LogSoftmax: ("dx[k] = dy[k] - exp(y[k]) sum_j dy[j]",),
    L.ZeroPad2d: ("dx[n, c, h, w] = dy[n, c, h + top, w + left]",),
    L.ReflectionPad2d: ("dx[n, c, h, w] = sum of dy over the pixels that show (h, w)",),
    L.ReplicationPad2d: ("dx[n, c, h, w] = sum of dy over the pixels that show (h, w)",),
    L.Upsample: ("dx[n, c, h, w] = sum_{oh, ow} R[oh, h] dy[n, c, oh, ow] C[ow, w]",),
    L.Add: ("dx_i = dy",),
    L.Multiply: ("dx_i = dy prod_{j != i} x_j, summed over the axes along which x_i was stretched",),
    L.Concatenate: ("dy = [dx_0, dx_1, ...]",),
    M.Residual: ("dx = body'(dy) + shortcut'(dy)",),
    M.Concat: ("dx = sum_i b_i'(part i of dy)",),
    M.SqueezeExcite: ("dx = s[n, c] dy + the gradient that comes through the gates",),
    M.Sequential: (),
    M.Graph: ("dL/dy_u = sum over the users v of u of (df_v/dy_u)' dL/dy_v",),
}

LOSS: dict[type, tuple[str, ...]] = {
    L.SoftmaxCrossEntropy: (
        "p[k] = exp(x[k]) / sum_j exp(x[j]),  L = -(1/D) sum_{n, k} v[k] q[n, k] log p[n, k]",
        "dx[n, k] = (1/D) (p[n, k] sum_j v[j] q[n, j] - v[k] q[n, k]); without weights (p - q) / N",
    ),
    L.NLLLoss: (
        "L = -(1/D) sum_n v[t[n]] x[n, t[n]],  D = sum_n v[t[n]]",
        "dx[n, k] = -(1/D) v[k] q[n, k]",
    ),
    L.FocalLoss: (
        "L = (1/D) sum_n alpha_t u^gamma c,  with u = 1 - p_t and c = -log p_t",
        "dx[n, k] = (1/D) dFL/dc (p[n, k] - q[n, k])",
        "dFL/dc = alpha_t (u^gamma + gamma u^(gamma - 1) p_t c)",
    ),
    L.MSE: ("L = (1/D) sum_i (x[i] - t[i])^2", "dx[i] = (2/D) (x[i] - t[i])"),
    L.L1Loss: ("L = (1/D) sum_i |x[i] - t[i]|", "dx[i] = (1/D) sign(x[i] - t[i])"),
    L.HuberLoss: (
        "L = (1/D) sum_i f(e[i]),  f(e) = e^2 / 2 if |e| <= delta else delta (|e| - delta / 2)",
        "dx[i] = (1/D) (e[i] clipped to [-delta, delta])",
    ),
    L.SmoothL1Loss: (
        "L = (1/D) sum_i f(e[i]),  f(e) = e^2 / (2 beta) if |e| < beta else |e| - beta / 2",
        "dx[i] = (1/D) (e[i] / beta clipped to [-1, 1])",
    ),
    L.BCEWithLogitsLoss: (
        "l = -v (u t log s(x) + (1 - t) log s(-x)),  s(x) = 1 / (1 + exp(-x)),  L = (1/D) sum l",
        "dl/dx = v ((1 - t) s(x) - u t s(-x))",
    ),
    L.SigmoidFocalLoss: (
        "l = a u^gamma c,  with c = -log p_t and u = 1 - p_t,  L = (1/D) sum l",
        "dl/dx = -a u^gamma (u + gamma p_t c) for yes, the same in -x for no",
    ),
}

UPDATE: dict[type, tuple[str, ...]] = {
    O.SGD: ("v <- momentum v + g;  p <- p - lr v",),
    O.Adam: (
        "m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2",
        "p <- p - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)",
    ),
}
