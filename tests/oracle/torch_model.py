"""What PyTorch says to a case: the same layer, built from the same arguments, in float64 through autograd."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from xpcnn import layers as L
from xpcnn import models as M

torch.set_num_threads(1)


def tensor(a):
    return torch.from_numpy(np.array(a))


class Padded(nn.Module):
    """A layer behind torch.nn.functional.pad, for paddings of four numbers."""

    def __init__(self, inner, padding, value):
        super().__init__()
        self.inner, self.padding, self.value = inner, padding, value

    def forward(self, x):
        return self.inner(F.pad(x, self.padding, value=self.value))


class Cropped(nn.Module):
    """A layer whose output loses (left, right, top, bottom)."""

    def __init__(self, inner, padding):
        super().__init__()
        self.inner, self.padding = inner, padding

    def forward(self, x):
        return F.pad(self.inner(x), [-p for p in self.padding])


class Global(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


class GlobalMax(nn.Module):
    def forward(self, x):
        return F.adaptive_max_pool2d(x, 1).flatten(1)


class Sum(nn.Module):
    def __init__(self, body, shortcut=None):
        super().__init__()
        self.body = body
        if shortcut is not None:
            self.shortcut = shortcut

    def forward(self, x):
        return self.body(x) + (self.shortcut(x) if hasattr(self, "shortcut") else x)


class Side(nn.Module):
    def __init__(self, *branches):
        super().__init__()
        for i, branch in enumerate(branches):
            self.add_module(str(i), branch)

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.children_in_order()], 1)

    def children_in_order(self):
        return self._modules.values()


class Merged(nn.Module):
    """A function of several tensors."""

    def __init__(self, function, **args):
        super().__init__()
        self.function, self.args = function, args

    def forward(self, xs):
        return self.function(xs, **self.args)


class Split(nn.Module):
    """A function of several tensors behind a cut of one into these."""

    def __init__(self, inner, shapes):
        super().__init__()
        self.inner, self.shapes = inner, shapes

    def forward(self, x):
        parts = x.split([math.prod(shape) for shape in self.shapes], 1)
        return self.inner([p.reshape(-1, *shape) for p, shape in zip(parts, self.shapes, strict=True)])


class Dag(nn.Module):
    """Nodes that ask those before them for what they need, each once."""

    def __init__(self, *parts, nodes, output=None, inputs="input"):
        super().__init__()
        for name, part in zip(nodes, parts, strict=True):
            self.add_module(name, part)
        self.nodes, self.input, self.output = nodes, inputs, output or list(nodes)[-1]

    def forward(self, x):
        values = {self.input: x}

        def value(name):
            if name not in values:
                found = [value(source) for source in self.nodes[name]]
                module = getattr(self, name)
                values[name] = module(found if isinstance(module, Merged) else found[0])
            return values[name]

        return value(self.output)


class Gated(nn.Module):
    def __init__(self, in_channels, squeeze_channels=None, activation=None, scale_activation=None):
        super().__init__()
        width = squeeze_channels or max(in_channels // 16, 1)
        self.fc1, self.fc2 = nn.Conv2d(in_channels, width, 1), nn.Conv2d(width, in_channels, 1)
        self.activation, self.scale = activation or nn.ReLU(), scale_activation or nn.Sigmoid()

    def forward(self, x):
        return x * self.scale(self.fc2(self.activation(self.fc1(F.adaptive_avg_pool2d(x, 1)))))


def merged(function):
    return lambda **args: Merged(function, **args)


# those that torch.nn does not have under our name
MODULES = {
    L.Add: merged(lambda xs: sum(xs)),
    L.Concatenate: merged(lambda xs, dim=1: torch.cat(xs, dim)),
    L.GlobalAvgPool2d: Global,
    L.GlobalMaxPool2d: GlobalMax,
    L.Multiply: merged(lambda xs: math.prod(xs)),
    M.Concat: Side,
    M.Graph: Dag,
    M.Residual: Sum,
    M.SqueezeExcite: Gated,
}


def four(args):
    padding = args.get("padding", 0)
    return isinstance(padding, tuple) and len(padding) == 4


def border(cls, args):
    """A padding that the torch module does not take, in the order of torch.nn.functional.pad; else None."""
    padding = args.get("padding", 0)
    if cls is L.ConvTranspose2d and isinstance(padding, str):
        if padding == "valid":
            return (0, 0, 0, 0)
        kernel, dilation = np.broadcast_to(args["kernel_size"], 2), np.broadcast_to(args.get("dilation", 1), 2)
        high, wide = (int(d * (k - 1)) for k, d in zip(kernel, dilation, strict=True))
        return (wide // 2, wide - wide // 2, high // 2, high - high // 2)
    pair = cls is L.Conv1d and isinstance(padding, tuple)
    return padding if pair or four(args) else None


def build(case, built=None):
    """The torch module of a case."""
    built = {} if built is None else built
    if id(case) not in built:
        parts = [build(part, built) for part in case.parts]
        args = {k: build(v, built) if hasattr(v, "cls") else v for k, v in case.args.items() if k != "init"}
        module = _build(case.cls, parts, args).double()
        built[id(case)] = Split(module, case.shapes) if hasattr(case, "shapes") else module
    return built[id(case)]


def _build(cls, parts, args):
    if cls in (L.ZeroPad2d, L.ReflectionPad2d, L.ReplicationPad2d):
        return getattr(nn, cls.__name__)(**args)
    outside = border(cls, args)
    if outside is not None:
        inner = _build(cls, parts, args | {"padding": 0})
        if cls is L.ConvTranspose2d:
            return Cropped(inner, outside)
        return Padded(inner, outside, -np.inf if cls is L.MaxPool2d else 0.0)
    module = MODULES.get(cls) or getattr(nn, cls.__name__)
    return module(*parts, **args)


def expressible(case) -> bool:
    """Whether PyTorch has this at all: it takes no four numbers together with ceil_mode, nor draws our masks."""
    inner = [*case.parts, *(v for v in case.args.values() if hasattr(v, "cls"))]
    if case.cls in (L.Dropout, L.Dropout2d):
        return case.args["p"] in (0.0, 1.0)
    pool = four(case.args) and case.cls in (L.MaxPool2d, L.AvgPool2d)
    if pool and (case.args.get("ceil_mode") or not case.args.get("count_include_pad", True)):
        return False
    return all(map(expressible, inner))


def answer(case, x, dy, params, buffers, train=True) -> dict[str, np.ndarray]:
    """Output, gradients and buffers of a training step, or the output of inference, by our names."""
    module = build(case)
    names = {n.replace("inner.", ""): t for n, t in [*module.named_parameters(), *module.named_buffers()]}
    with torch.no_grad():
        for name, value in (params | buffers).items():
            names[name].copy_(tensor(value))
    module.train(train)
    x = tensor(x).requires_grad_()
    y = module(x)
    if not train:
        return {"y": y.detach().numpy()}
    wanted = {name: names[name] for name in params}
    grads = torch.autograd.grad(y, [x, *wanted.values()], tensor(dy), allow_unused=True)
    grads = [torch.zeros_like(t) if g is None else g for g, t in zip(grads, [x, *wanted.values()], strict=True)]
    out = {"y": y.detach(), "dx": grads[0], **{f"d {n}": g for n, g in zip(wanted, grads[1:], strict=True)}}
    out |= {name: names[name].detach() for name in buffers}
    return {name: t.numpy().copy() for name, t in out.items()}


def tensors(args):
    """Weights as tensors."""
    named = ("weight", "pos_weight", "alpha")
    return {n: torch.tensor(v, dtype=torch.float64) if n in named and v is not None else v for n, v in args.items()}


def cross_entropy(z, target, args):
    args = tensors(args)
    if not target.is_floating_point():
        target = target.long()
    else:
        args.pop("ignore_index", None)
    return F.cross_entropy(z, target, **args)


def focal(z, target, args):
    """The paper's equation 5 on torch's own cross-entropy, for autograd to derive."""
    ignore, alpha = args.get("ignore_index", -100), tensors(args).get("alpha")
    counted = (target != ignore).double()
    log_pt = -F.cross_entropy(z, target.long(), ignore_index=ignore, reduction="none")
    weight = counted if alpha is None else counted * alpha[target.long().where(target != ignore, 0)]
    loss = -weight * (1.0 - log_pt.exp()) ** args.get("gamma", 2.0) * log_pt
    reduction = args.get("reduction", "mean")
    return loss if reduction == "none" else loss.sum() / (counted.sum() if reduction == "mean" else 1.0)


def sigmoid_focal(z, target, args):
    """The same for sigmoids, as torchvision.ops.sigmoid_focal_loss has it for targets of 0 and 1."""
    alpha, gamma = args.get("alpha", 0.25), args.get("gamma", 2.0)
    p_t = torch.where(target == 1.0, z.sigmoid(), 1.0 - z.sigmoid())
    loss = F.binary_cross_entropy_with_logits(z, target, reduction="none") * (1.0 - p_t) ** gamma
    if alpha is not None:
        loss = loss * torch.where(target == 1.0, alpha, 1.0 - alpha)
    return {"none": loss, "sum": loss.sum(), "mean": loss.mean()}[args.get("reduction", "mean")]


# value of a loss, from prediction, target and the constructor's arguments
LOSSES = {
    L.BCEWithLogitsLoss: lambda z, target, args: F.binary_cross_entropy_with_logits(z, target, **tensors(args)),
    L.FocalLoss: focal,
    L.HuberLoss: lambda z, target, args: F.huber_loss(z, target, **args),
    L.L1Loss: lambda z, target, args: F.l1_loss(z, target, **args),
    L.MSE: lambda z, target, args: F.mse_loss(z, target, **args),
    L.NLLLoss: lambda z, target, args: F.nll_loss(z, target.long(), **tensors(args)),
    L.SigmoidFocalLoss: sigmoid_focal,
    L.SmoothL1Loss: lambda z, target, args: F.smooth_l1_loss(z, target, **args),
    L.SoftmaxCrossEntropy: cross_entropy,
}


def loss_answer(case) -> dict[str, np.ndarray]:
    """Value and gradient of a loss."""
    z = tensor(case.prediction).requires_grad_()
    value = LOSSES[case.cls](z, tensor(case.target), dict(case.args))
    (gradient,) = torch.autograd.grad(value.sum(), z)
    return {"value": value.detach().numpy().copy(), "gradient": gradient.numpy().copy()}
