"""What is measured on a GPU, and how much faster than PyTorch's best mode xpcnn wants to be there."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from benchmarks.cpu.works import CIFAR, MNIST

IMAGENET = (3, 224, 224)
MODES = ("eager", "compile", "reduce-overhead", "max-autotune", "graph")  # PyTorch's
OURS = ("xpcnn", "xpcnn-compiled")
CONTENDERS = (*OURS, *(f"torch-{mode}" for mode in MODES))


@dataclass(frozen=True)
class Work:
    """
    Training steps, or inference where there is no optimizer.

    Parameters
    ----------
    model : str
        A function of `xpcnn.models`.
    shape : tuple of int
        Of one image.
    batch : int
    goal : float
        The least ratio of the time of PyTorch's best mode to ours.
    optimizer : {"momentum", "adam"} or None
    dtype : {"float32", "bfloat16"}
        Of the arithmetic; with bfloat16 weights are kept in float32.
    options : dict
        Arguments of the model.
    """

    model: str
    shape: tuple[int, int, int]
    batch: int
    goal: float
    optimizer: str | None = None
    dtype: str = "float32"
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{'train' if self.optimizer else 'infer'}-{self.model}-{self.batch}-{self.dtype}"

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def toy(work: Work) -> Work:
    """The same at a size that a CPU computes in no time, to try the benchmark and not the library."""
    shape = CIFAR if work.shape == IMAGENET else work.shape
    options = {} if work.shape == IMAGENET else work.options
    return replace(work, batch=min(work.batch, 4), shape=shape, options=options)


_LARGE = {"num_classes": 1000, "small_images": False}

# those that decide most come first: time may end before the last
WORKS = {
    work.name: work
    for work in (
        Work("deepnotes", MNIST, 50, 2.0, "momentum"),
        Work("resnet18", CIFAR, 512, 1.0, "momentum", "bfloat16"),
        Work("torch_mnist", MNIST, 128, 2.0, "adam"),
        Work("small_vgg", CIFAR, 512, 1.2, "momentum", "bfloat16"),
        Work("resnet9", CIFAR, 512, 1.2, "momentum", "bfloat16"),
        Work("small_vgg", CIFAR, 512, 1.2, "momentum"),
        Work("resnet9", CIFAR, 512, 1.2, "momentum"),
        Work("deepnotes", MNIST, 512, 2.0, "momentum"),
        Work("torch_mnist", MNIST, 1024, 2.0, "adam"),
        Work("torch_mnist", MNIST, 1, 1.5),
        Work("torch_mnist", MNIST, 1024, 1.5),
        Work("resnet18", CIFAR, 1, 1.0),
        Work("resnet18", CIFAR, 1024, 1.0),
        Work("resnet50", IMAGENET, 256, 1.0, "momentum", "bfloat16", _LARGE),
    )
}
COLD = ("train-deepnotes-50-float32", "train-resnet18-512-bfloat16")  # whose cold starts are looked at
# small: the first losses of a deep network in float32 depend on the order of sums the more, the larger its steps are
LR = {"momentum": 1e-3, "adam": 1e-3}
MOMENTUM = 0.9
