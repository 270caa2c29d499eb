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
              "xp.asarray(sum(xp.sum(g * g) for g in grads.values()))",
              "xp.asarray(max((xp.sum(g * g) for g in grads.values()), key=float))",
              "tests/optimizers/test_base.py " + TORCH),
    optimizer("base", "weight decay: biases are not spared", "if self.decay_bias_and_norm or p.ndim >= 2 else 0.0",
              "if self.decay_bias_and_norm or p.ndim >= 1 else 0.0", "tests/optimizers"),
    Mutant(
        "radam: rectified a step too early", "optimizers/radam.py",
        "xp.asarray(rho > 5.0)",
        "xp.asarray(rho > 4.0)",
        "tests/optimizers/test_torch_answers.py -k recorded",
    ),
    Mutant(
        "nadam: momentum of this step for that of the next", "optimizers/nadam.py",
        "mu_next / (1.0 - product * mu_next) * m",
        "mu_next / (1.0 - product) * m",
        "tests/optimizers/test_torch_answers.py -k recorded",
    ),
    Mutant(
        "lars: weight decay left out of the trust ratio", "optimizers/lars.py",
        "(size_g + self.decay_of(p) * size_p + self.eps)",
        "(size_g + self.eps)",
        "tests/optimizers/test_torch_answers.py -k recorded",
    ),
    Mutant(
        "muon: scaled by the axes of the array, not of the matrix", "optimizers/muon.py",
        "scale = math.sqrt(max(1.0, rows / columns))",
        "scale = math.sqrt(max(1.0, p.shape[0] / p.shape[1]))",
        "tests/optimizers/test_muon.py",
    ),
    Mutant(
        "slots: a path's name ends at its first slash", "optimizers/base.py",
        'name, _, slot = path.rpartition("/")', 'name, _, slot = path.partition("/")', "tests/optimizers/test_slots.py",
    ),
    Mutant(
        "slots: a schedule's counts are not among them", "optimizers/schedules/warmup.py",
        'return {"lr": self.lr} if isinstance(self.lr, Schedule) else {}', "return {}", "tests/optimizers/test_slots.py",
    ),
    Mutant(
        "slots: gradients that wait are left out", "optimizers/accumulate.py",
        '{**{f"sums/{name}": a for name, a in self._sums.items()}, **super().slots()}', "super().slots()",
        "tests/optimizers/test_slots.py",
    ),
    Mutant(
        "slots: what is loaded is shared", "optimizers/settings.py",
        "copies[path] = array_namespace(a).asarray(a, copy=True)", "copies[path] = a", "tests/optimizers/test_slots.py",
    ),
    Mutant(
        "slots: what has no place is left out", "optimizers/settings.py",
        "if self.slots().keys() != copies.keys():", "if False:", "tests/optimizers/test_slots.py",
    ),
    Mutant(
        "slots: half of what is refused stays", "optimizers/settings.py",
        "            self.take(*before)\n", "            pass\n", "tests/optimizers/test_slots.py",
    ),
    Mutant(
        "accumulation: a flush of old gradients is left over", "optimizers/accumulate.py",
        "kept[...] = g",
        "kept += g",
        "tests/optimizers/test_accumulate.py",
    ),
    Mutant(
        "ema: an error leaves the averages in the model", "optimizers/ema.py",
        "        finally:\n            self._put(model, own)",
        "        finally:\n            pass\n        self._put(model, own)",
        "tests/optimizers/test_ema.py",
    ),
    Mutant(
        "plateau: bad epochs count while it cools down", "optimizers/schedules/plateau.py",
        "self._cooling, self._bad = self._cooling - 1, 0",
        "self._cooling = self._cooling - 1",
        "tests/optimizers/test_schedules.py",
    ),
    Mutant(
        "orthogonal: signs not fixed", "layers/initializers/matrices.py",
        "xp.where(diagonal < 0.0, -gain, gain)",
        "gain",
        "tests/layers/test_initializers.py",
    ),
]
