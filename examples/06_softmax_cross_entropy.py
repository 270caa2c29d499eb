"""
Softmax and cross-entropy: why the two are one function.

    python examples/06_softmax_cross_entropy.py [--plot FILE.png]

1. The loss of an answer that the network is more and more sure of. By the textbook, exp(x) / sum(exp(x)) and then
   -log(p), it ends as inf and nan: exp(1000) is too large for a float. With the largest score taken off first, as
   deepnet does, p is right, but -log(p) is inf as soon as p rounds to 0. log_softmax never forms p: a score of 1e4
   costs 1e4.
2. The gradient of the scores is (p - onehot) / N: what was answered minus what was right. It agrees with difference
   quotients, and stays right where the long way, through the gradient of -log(p), divides by zero.
"""

import numpy as np
from _show import options, picture, table

from xpcnn import ops


def textbook(scores, label):
    e = np.exp(scores)
    return -np.log(e[label] / e.sum())


def shifted(scores, label):
    """deepnet's: a stable softmax, then the logarithm of the probability."""
    e = np.exp(scores - scores.max())
    return -np.log((e / e.sum())[label])


def together(scores, label):
    return float(ops.softmax_cross_entropy(scores[None], np.asarray([label]))[0])


def long_way(scores, labels):
    """The gradient of -log(p) at p, handed through the softmax."""
    p = ops.softmax(scores)
    dp = np.zeros_like(p)
    rows = np.arange(len(labels))
    dp[rows, labels] = -1.0 / p[rows, labels] / len(labels)
    return ops.softmax_backward(dp, p)


def difference_quotients(scores, labels, epsilon=1e-5):
    gradient = np.zeros_like(scores)
    for index in np.ndindex(*scores.shape):
        step = np.zeros_like(scores)
        step[index] = epsilon
        above, _ = ops.softmax_cross_entropy(scores + step, labels)
        below, _ = ops.softmax_cross_entropy(scores - step, labels)
        gradient[index] = (above - below) / (2 * epsilon)
    return gradient


def main():
    plot = options(__doc__).parse_args().plot
    np.seterr(all="ignore")  # the point is what comes out

    print("1. The loss of scores (s, 0)")
    ways = {"textbook": textbook, "-log(p)": shifted, "log_softmax": together}
    rows = []
    for s, right in ((1.0, 1), (10.0, 1), (100.0, 1), (1e3, 1), (1e4, 1), (1e4, 0)):
        scores = np.asarray([s, 0.0])
        losses = (loss(scores, right) for loss in ways.values())
        rows.append((f"{s:g}", "second" if right else "first", *(f"{loss + 0.0:.6g}" for loss in losses)))
    table(["s", "right class", *ways], rows)
    print("Only the last column is right everywhere.")

    print("\n2. The gradient of the scores")
    scores = np.random.default_rng(0).normal(size=(3, 4))
    labels = np.asarray([2, 0, 3])
    _, gradient = ops.softmax_cross_entropy(scores, labels)
    p, onehot = ops.softmax(scores), np.eye(4)[labels]
    for name, array in (("p", p), ("onehot", onehot), ("gradient", gradient)):
        print(f"{name}\n{array.round(4)}")
    print(f"largest difference from (p - onehot) / N: {np.abs(gradient - (p - onehot) / 3).max():.1e}")
    error = np.abs(gradient - difference_quotients(scores, labels)).max()
    print(f"largest difference from difference quotients: {error:.1e}")
    print(f"largest difference from the long way: {np.abs(gradient - long_way(scores, labels)).max():.1e}")
    sure = np.asarray([[1e4, 0.0]])
    print("scores 10000, 0, where the second class is right")
    print("  gradient:     ", ops.softmax_cross_entropy(sure, np.asarray([1]))[1][0])
    print("  the long way: ", long_way(sure, np.asarray([1]))[0])

    def draw(figure):
        left, right = figure.subplots(1, 2)
        points = np.linspace(0.0, 1500.0, 301)
        for (name, loss), style in zip(ways.items(), ("-", "--", ":"), strict=True):
            values = np.asarray([loss(np.asarray([s, 0.0]), 1) for s in points])
            last = points[np.isfinite(values)][-1]
            end = "" if last == points[-1] else f", ends at {last:.0f}"
            left.plot(points, values, style, linewidth=7 - 2 * len(left.lines), label=name + end)
        left.set(title="A wrong answer, surer and surer", xlabel="score s of the wrong class", ylabel="loss in nats")
        left.legend()
        places = np.arange(4)
        right.bar(places - 0.25, p[0], 0.25, label="p, the answer")
        right.bar(places, onehot[0], 0.25, label="onehot, the truth")
        right.bar(places + 0.25, 3 * gradient[0], 0.25, label="p - onehot, the gradient")
        right.axhline(0.0, color="black", linewidth=0.8)
        right.set(title="The gradient of one sample", xlabel="class", ylabel="probability, and difference of two")
        right.set_xticks(places)
        right.legend()

    picture(plot, draw)


if __name__ == "__main__":
    main()
