"""
Train a network on a data set.

Without options: the network of the deepnotes tutorial, on 6,000 digits that come with xpcnn. The test images are
evaluated after each epoch and decide nothing. Writes model.safetensors and history.csv.
"""

import argparse
import math
import os
import platform
import shlex
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import xpcnn
from xpcnn import datasets
from xpcnn.backend import Device, resolve
from xpcnn.data.augment import Transform
from xpcnn.data.catalogue import SETS
from xpcnn.data.datasets import Dataset
from xpcnn.errors import CheckpointError, ConfigError, StateDictError
from xpcnn.models import Model
from xpcnn.training import Callback, CSVLogger, History, ModelCheckpoint, ProgressBar, Trainer

from . import networks, options, recipes
from .console import Console
from .folders import OutputError, run_folder
from .images import fit_images

__all__ = ["add_options", "run"]

MODEL, HISTORY, CHECKPOINTS = "model.safetensors", "history.csv", "checkpoints"
KEEP = 2  # checkpoints


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``xpcnn train``."""
    parser.add_argument(
        "--model", type=options.one_of(networks.NETWORKS), default="deepnotes", metavar="NAME",
        help=", ".join(networks.NETWORKS) + " (default: deepnotes)",
    )  # fmt: skip
    options.add_data(parser)
    parser.add_argument(
        "--epochs", type=options.positive, metavar="N", help=f"how often each image is seen ({_says('epochs')})"
    )
    parser.add_argument(
        "--batch-size", type=options.positive, metavar="N", help=f"images in a step ({_says('batch_size')})"
    )
    parser.add_argument(
        "--optimizer", type=options.one_of(recipes.LEARNING_RATES), metavar="NAME",
        help=", ".join(recipes.LEARNING_RATES) + f" ({_says('optimizer')})",
    )  # fmt: skip
    parser.add_argument(
        "--lr", type=options.rate, metavar="RATE",
        help=f"largest learning rate ({_says('lr')}; optimizers other than {recipes.DEFAULT.optimizer} have theirs)",
    )  # fmt: skip
    parser.add_argument(
        "--schedule", type=options.one_of(recipes.SCHEDULES), metavar="NAME",
        help="; ".join(f"{name}: {text}" for name, text in recipes.SCHEDULES.items()) + f" ({_says('schedule')})",
    )  # fmt: skip
    parser.add_argument(
        "--augment", type=options.augment, metavar="NAMES",
        help="changes of the training images at random, with commas between them: "
        + "; ".join(f"{name}: {text}" for name, (text, _) in recipes.AUGMENTATIONS.items()) + f" ({_says('augment')})",
    )  # fmt: skip
    parser.add_argument(
        "--weights", type=options.path, metavar="MODEL_FILE",
        help="go on from the weights of an earlier run with the same network (default: new ones)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=options.seed, default=0, metavar="N", help="decides everything random (default: 0)"
    )
    options.add_device(parser)
    parser.add_argument(
        "--dtype", type=options.one_of(["float32", "float64", "bfloat16", "float16"]), default="float32",
        metavar="NAME",
        help="what is computed in: float32, float64, bfloat16, float16 (default: float32; 16 bits: mixed precision)",
    )  # fmt: skip
    options.add_threads(parser)
    parser.add_argument(
        "--out", type=options.path, metavar="DIR", help="where to write (default: runs/001 or the next free number)"
    )
    parser.add_argument(
        "--checkpoint-every", type=options.positive, metavar="STEPS",
        help="save the whole run into DIR/checkpoints after so many batches (default: only when it is interrupted)",
    )  # fmt: skip
    parser.add_argument(
        "--resume", type=options.path, metavar="DIR",
        help="go on with the run of that folder, from its newest checkpoint, and write there, or to --out; the other "
        "options must be given as before; a folder without a checkpoint begins at the beginning",
    )  # fmt: skip
    parser.add_argument(
        "--allow-different", type=options.words, default=[], metavar="NAMES",
        help="what may differ from the run that --resume goes on with, with commas: optimizer, data, batch_size, ...",
    )  # fmt: skip
    options.add_json(parser, "print the result as one JSON object, and progress to standard error")
    parser.add_argument("--quiet", "-q", action="store_true", help="print the test accuracy only")


def run(args: argparse.Namespace) -> int:
    """Train; returns the exit code."""
    if args.allow_different and args.resume is None:
        message = "--allow-different: expected it together with --resume DIR, got it alone"
        raise ConfigError(message)
    console = Console(as_json=args.json, quiet=args.quiet)
    recipe = _recipe(args)
    home = resolve(args.device)
    resume = None if args.resume is None else os.path.expanduser(args.resume)
    if resume is not None and Path(resume).name == CHECKPOINTS and args.out is None:
        message = f"--resume: expected the folder of a run, got that of its checkpoints: take {Path(resume).parent}"
        raise ConfigError(message)
    with (
        _said_as_options(args),
        run_folder(resume if args.out is None else args.out, (MODEL, HISTORY)) as folder,
    ):
        data, model = _data_and_model(args, home)
        shape = tuple(data.x_train.shape[1:])
        steps = recipe.epochs * -(-data.x_train.shape[0] // recipe.batch_size)
        optimizer = recipes.make_optimizer(recipe.optimizer, recipe.lr, recipe.schedule, steps)

        parameters = sum(math.prod(p.shape) for p in model.params.values())
        console.say(
            f"{args.model}: {parameters:,} parameters on {model.device}; {recipe.optimizer}, learning rate "
            f"{recipe.lr:g}, {recipe.schedule}; batches of {recipe.batch_size}; "
            + (f"augmented by {recipe.augment}; " if recipe.augment != "none" else "")
            + ("" if args.dtype == "float32" else f"{args.dtype}; ")
            + f"seed {args.seed}"
            + (f"; from {args.weights}" if args.weights is not None else "")
        )
        padded = "" if model.input_shape in (None, shape) else f", padded to {_size(model.input_shape[1:])}"
        console.say(
            f"{data.name}: {len(data.x_train):,} training and {len(data.x_test):,} test images of "
            f"{_size(shape[1:])}{padded}, from {data.source}"
        )

        x_train, x_test = (fit_images(x, model) for x in (data.x_train, data.x_test))
        keeper = ModelCheckpoint(
            folder / CHECKPOINTS, every_epochs=None, every_steps=args.checkpoint_every, best=False, keep=KEEP
        )
        callbacks: list[Callback] = [CSVLogger(folder / HISTORY), keeper]
        started = time.perf_counter()
        trainer = Trainer(model, optimizer=optimizer)
        augment = recipes.make_augment(recipe.augment, x_train.shape[2], x_train.shape[3], len(data.classes))
        try:
            history = _fit(
                trainer, (x_train, data.y_train), (x_test, data.y_test), recipe, augment, callbacks, console,
                resume=resume, allow_different=args.allow_different,
            )  # fmt: skip
        except (KeyboardInterrupt, SystemExit) as error:
            if keeper.last is not None:
                again = f"the same command and --resume {shlex.quote(str(folder))}"
                vars(error)["hint"] = f" after {trainer.steps} steps: go on with {again}"
            raise
        seconds = time.perf_counter() - started
        model.save(folder / MODEL)
    # not the last epoch's figures: those of the batches that `xpcnn evaluate` takes
    figures = model.evaluate(x_test, data.y_test)
    console.say(f"{seconds:.1f}s; wrote {folder / MODEL} and {folder / HISTORY}")
    console.answer(
        f"test accuracy {figures['accuracy']:.4f}",
        {
            "test_accuracy": figures["accuracy"],
            "test_loss": figures["loss"],
            "epochs": len(history.epoch),
            "seconds": round(seconds, 3),
            "history": history.history,
            "model": str(folder / MODEL),
            "history_file": str(folder / HISTORY),
            "parameters": parameters,
            "seed": args.seed,
            "device": model.device,
            "dtype": model.dtype,
            "source": data.source,
            "versions": _versions(),
            "options": {
                "dataset": args.dataset,
                "data_dir": args.data_dir,
                "model": args.model,
                **recipe._asdict(),
                "weights": args.weights,
                "seed": args.seed,
                "device": args.device,
                "dtype": args.dtype,
                "threads": args.threads,
                "out": args.out,
            },
        },
    )
    return 0


@contextmanager
def _said_as_options(args: argparse.Namespace) -> Iterator[None]:
    """Errors of the library speak of its functions; here of options."""
    try:
        yield
    except (CheckpointError, ConfigError, OutputError) as error:
        names = getattr(error, "different", ())
        text = str(error)
        for theirs, ours in (
            (f"allow_different={names}", f"--allow-different {','.join(names)}"),
            ("resume: expected allow_different to be a list of ", "--allow-different: expected names out of "),
            ("ModelCheckpoint: expected a folder", "--out: expected a folder"),
            ("fit(..., resume=folder)", "--resume DIR"),
            ("or choose another folder", "or choose another folder with --out DIR"),
        ):
            text = text.replace(theirs, ours)
        if text.startswith("resume: "):
            text = f"--{text}"
        if args.out is None and args.resume is not None and text.startswith("--out: "):
            text = f"--resume: {text.removeprefix('--out: ')}"
        error.args = (text,)  # it stays the error that it is, with its cause
        raise


def _data_and_model(args: argparse.Namespace, home: Device) -> tuple[Dataset, Model]:
    """The data set and the network; one that does not fit is refused before anything is fetched, where that shows."""
    known = SETS.get(args.dataset)
    if known is not None:
        model = _model(args, known.train_shape[1:], len(known.classes), home)
        return datasets.load(args.dataset, args.data_dir), model
    data = datasets.load(args.dataset, args.data_dir)
    return data, _model(args, tuple(data.x_train.shape[1:]), len(data.classes), home)


def _model(args: argparse.Namespace, shape: tuple[int, ...], classes: int, home: Device) -> Model:
    model = networks.make(args.model, shape, classes, seed=args.seed, device=home, dtype=args.dtype)
    if args.weights is None:
        return model
    trained = xpcnn.load(args.weights)
    try:
        model.load_state_dict(trained.state_dict())
    except StateDictError as error:
        raise _other_network(args, trained, str(error).splitlines()[1:]) from error
    model.step = trained.step  # so that dropout goes on with new masks
    return model


def _other_network(args: argparse.Namespace, trained: Model, differences: list[str]) -> CheckpointError:
    """Error for weights that do not fit: which network they are of, else where they differ first."""
    name = networks.name_of(trained)
    got = "those of another network" if name is None else f"those of {name}"
    if name in (None, args.model):
        more = f" (and {len(differences) - 1} more)" if len(differences) > 1 else ""
        got += f"{', for other images or classes,' if name else ''} in {args.weights}: {differences[0].strip()}{more}"
    else:
        got += f" in {args.weights}: take --model {name}, or other weights"
    message = f"--weights: expected those of {args.model}, got {got}"
    return CheckpointError(message)


def _recipe(args: argparse.Namespace) -> recipes.Recipe:
    """What the options leave open is as the network's recipe says."""
    base = recipes.recipe(args.model)
    given = {name: getattr(args, name) for name in base._fields if getattr(args, name) is not None}
    if "lr" not in given and given.get("optimizer", base.optimizer) != base.optimizer:
        given["lr"] = recipes.LEARNING_RATES[given["optimizer"]]
    return base._replace(**given)


def _says(field: str) -> str:
    """The default of a setting, for the help: those networks that differ are named."""
    common = getattr(recipes.DEFAULT, field)
    others = [f"{getattr(r, field)} for {name}" for name, r in recipes.RECIPES.items() if getattr(r, field) != common]
    return ", ".join([f"default: {common}", *others])


def _size(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _fit(
    trainer: Trainer,
    training: tuple[Any, Any],
    test: tuple[Any, Any],
    recipe: recipes.Recipe,
    augment: Transform | None,
    callbacks: list[Callback],
    console: Console,
    **going_on: Any,
) -> History:
    """The run itself, with progress to where the console wants it."""
    progress = ProgressBar(bar=sys.stderr is not None and sys.stderr.isatty(), file=console.side)
    try:
        with warnings.catch_warnings():
            # numbers that overflow get an error of ours, at the end of the epoch
            warnings.simplefilter("ignore", RuntimeWarning)
            return trainer.fit(
                *training,
                epochs=recipe.epochs,
                batch_size=recipe.batch_size,
                validation_data=test,
                callbacks=callbacks if console.quiet else [progress, *callbacks],
                verbose=0,
                augment=augment,
                **going_on,
            )
    finally:
        progress.close()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "xpcnn": xpcnn.__version__}
    for name in ("numpy", "array-api-compat", "safetensors"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # written where this user may not look
            found[name] = "unknown"
    return found
