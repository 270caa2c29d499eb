"""The step that is explained, made on a copy of the model, and the explanation that comes of it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xpcnn import optimizers
from xpcnn.backend import Array, Key
from xpcnn.errors import ConfigError
from xpcnn.layers import Loss, get_loss
from xpcnn.models import Model, Sequential
from xpcnn.optimizers import Optimizer
from xpcnn.settings import count
from xpcnn.training import door

from . import formulas
from .losses import LossCall, explain_loss
from .page import Entry, Page, Part, peak
from .record import Call, Recorder, host
from .registry import explain_backward, explain_forward
from .text import as_text
from .update import explain_update
from .webpage import as_html

__all__ = ["Explanation", "explain_step"]

TITLE = "One training step, explained"


class Explanation:
    """
    One training step, spelled out: ``print`` it, or show it in a browser or a notebook.

    Attributes
    ----------
    entries : list of Entry
        All numbers that were spelled out: ``path`` of the layer, ``array`` and ``place``; ``said``, what the arithmetic
        in the text gives, and ``real``, what the layer computed.
    """

    def __init__(
        self,
        head: Sequence[tuple[str, str]],
        chapters: Sequence[tuple[str, list[Part]]],
        entries: list[Entry],
        digits: int,
    ) -> None:
        self._head, self._chapters, self.entries, self._digits = head, chapters, entries, digits

    def __str__(self) -> str:
        return as_text(TITLE, self._head, self._chapters, self._digits)

    def __repr__(self) -> str:
        parts = sum(len(parts) for _, parts in self._chapters)
        return f"<Explanation of {parts} parts, {len(self.entries)} numbers spelled out: print it, or save_html(path)>"

    def html(self) -> str:
        """One page of HTML that needs no other file."""
        return as_html(TITLE, self._head, self._chapters, self._digits)

    def save_html(self, path: str | Path) -> None:
        """
        Write the page.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        OSError
        """
        Path(path).write_text(self.html(), encoding="utf-8")

    def _repr_html_(self) -> str:
        """For notebooks: in a frame, so that the page's style stays its own."""
        from html import escape

        return f'<iframe srcdoc="{escape(self.html())}" style="width:100%;height:40rem;border:0"></iframe>'


def explain_step(
    model: Model,
    x: Array,
    y: Array,
    *,
    loss: Loss | str = "softmax_cross_entropy",
    optimizer: Optimizer | str | None = None,
    sample: int = 0,
    digits: int = 4,
    max_entries: int = 6,
) -> Explanation:
    """One training step, spelled out and not done; see `Model.explain_step`."""
    who = "explain_step"
    if not isinstance(model, Model) or model.merges:
        got = "a Graph of several" if isinstance(model, Model) else type(model).__name__
        message = f"{who}: expected model to be a Sequential or a Graph of one input, got {got}"
        raise ConfigError(message)
    loss = door.reducing(who, get_loss(loss))
    digits, limit = count(who, "digits", digits, most=17), count(who, "max_entries", max_entries)
    optimizer = None if optimizer is None else optimizers.get(optimizer)
    door.expect_here(who, model, "x", x)
    door.expect_here(who, model, "y", y)
    x, y = model.home.asarray(x), model.home.asarray(y)
    door.check_step(who, model, loss, x, y)
    x = model.home.asarray(x, model.params_dtype)
    sample = count(who, "sample", sample, least=0, most=x.shape[0] - 1)

    twin = copy.deepcopy(model)  # what the step changes, it changes there
    if model.dtype != model.params_dtype:
        # numbers rounded to 16 bits could not be recomputed by hand
        twin.place(twin.home, model.params_dtype, Key(model.seed, "init"))
    recorder = Recorder(twin)
    with twin.home.active():
        scores, cache = twin.forward(x, train=True)
        value, dscores = loss(scores, y)
        dx, grads = twin.backward(dscores, cache)
        root = recorder.root
        root.x, root.y, root.dy, root.dx = x, scores, dscores, dx
        root.to_host()
        writer = _Writer(sample, digits, limit)
        chapters = [("Forward", writer.with_picture(root.x, writer.forward(root)))]
        lossy = LossCall(loss, host(scores), host(y), float(host(value)), host(dscores))
        chapters.append(("Loss", [writer.loss(lossy)]))
        chapters.append(("Backward", writer.backward([*recorder.backward, root])))
        if optimizer is not None and grads:
            chapters.append(("Update", [writer.update(twin, copy.deepcopy(optimizer), grads)]))
    where = f"{model.params_dtype} on {model.device}"
    head = [
        ("model", f"{type(model).__name__} of {len(model)} layers, {where}, step {model.step}"),
        ("sample", f"{sample} of {x.shape[0]}; x {tuple(x.shape)}, y {_target(lossy.target, sample)}"),
        ("loss", f"{type(loss).__name__} = {writer.num(lossy.value)}"),
        ("note", f"numbers are rounded to {digits} digits; the model is as it was"),
    ]
    return Explanation(head, chapters, writer.entries, digits)


class _Writer:
    """Turns what was recorded into parts."""

    def __init__(self, sample: int, digits: int, limit: int) -> None:
        self._settings = (sample, digits, limit)
        self.entries: list[Entry] = []

    def num(self, value: float) -> str:
        return Page("", *self._settings).num(value)

    def forward(self, call: Call) -> list[Part]:
        """The layers inside, in the order of their computation; then the container, where it says something."""
        parts = [part for child in call.children.values() for part in self.forward(child)]
        if isinstance(call.layer, Sequential):
            return parts
        page = self._page(call.path)
        explain_forward(page, call)
        return [*parts, self._part(page, _title(call), _formulas(call, formulas.FORWARD))]

    def with_picture(self, x: Any, parts: list[Part]) -> list[Part]:
        """The sample itself stands in the first part, behind the shapes."""
        page = self._page("")
        page.maps("x", x)
        if parts:
            parts[0].blocks[1:1] = page.blocks
        return parts

    def backward(self, calls: list[Call]) -> list[Part]:
        """In the order in which the gradients were done."""
        parts = []
        for call in calls:
            if call.dy is None or call.dx is None or isinstance(call.layer, Sequential):
                continue
            page = self._page(call.path)
            explain_backward(page, call)
            parts.append(self._part(page, f"{_title(call)}, backward", _formulas(call, formulas.BACKWARD)))
        return parts

    def loss(self, call: LossCall) -> Part:
        page = self._page("loss")
        explain_loss(page, call)
        return self._part(page, _single(type(call.loss).__name__), formulas.LOSS.get(type(call.loss), ()))

    def update(self, twin: Model, optimizer: Optimizer, grads: dict[str, Any]) -> Part:
        """The parameter with the largest gradient, before and after a step of the copies."""
        there = {name: host(g) for name, g in grads.items()}
        name = max(there, key=lambda k: float(abs(there[k][peak(there[k])])))
        before = host(twin.trainable[name]).copy()
        lr = optimizer.current_lr()
        optimizer.update(twin.trainable, grads)
        page = self._page("update")
        explain_update(page, optimizer, name, before, there[name], host(twin.trainable[name]), lr)
        line = _first_line(type(optimizer))
        lines = formulas.UPDATE.get(type(optimizer), (line,) if line else ())
        return self._part(page, f"{type(optimizer).__name__}, the parameter {name}", lines)

    def _page(self, path: str) -> Page:
        return Page(path, *self._settings)

    def _part(self, page: Page, title: str, lines: tuple[str, ...]) -> Part:
        self.entries += page.entries
        return Part(page.path, title, lines, page.blocks)


def _target(target: Any, sample: int) -> str:
    """A label, or the shape of the targets."""
    return f"= {target[sample]}" if target.ndim == 1 else str(target.shape)


def _title(call: Call) -> str:
    """Name and settings; of a container the name only, since its layers are shown themselves."""
    said = type(call.layer).__name__ if call.children or not call.path else _single(repr(call.layer))
    return f"[{call.path or 'model'}] {said}"


def _single(text: str, most: int = 200) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 4] + " ..."


def _formulas(call: Call, table: dict[type, tuple[str, ...]]) -> tuple[str, ...]:
    """The formulas of a class that is known; of another what it says of itself."""
    known = table.get(type(call.layer))
    if known is not None:
        padding = getattr(call.layer, "padding", 0)
        none = not any(padding) if isinstance(padding, tuple) else padding in (0, "valid")
        return tuple(line for line in known if line is not formulas.PADDED or not none)
    line = _first_line(type(call.layer))
    return (line,) if line else ()


def _first_line(cls: type) -> str:
    """First line of a class's own docstring."""
    return _single((vars(cls).get("__doc__") or "").strip().partition("\n")[0])
