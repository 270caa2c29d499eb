"""The program ``xpcnn``: its commands, and what becomes of errors."""

import argparse
import logging
import os
import sys
import textwrap
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import xpcnn
from xpcnn.backend import cuda, generic_only
from xpcnn.errors import ConfigError, XpcnnError

from . import datasets, doctor, evaluate, gradcheck, predict, summary, train
from .console import write
from .options import Parser, common, formatter, no_such

__all__ = ["main"]

FAILURE, USAGE = 1, 2
INTERRUPTED, PIPE_CLOSED, TERMINATED = 130, 141, 143  # as a shell counts programs that a signal ended: 128 + its number

COMMAND = "COMMAND"  # as the help calls it
COMMANDS = {
    module.__name__.rpartition(".")[2]: module
    for module in (train, evaluate, predict, summary, gradcheck, datasets, doctor)
}

EXAMPLES = """\
examples:
  xpcnn train                                          train on the bundled digits
  xpcnn train --dataset mnist --epochs 5 --device cuda
  xpcnn evaluate runs/001/model.safetensors            loss, accuracy, confusion matrix
  xpcnn predict runs/001/model.safetensors digits.npy  one label a line
  xpcnn summary deepnotes --batch 64                   layers, parameters, bytes
  xpcnn gradcheck                                      are all gradients right?
  xpcnn doctor                                         what works on this machine, and why not

exit codes: 0 success, 1 failure (no data, no device, damaged file), 2 wrong usage,
            130 after Ctrl-C and 143 after SIGTERM (training is saved, see train --resume)
environment: XPCNN_DATA_DIR folder with data sets, XPCNN_OFFLINE=1 never download,
             XPCNN_NUM_THREADS threads on the CPU, XPCNN_KERNELS=generic no accelerated kernels
"""


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run a command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; default: those of the process.

    Returns
    -------
    code : int
        0 success; 1 failure: data missing, device unavailable, file damaged; 2 usage; 130 after Ctrl-C; 141 if the
        reader of standard output went away; 143 after SIGTERM.

    Examples
    --------
    >>> main(["summary", "no_such_model"])
    2
    """
    debug = False
    try:
        try:
            options = _parsed(sys.argv[1:] if argv is None else argv)
        except SystemExit as error:  # argparse has said what there is to say
            _flush()
            return int(error.code or 0)
        debug = options.debug
        if not getattr(options, "variables_may_be_wrong", False):
            _check_variables()
        with _log_to_stderr(quiet=getattr(options, "quiet", False)), _threads(getattr(options, "threads", None)):
            code = options.run(options)
        _flush()
        return code
    except BrokenPipeError:
        _forget_stdout()
        return PIPE_CLOSED
    except KeyboardInterrupt as error:
        _complain(f"interrupted{getattr(error, 'hint', '')}", debug)
        return INTERRUPTED
    except SystemExit as error:  # of SIGTERM
        _complain(f"terminated{getattr(error, 'hint', '')}", debug)
        return TERMINATED
    except ConfigError as error:
        _complain(f"error: {error}", debug)
        # a callback's setting may be the name of a file, and that file may be one that cannot be written
        return FAILURE if isinstance(error.__cause__, OSError) else USAGE
    except XpcnnError as error:
        _complain(f"error: {error}", debug)
    except MemoryError as error:
        text = f"not enough memory ({error})" if str(error) else "not enough memory"
        _complain(f"error: {text}: take a smaller --batch-size or a smaller model", debug)
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        _complain(f"error: {where}{error.strerror or error}", debug)
        _forget_stdout()  # it may be standard output that cannot be written, and Python will try again at its end
    except Exception as error:
        line = next(iter(str(error).strip().splitlines()), "")
        hint = "a fault of xpcnn" if debug else "a fault of xpcnn, --debug shows where"
        _complain(f"error: {type(error).__name__}: {line}: {hint}", debug)
    return FAILURE


def _parsed(argv: Sequence[str]) -> argparse.Namespace:
    parser = _parser()
    try:
        return parser.parse_args(argv)
    except argparse.ArgumentError as error:
        if error.argument_name != COMMAND:
            parser.error(str(error))
        # what is no option; but a number such as -3 is none, either
        word = next((word for word in argv if word in ("-", "--") or not word.startswith("-")), argv[-1])
        parser.error(f"argument {COMMAND}: {no_such(word, list(COMMANDS))}")


def _parser() -> Parser:
    parser = Parser(
        exit_on_error=False,  # of commands; their own errors still end the program
        prog="xpcnn",
        description="Train convolutional networks, and use them.",
        epilog=EXAMPLES,
        formatter_class=formatter,
    )
    parser.add_argument("--version", action="version", version=f"xpcnn {xpcnn.__version__}")
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    parser.set_defaults(run=lambda _: _without_command(parser))
    commands = parser.add_subparsers(title="commands", metavar=COMMAND)
    for name, command in COMMANDS.items():
        text = (command.__doc__ or "").strip()
        own = commands.add_parser(
            name,
            help=text.splitlines()[0].removesuffix("."),
            description="\n\n".join(textwrap.fill(part, 79) for part in text.split("\n\n")),
            parents=[common()],
            formatter_class=formatter,
        )
        command.add_options(own)
        own.set_defaults(run=command.run)
    return parser


def _without_command(parser: Parser) -> int:
    parser.print_help()
    return USAGE


@contextmanager
def _log_to_stderr(quiet: bool) -> Iterator[None]:
    """Show what the library logs, as lines of this program, while a command runs."""
    log, handler = logging.getLogger("xpcnn"), logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("xpcnn: %(message)s"))
    level, propagate = log.level, log.propagate
    # that there is no CuPy is information; so is a download, which takes long enough to be told
    handler.addFilter(lambda record: record.levelno > logging.INFO or record.module != "device")
    log.addHandler(handler)
    log.setLevel(logging.ERROR if quiet else logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = propagate


def _check_variables() -> None:
    """Say what is wrong with $XPCNN_NUM_THREADS, $XPCNN_KERNELS or $XPCNN_AUTOTUNE before anything is done."""
    xpcnn.get_num_threads()
    generic_only()
    cuda.cudnn.choices.tuning()


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    """So many threads while a command runs."""
    if number is None:
        yield
        return
    before = xpcnn.get_num_threads()
    xpcnn.set_num_threads(number)
    try:
        yield
    finally:
        xpcnn.set_num_threads(before)


def _complain(text: str, debug: bool) -> None:
    """One line on standard error, after the traceback if that is wanted."""
    if debug:
        traceback.print_exc()
    with suppress(OSError, ValueError):
        _flush()  # what was answered so far comes first, where both go to one place
    with suppress(OSError, ValueError):
        write(sys.stderr, f"xpcnn: {text}")


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _forget_stdout() -> None:
    """Let the interpreter's last flush go nowhere, as it could only fail once more."""
    with suppress(OSError, ValueError, AttributeError):
        _flush()
        return
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
