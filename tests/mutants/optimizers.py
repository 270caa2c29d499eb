"""Bugs in optimizers, schedules and initializers."""

from tests.mutants.mutant import Mutant

TORCH = "tests/optimizers/test_torch_answers.py"


def optimizer(file: str, bug: str, old: str, new: str, tests: str = TORCH) -> Mutant:
    return Mutant(bug, f"optimizers/{file}.py", old, new, tests)


MUTANTS = [
    optimizer("sgd", "sgd: momentum inverted", "v *= rule.momentum", "v *= 1.0 - rule.momentum"),
    optimizer("sgd", "sgd: dampening the wrong way", "v += (1.0 - rule.dampening) * g", "v += rule.dampening * g"),
    optimizer("sgd", "sgd: the first gradient is damped", 'state["momentum_buffer"] = array_namespace(p).asarray(g, copy=True)',
              'state["momentum_buffer"] = (1.0 - self.dampening) * g'),
    optimizer("sgd", "sgd: nesterov looks back", "return g + rule.momentum * state", "return g - rule.momentum * state"),
    optimizer("adam", "adam: epsilon inside of the root", "m / (root + self.eps)", "m / xp.sqrt(root * root + self.eps)"),
    optimizer("adam", "adam: second moment not corrected", "root = xp.sqrt(v) / xp.sqrt(bias_correction(beta2, step))",
              "root = xp.sqrt(v)"),
    optimizer("adam", "adam: the step counts from 0", "step += 1.0", "step += 0.0 if not step else 1.0"),
    optimizer("adam", "adam: amsgrad forgets the largest", "largest[...] = xp.maximum(largest, v)", "largest[...] = v"),
    optimizer("clipping", "clipping: every array by its own norm, not by the common one",
              "norm = xp.sqrt(sum(xp.sum(g * g) for g in grads.values()))",
              "norm = xp.sqrt(max((xp.sum(g * g) for g in grads.values()), key=float))",
              "tests/optimizers/test_base.py " + TORCH),
    optimizer("base", "weight decay: biases are not spared", "if self.decay_bias_and_norm or p.ndim >= 2 else 0.0",
              "if self.decay_bias_and_norm or p.ndim >= 1 else 0.0", "tests/optimizers"),
]
