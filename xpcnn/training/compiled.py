"""
Steps and forward passes as captured graphs: written down once on a GPU, and from then on started by one call.

A graph has everything baked in but the numbers in its arrays: shapes, settings, and where parameters lie. So there is
one for each kind of batch, and it is made anew when anything else has changed. What changes from step to step lies on
the device: the batch, the learning rates, and the counts of steps and of epochs that random draws start from.
"""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, finalize, ref

from xpcnn.backend import Array, Key, cuda, is_array
from xpcnn.errors import ConfigError
from xpcnn.models import Model

from .baked import arrays_of, layer_of, settings
from .metrics import Tally

if TYPE_CHECKING:
    from .trainer import Trainer

__all__ = ["CapturedForward", "CapturedStep", "forward"]

log = logging.getLogger("xpcnn")

Work = Callable[..., Any]

# The call of a kind that is computed as it will be captured: by then all state is made, all plans are chosen, and here
# the last kernels are compiled and loaded.
REHEARSAL = 2
KINDS = 8  # of batches for which graphs are kept


class _Kind:
    """What is known of one kind of batch."""

    def __init__(self) -> None:
        self.seen = 0
        self.graph: Any = None
        self.inputs: list[Array] = []
        self.numbers: dict[str, float] = {}  # that a tally gets beside the sums on the device
        self.checked = False
        self.baked: Any = None
        self.held: list[Array] = []  # so that no other array gets the number of one that is baked in


class Captured(ABC):
    """
    What steps and forward passes share: when to capture, when to replay, and when to give up.

    Parameters
    ----------
    owner : Model or Trainer
    """

    def __init__(self, owner: Any) -> None:
        self._ref = ref(owner)  # whoever it belongs to holds it, and its memory goes with them
        self._kinds: dict[Any, _Kind] = {}
        self._room: Any = None
        self._refused = self._trusts = False

    @property
    def _owner(self) -> Any:
        return self._ref()

    @property
    @abstractmethod
    def _model(self) -> Model: ...

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._owner,)  # graphs stay where they were captured

    def call(self, work: Work, inputs: list[Array], uses: Sequence[Any] = (), tally: Tally | None = None) -> Any:
        """
        What `work` makes of the inputs: by itself, or from the third call of a kind on by a captured graph.

        Parameters
        ----------
        work : callable
            Takes the inputs. Two that are given to one object do the same with the same `uses` and `tally`.
        inputs : list of arrays
        uses : sequence of arrays, and of objects with settings
            What it takes from elsewhere.
        tally : Tally, optional
            Where it adds to.

        Returns
        -------
        result : what `work` returned
            Overwritten by the next call.
        """
        if self._refused:
            return work(*inputs)
        kind = self._kind(inputs, uses, tally)
        if kind.graph is None:
            kind.seen += 1
            if kind.seen < REHEARSAL:
                with self.in_place():
                    return work(*inputs)
            try:
                self.make_ready()
            except ConfigError as error:
                return self._give_up(error, work, inputs)
            if kind.seen == REHEARSAL:
                return self._rehearse(work, inputs)
            try:
                self._capture(kind, work, inputs, uses, tally)
            except Exception as error:
                return self._give_up(error, work, inputs)
        for place, a in zip(kind.inputs, inputs, strict=True):
            place[...] = a
        with self.replaying():
            kind.graph.replay()
        for name, number in kind.numbers.items():
            tally.numbers[name] = tally.numbers.get(name, 0) + number  # type: ignore[union-attr]  # of this tally
        return kind.graph.result

    @contextmanager
    def trusted(self, trusted: bool) -> Iterator[None]:
        """Inside, where nobody changes anything between two calls, look at what is baked in but once for each kind."""
        for kind in self._kinds.values():
            kind.checked = False
        self._trusts = trusted
        try:
            yield
        finally:
            self._trusts = False

    def _kind(self, inputs: list[Array], uses: Sequence[Any], tally: Tally | None) -> _Kind:
        name = (len(uses), *((tuple(a.shape), str(a.dtype)) for a in inputs))
        kind = self._kinds.get(name)
        if kind is not None and kind.graph is not None and not (self._trusts and kind.checked):
            kind.checked = True
            if kind.baked != self._all_baked(uses, tally)[0]:
                kind = None
        if kind is None:
            self._kinds.pop(name, None)
            while len(self._kinds) >= KINDS:
                self._kinds.pop(next(iter(self._kinds)))
            kind = self._kinds[name] = _Kind()
        return kind

    def _capture(
        self, kind: _Kind, work: Work, inputs: list[Array], uses: Sequence[Any], tally: Tally | None
    ) -> None:
        xp = self._model.home.xp
        if self._room is None:
            self._room = cuda.Room()
            finalize(self, _release, self._kinds, self._room).atexit = False
        cuda.free_memory()  # of the calls before, which graphs need as much of
        places = [xp.asarray(a, copy=True) for a in inputs]
        baked, held = self._all_baked(uses, tally)
        numbers = {} if tally is None else dict(tally.numbers)
        before = [(arrays, dict(arrays)) for arrays in self.dicts()]
        try:
            with self.capturing():
                graph = cuda.Graph(lambda: self.captured(work, places), self._room)
            if self._all_baked(uses, tally)[0] != baked:
                message = "an array of the model or the optimizer was replaced by another one"
                raise ConfigError(message)
            if tally is not None:
                kind.numbers = {name: n - numbers.get(name, 0) for name, n in tally.numbers.items()}
        except BaseException:
            for arrays, old in before:  # what is new was never computed
                arrays.clear()
                arrays.update(old)
            raise
        finally:
            if tally is not None:
                tally.numbers = numbers  # nothing was counted yet
        kind.graph, kind.inputs, kind.baked, kind.held, kind.checked = graph, places, baked, held, True

    def _all_baked(self, uses: Sequence[Any], tally: Tally | None) -> tuple[Any, list[Any]]:
        found, held = self.baked()
        for one in (*uses, *(tally.sums.values() if tally is not None else ())):
            own = [] if is_array(one) else arrays_of(one)
            found.append((id(one), [] if is_array(one) else settings(one), [id(a) for a in own]))
            held += [one, *own]
        return found, held

    def _rehearse(self, work: Work, inputs: list[Array]) -> Any:
        """Compute as it will be captured, with arrays where those of the graph will lie."""
        places = [self._model.home.xp.asarray(a, copy=True) for a in inputs]
        with self.replaying(), self.capturing():
            return self.captured(work, places)

    def _give_up(self, error: Exception, work: Work, inputs: list[Array]) -> Any:
        """Compute as it is from now on."""
        if self.must:
            raise error
        self._refused = True
        _release(self._kinds, self._room)
        layer = layer_of(error.__traceback__)
        where = f" at layer {layer!r}" if layer else ""
        reason = next(iter(str(error).splitlines()), "")
        log.warning(
            "%s: not captured as a graph%s, so each kernel is started from Python (%s: %s)",
            *(type(self._model).__name__, where, type(error).__name__, reason[:200]),
        )
        return work(*inputs)

    def forget(self) -> None:
        """Let go of graphs that take from elsewhere, such as from a data set, and of all memory where no others are."""
        for name in [name for name in self._kinds if name[0]]:
            del self._kinds[name]
        if not self._kinds:
            _release(self._kinds, self._room)

    @property
    def must(self) -> bool:
        """Whether what cannot be captured is an error."""
        return False

    # What differs.

    def baked(self) -> tuple[Any, list[Array]]:
        """What a graph cannot follow when it changes, to be compared; and arrays to hold on to."""
        model = self._model
        found: list[Any] = [(model.device, model.dtype, model.seed, model.allow_tf32, model.deterministic)]
        held: list[Array] = []
        for path, leaf in model.leaves():
            arrays = [*leaf.params.values(), *leaf.buffers.values()]
            held += [leaf, *arrays]
            found.append((path, id(leaf), sorted(leaf.frozen), [id(a) for a in arrays], settings(leaf)))
        return found, held

    def make_ready(self) -> None:
        """Make the arrays for what changes from call to call; ConfigError where no graph could follow it."""
        return

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Around work after which every array is to be in its place."""
        yield

    def dicts(self) -> list[dict[str, Array]]:
        """Those in which work might replace an array."""
        return []

    def captured(self, work: Work, places: list[Array]) -> Any:
        """What is captured."""
        return work(*places)

    @contextmanager
    def capturing(self) -> Iterator[None]:
        """Around a capture, during which nothing is computed."""
        yield

    @contextmanager
    def replaying(self) -> Iterator[None]:
        """Around a replay: write what changes from call to call, and count what the graph counts on the device."""
        yield


class CapturedForward(Captured):
    """Inference of a model, batch by batch."""

    @property
    def _model(self) -> Model:
        return self._owner

    def __call__(self, x: Array) -> Array:
        """The model's output, as an array of its own."""
        found = self.call(self._model, [x])
        return self._model.home.xp.asarray(found, copy=True)


_forwards: WeakKeyDictionary[Model, CapturedForward] = WeakKeyDictionary()


def forward(model: Model, x: Array) -> Array:
    """The model's output for a batch of its device; from the third batch of a kind on by a captured graph."""
    if not model.home.captures():
        return model(x)
    if model not in _forwards:
        _forwards[model] = CapturedForward(model)
    return _forwards[model](x)


class CapturedStep(Captured):
    """
    A trainer's steps.

    Parameters
    ----------
    trainer : Trainer
    """

    def __init__(self, trainer: Trainer) -> None:
        super().__init__(trainer)
        self._epoch: Any = None  # its number, on the device
        self._counter: Any = None  # of steps, on the device
        self._counted = -1  # what it holds
        self._rates: list[tuple[Any, Any, float]] = []

    @property
    def _model(self) -> Model:
        return self._owner.model

    @property
    def must(self) -> bool:
        return self._owner.compile is True

    def __call__(
        self, work: Work, inputs: list[Array], uses: Sequence[Any] = (), tally: Tally | None = None
    ) -> Array:
        """The loss of a step; overwritten by the next one. See :meth:`call`; `work` takes a `key`, too."""
        return self.call(work, inputs, uses, tally)

    def in_epoch(self, epoch: int) -> Array:
        """The number of the epoch, in its place on the device, where graphs find it."""
        home = self._model.home
        with home.active():
            if self._epoch is None or not home.owns(self._epoch):
                self._epoch = home.xp.zeros((), dtype=home.xp.int64, device=home.native)
            self._epoch[...] = epoch
        return self._epoch

    @contextmanager
    def in_place(self) -> Iterator[None]:
        before = [(leaf.buffers, dict(leaf.buffers)) for _, leaf in self._model.leaves()]
        try:
            yield
            for buffers, old in before:
                for name, place in old.items():
                    if buffers[name] is not place:  # batch norm gives itself new running statistics
                        place[...] = buffers[name]
        finally:
            for buffers, old in before:
                buffers.update(old)

    def dicts(self) -> list[dict[str, Array]]:
        states = [state for rule, _, _ in self._rates for state in (rule.state, *rule.state.values())]
        leaves = [leaf for _, leaf in self._model.leaves()]
        own = [vars(self._owner.loss_scale)] if self._owner.loss_scale is not None else []
        return [*states, *(leaf.params for leaf in leaves), *(leaf.buffers for leaf in leaves), *own]

    def captured(self, work: Work, places: list[Array]) -> Any:
        with self.in_place():
            found = work(*places, key=Key(self._model.seed, "forward", counter=self._counter))
        self._counter += 1
        return found

    def baked(self) -> tuple[Any, list[Array]]:
        found, held = super().baked()
        trainer = self._owner
        rules = trainer.optimizer.rules() or []
        for rule in rules:
            slots = [(name, slot, a) for name, state in rule.state.items() for slot, a in state.items()]
            held += [rule, *(a for _, _, a in slots)]
            found.append((id(rule), settings(rule), [(name, slot, id(a)) for name, slot, a in slots]))
        for one in (trainer.optimizer, trainer.loss, trainer.penalty, trainer.loss_scale):
            own = arrays_of(one)
            held += [one, *own]
            found.append((id(one), settings(one), [id(a) for a in own]))
        return found, held

    def make_ready(self) -> None:
        optimizer, home = self._owner.optimizer, self._model.home
        rules = optimizer.rules()
        if rules is None or not all(rule.elementwise for rule in rules):
            message = f"{type(optimizer).__name__} does not change each number by itself at every update"
            raise ConfigError(message)
        params = self._model.params
        for rule in rules:
            if not all(cuda.traceable(rule.apply, params[name], state) for name, state in rule.state.items()):
                message = f"{type(rule).__name__} is no formula of single numbers that could be made a kernel of"
                raise ConfigError(message)
        if self._counter is None or not home.owns(self._counter):
            self._counter = home.xp.zeros((), dtype=home.xp.int64, device=home.native)
            self._counted = -1
        known = {id(rule): (rule, place, rate) for rule, place, rate in self._rates if home.owns(place)}
        self._rates = [
            known.get(id(rule), (rule, home.xp.zeros((), dtype=home.xp.float64, device=home.native), math.nan))
            for rule in rules
        ]

    @contextmanager
    def capturing(self) -> Iterator[None]:
        steps = [rule.steps for rule, _, _ in self._rates]
        with ExitStack() as stack:
            for rule, place, _ in self._rates:
                stack.enter_context(rule.reading(place))
            try:
                yield
            finally:
                for (rule, _, _), count in zip(self._rates, steps, strict=True):
                    rule.steps = count  # a replay counts them

    @contextmanager
    def replaying(self) -> Iterator[None]:
        if self._counted != self._model.step:
            self._counter[...] = self._counted = self._model.step
        for i, (rule, place, last) in enumerate(self._rates):
            lr = rule.current_lr()
            if lr != last:
                place[...] = lr
                self._rates[i] = rule, place, lr
        yield
        self._model.step += 1
        self._counted += 1
        for rule, _, _ in self._rates:
            rule.steps += 1


def _release(kinds: dict[Any, _Kind], room: Any) -> None:
    """Drop graphs, and then the memory that they were captured with: CuPy's pools do not give it back by themselves."""
    kinds.clear()
    if room is not None:
        room.release()
