"""Bugs in the kernels for NumPy arrays, and where these are called."""

from tests.mutants.mutant import Mutant

TESTS = "tests/backend/cpu/test_"


def cpu(file: str, bug: str, old: str, new: str, tests: str) -> Mutant:
    return Mutant(bug, f"backend/cpu/{file}.py", old, new, TESTS + tests)


MUTANTS = [
    # tiles
    cpu("tiles", "tiles: an input that the backward pass needs is written over",
        "if node.in_place and i and values[i] is None else None", "if node.in_place and i else None",
        "tiles.py tests/models/test_tiled.py -k frozen_norm"),
    cpu("elementwise", "tiles: the sums of a lane are lost", "        for other in others:", "        for other in others[1:]:",
        "tiles.py -k lanes"),
    cpu("tiles", "tiles: of a lane's tiles the last one stays", "total += part", "total[...] = part", "tiles.py -k lanes"),
    cpu("tiles", "tiles: a gradient that was given is written over", "own = False  # dy", "own = True  # dy",
        "memory.py -k given_are_not_written"),
    cpu("tiles", "tiles: random draws of every tile begin with the batch", "Tile(start, train, keys[i])",
        "Tile(0, train, keys[i])", "nodes.py -k test_dropout"),
    # memory and threads
    cpu("memory", "memory: a block at which one array looks is given out",
        "if sys.getrefcount(block) == _ALONE:\n                    return",
        "if sys.getrefcount(block) <= _ALONE + 1:\n                    return", "memory.py -k share_nothing"),
    cpu("memory", "memory: the arena of a model inside another one is its own", "_here.arena = before or self",
        "_here.arena = self", "memory.py -k arena"),
    cpu("threads", "threads: after an exception the parts go on",
        "            tickets = itertools.count(parts)\n            raise", "            raise",
        "threads.py -k ends_the_work"),
    cpu("threads", "threads: a child lets go of what its parent held", "_let_go(state)\n", "_let_go(_state)\n",
        "threads.py -k can_hold_again"),
    cpu("threads", "threads: a helper holds the arrays of work that is over", "            job.clear()", "            pass",
        "memory.py -k grow"),
    # nodes
    cpu("nodes", "dropout of tiles: the place in the batch forgotten", "start=(key.first + tile.first) * count",
        "start=key.first * count", "nodes.py -k dropout"),
    cpu("nodes", "max pool of tiles: of equal entries the last wins", "np.greater(entry, y, out=better)",
        "np.greater_equal(entry, y, out=better)", "nodes.py -k few_different"),
    cpu("nodes", "relu of tiles: NaN lets no gradient through", "np.not_equal(y, 0.0, out=on)",
        "np.greater(y, 0.0, out=on)", "nodes.py -k special"),
    cpu("nodes", "max pool of pairs: of equal columns the right one wins", "np.greater(right, left,",
        "np.greater_equal(right, left,", "nodes.py tests/models/test_tiled.py -k first_of_equal"),
    cpu("nodes", "max pool of pairs: NaN below loses", "kept[:, 2 * self.rows :] |= np.isnan(lower)", "pass",
        "nodes.py tests/models/test_tiled.py -k pooling_of_what_is_not_finite"),
    cpu("nodes", "max pool of pairs: the gradient at an odd column is not zeroed",
        "if self.shape[0] % 2 or self.shape[1] % 2:", "if self.shape[0] % 2:", "nodes.py -k no_window"),
    cpu("norm", "norm of tiles: variance of the tiles' means forgotten", "counts * (means - mean) ** 2", "0.0 * counts",
        "ops.py -k test_batch_norm"),
    cpu("sums", "sums of tiles: the rows left over are lost",
        "    if left:\n        total += np.add.reduce(rows[parts * BLOCK",
        "    if left < 0:\n        total += np.add.reduce(rows[parts * BLOCK", "ops.py -k test_batch_norm"),
    # convolution
    cpu("winograd", "winograd: the gradient's filters are not turned", "_ORDER, _TURNED = (0, 3), (3, 0)",
        "_ORDER, _TURNED = (0, 3), (0, 3)", "winograd.py -k adjoint"),
    cpu("winograd", "winograd: of a tile's pieces the last one stays", "out += into", "out[...] = into",
        "winograd.py -k adjoint"),
    cpu("winograd", "winograd: of many channels the last ones stay", "products += more", "products[...] = more",
        "winograd.py -k inexact"),
    cpu("windows", "windows of tiles: a tap meets that of the next window",
        "taps = min(s, self.wide - j)", "taps = self.wide - j if j else s", "windows.py"),
    cpu("windows", "windows of tiles: what stood in the border is not zeroed",
        "    out[...] = 0.0  # one long operation is better than four", "    # one long operation is better than four",
        "windows.py"),
    cpu("windows", "windows of tiles: rows as long as without their border", "row = width * c * b",
        "row = self.image[1] * c * b", "windows.py"),
    cpu("products", "products in parts: the columns left over are not computed",
        "part = slice(n * i // parts, n * (i + 1) // parts)", "part = slice(n // parts * i, n // parts * (i + 1))",
        "products.py"),
    cpu("elementwise", "sums in parts: float64 is cut off to float32", " or a.dtype != b.dtype", "", "elementwise.py"),
    # kernels behind ops
    cpu("ops", "kernels: statistics of a constant channel divide by zero", "run = _norm(_images(x.shape), 1.0, False, x.dtype)",
        "run = _norm(_images(x.shape), 0.0, False, x.dtype)", "ops.py -k constant"),
    cpu("ops", "kernels: dropout begins with the first sample of all", "x, {}, key=key,", "x, {}, key=key.at(0),",
        "ops.py -k dropout"),
    # updates
    cpu("update", "update: pieces count their steps together", "else value.copy() for slot", "else value for slot",
        "update.py -k counts_are"),
    cpu("update", "update: arrays that share memory are cut", " or not _apart(items):", ":", "update.py -k backwards"),
    Mutant("update: a rule that inherits is cut unasked", "optimizers/base.py", 'vars(type(self)).get("elementwise")',
           "self.elementwise", TESTS + "update.py -k inherits"),
    # where they are called
    Mutant("plans: a node is made of a shape that does not fit", "models/tiled.py",
           "                out = layer.output_shape(shape)  # no node is made of a shape that does not fit\n"
           "                node = _node(layer, shape, dtype, train, single)\n",
           "                node = _node(layer, shape, dtype, train, single)\n"
           "                out = layer.output_shape(shape)\n", "tests/models/test_tiled.py -k wrong_inputs"),
    Mutant("plans: inference has the plan of training", "models/tiled.py",
           "key = (x.shape[1:], x.dtype, train, single, *settings)", "key = (x.shape[1:], x.dtype, single, *settings)",
           "tests/models/test_tiled.py -k in_place_in_a_row or of_one_layer or setting_changed"),
    Mutant("explain: bytes of the smallest tile", "models/execution.py", "segment.run.bytes * sizes[-1]",
           "segment.run.bytes * sizes[0]", "tests/models/test_execution.py -k bytes"),
    Mutant("explain: layers in the network's order, nodes in theirs", "models/execution.py",
           "zip(segment.order, segment.run.nodes, strict=True)", "zip(segment.names, segment.run.nodes, strict=True)",
           "tests/models/test_execution.py -k in_the_order"),
    Mutant("threads option: the number from before is forgotten", "cli/app.py", "before = xpcnn.get_num_threads()",
           "before = None", "tests/cli/test_threads.py -k given_back"),
    Mutant("step: the output of another batch is taken for this one's", "training/trainer.py",
           "kind = tuple(x.shape), x.dtype", "kind = tuple(x.shape[1:]), x.dtype",
           "tests/training/test_trainer.py -k test_fit_is_steps"),
    Mutant("step: only the first batch's labels are checked", "training/trainer.py",
           "            self.loss.check(self._outputs[kind], y)\n", "            pass\n",
           "tests/training/test_trainer.py -k later_steps"),
    # batch norm folded into the convolution before it
    cpu("norm", "folded norm: the mean is not scaled", 'params.get("bias", 0.0) - gain * mean',
        'params.get("bias", 0.0) - mean', "tiles.py tests/models/test_tiled.py -k fold"),
    cpu("conv", "folded norm: the convolution's bias is not scaled", "shift if b is None else shift + scale * b",
        "shift if b is None else shift + b", "tiles.py tests/models/test_tiled.py -k fold"),
    cpu("conv", "folded norm: outputs are scaled behind the bias",
        "                rows *= shared.gain\n            rows += shared.bias",
        "                rows += shared.bias\n            rows *= 1.0 if shared.gain is None else shared.gain",
        "tiles.py tests/models/test_tiled.py -k fold"),
]
