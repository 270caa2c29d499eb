"""What is measured: networks, batches, optimizers, and how much faster than others xpcnn has to be."""

from dataclasses import dataclass, field

# Of plain SGD 0.001: with 0.01, resnet18's losses agree to 1e-15 in float64, but in float32 rounding errors grow until
# after five steps PyTorch's two memory layouts are 1e-4 apart and xpcnn 1e-3 from both.
LR = {"sgd": 1e-3, "momentum": 0.01, "adam": 1e-3}
MOMENTUM = 0.9  # of "momentum"; "sgd" has none


@dataclass(frozen=True)
class Work:
    """
    Training steps, or inference where there is no optimizer, in float32.

    Parameters
    ----------
    model : str
        A function of `xpcnn.models`.
    shape : tuple of int
        Of one image.
    batch : int
    optimizer : {"sgd", "momentum", "adam"} or None
    bars : dict of str to float or None
        Whom xpcnn is compared with, and the least ratio of their time to its own. None: it is shown only.
    """

    model: str
    shape: tuple[int, int, int]
    batch: int
    optimizer: str | None = None
    bars: dict[str, float | None] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"train-{self.model}" if self.optimizer else f"infer-{self.model}-{self.batch}"


MNIST, CIFAR = (1, 28, 28), (3, 32, 32)

WORKS = {
    work.name: work
    for work in (
        Work("deepnotes", MNIST, 50, "momentum", {"torch": 1.5, "deepnet": 15.0}),
        Work("torch_mnist", MNIST, 128, "adam", {"torch": 1.25}),
        Work("keras_mnist", MNIST, 128, "adam", {"torch": 1.25}),
        Work("small_vgg", CIFAR, 128, "sgd", {"torch": 1.1}),
        Work("resnet18", CIFAR, 32, "sgd", {"torch": 1.0}),
        Work("torch_mnist", MNIST, 1, None, {"torch": 1.5, "onnxruntime": None}),
        Work("resnet18", CIFAR, 1, None, {"torch": 1.0, "onnxruntime": None}),
        Work("torch_mnist", MNIST, 256, None, {"torch": 1.25, "onnxruntime": None}),
        Work("resnet18", CIFAR, 64, None, {"torch": 1.0, "onnxruntime": None}),
    )
}
