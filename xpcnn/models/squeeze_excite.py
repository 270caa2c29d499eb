"""Channels weighed by what the whole image shows."""

from typing import final

from xpcnn.backend import Array, Key, array_namespace
from xpcnn.errors import ConfigError
from xpcnn.layers import Cache, Conv2d, GlobalAvgPool2d, Layer, Multiply, ReLU, Sigmoid
from xpcnn.ops.checks import check_images, common
from xpcnn.settings import count

from .container import Container, Shape, Step

__all__ = ["SqueezeExcite"]


@final
class SqueezeExcite(Container):
    """
    Squeeze and excitation: each channel times a gate from 0 to 1 that depends on the means of all channels.

    Parameters
    ----------
    in_channels : int
        Channels C of x (N, C, H, W).
    squeeze_channels : int, optional
        Channels between the two convolutions; default: ``in_channels // 16``, at least 1, the paper's reduction.
    activation : Layer, optional
        Between them; default: `ReLU`.
    scale_activation : Layer, optional
        Makes the gates; default: `Sigmoid`.

    Attributes
    ----------
    params : ``fc1.weight``, ``fc1.bias``, ``fc2.weight``, ``fc2.bias``
        Of two 1x1 convolutions, named as in torchvision's ``SqueezeExcitation``.

    Raises
    ------
    ConfigError, ShapeError

    Notes
    -----
    ::

        z[n, c]       = sum_hw x[n, c, h, w] / (H W)                    (squeeze, equation 2)
        s[n]          = sigmoid(W2 relu(W1 z[n] + b1) + b2)             (excitation, equation 3)
        y[n, c, h, w] = s[n, c] x[n, c, h, w]                           (scale, equation 4)

    x acts on y directly and through the gates, so dx is the sum over both ways.

    Source: Hu, Shen and Sun (2018), "Squeeze-and-excitation networks", section 3; with biases, as torchvision has it.

    Examples
    --------
    >>> block = SqueezeExcite(32)
    >>> block.params["fc1.weight"].shape, block.output_shape((32, 8, 8))
    ((2, 32, 1, 1), (32, 8, 8))
    """

    spares_input_grad = True

    def __init__(
        self,
        in_channels: int,
        squeeze_channels: int | None = None,
        *,
        activation: Layer | None = None,
        scale_activation: Layer | None = None,
    ) -> None:
        self.in_channels = count(self, "in_channels", in_channels)
        self.squeeze_channels = None if squeeze_channels is None else count(self, "squeeze_channels", squeeze_channels)
        self.activation, self.scale_activation = activation, scale_activation
        width = self.squeeze_channels or max(1, self.in_channels // 16)
        super().__init__(
            {
                "avgpool": GlobalAvgPool2d(),
                "fc1": Conv2d(self.in_channels, width, 1),
                "activation": ReLU() if activation is None else activation,
                "fc2": Conv2d(width, self.in_channels, 1),
                "scale_activation": Sigmoid() if scale_activation is None else scale_activation,
                "multiply": Multiply(),
            }
        )
        for name in ("activation", "scale_activation"):
            gates = (width if name == "activation" else self.in_channels, 1, 1)
            if self.children[name].output_shape(gates) != gates:
                message = f"SqueezeExcite: expected {name} to keep the shape, got {self.children[name]!r}"
                raise ConfigError(message)

    _GATE = ("fc1", "activation", "fc2", "scale_activation")

    def forward(self, x: Array, *, train: bool = False, key: Key | None = None) -> tuple[Array, Cache | None]:
        common("SqueezeExcite", x=x)
        check_images("SqueezeExcite", x.shape, self.in_channels)
        gate, pooled = self._forward_child("avgpool", x, train, key)
        gate = array_namespace(x).reshape(gate, (*gate.shape, 1, 1))
        caches = [pooled]
        for name in self._GATE:
            gate, cache = self._forward_child(name, gate, train, key)
            caches.append(cache)
        y, scaled = self._forward_child("multiply", (x, gate), train, key)
        return y, self.keep(y, [*caches, scaled]) if train else None

    def backward(
        self, dy: Array, cache: Cache | None, *, input_grad: bool = True
    ) -> tuple[Array | None, dict[str, Array]]:
        ((pooled, *gates, scaled),) = self.recall(dy, cache)
        grads: dict[str, Array] = {}
        dx, dgate = self._backward_child("multiply", dy, scaled, grads)
        for name, own in zip(reversed(self._GATE), reversed(gates), strict=True):
            dgate = self._backward_child(name, dgate, own, grads, input_grad or name != "fc1")
        if not input_grad:
            return None, grads
        dgate = array_namespace(dy).reshape(dgate, tuple(dgate.shape[:2]))
        return dx + self._backward_child("avgpool", dgate, pooled, grads), grads

    def walk(self, shape: Shape, place: object, step: Step) -> tuple[Shape, object]:
        check_images("SqueezeExcite", (1, *shape), self.in_channels)
        squeezed, inner = step("avgpool", self.children["avgpool"], shape, place)
        squeezed = (*squeezed, 1, 1)
        for name in self._GATE:
            squeezed, inner = step(name, self.children[name], squeezed, inner)
        return step("multiply", self.children["multiply"], (shape, squeezed), (place, inner))  # type: ignore[arg-type]
