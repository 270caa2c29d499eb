"""
Random numbers as a pure function of (seed, what for, step, index): the same on every device and in any order.

The bits are Philox4x64-10's (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11,
section 3.3): a block cipher that turns a counter and a key into 256 random bits. There is no state to keep, so a run
can be resumed or replayed from the key alone. NumPy has it built in; for the other libraries the same ten rounds are
written here in 64-bit integers.

Initial weights and shuffles are drawn on the host and moved, dropout masks where the data lives, and the numbers of
augmentation where those of the samples lie: on the host, or on a GPU.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field, replace

import numpy as np

from xpcnn.settings import count

from .host import filled, is_undrawn
from .namespace import Array, Namespace, array_namespace, device_of
from .registry import accelerated

__all__ = ["Key", "keep_mask", "normal", "permutation", "philox_words", "sample_uniform", "uniform"]


@dataclass(frozen=True)
class Key:
    """
    Address of a random draw.

    Parameters
    ----------
    seed : int, 0 to 2**64 - 1
        The one seed of the run.
    path : str
        What is drawn and for whom, such as ``"init/0.weight"`` or ``"dropout/3"``.
    step : int
        Training step or epoch.
    first : int
        Index of the first sample: part of a batch draws what the whole batch would have drawn there.
    counter : 0-d int64 array, optional
        Added to the step: a captured graph reads it anew at each replay.

    Raises
    ------
    ConfigError
        If the seed is no integer in that range.

    Examples
    --------
    >>> Key(7).child("dropout").child("3")
    Key(seed=7, path='dropout/3', step=0, first=0)
    """

    seed: int = 0
    path: str = ""
    step: int = 0
    first: int = 0
    counter: Array | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if type(self.seed) is not int or not 0 <= self.seed < 2**64:  # keys are made at every step
            object.__setattr__(self, "seed", count(self, "seed", self.seed, 0, 2**64 - 1))

    def child(self, name: str) -> Key:
        """The same draw for something inside."""
        return replace(self, path=f"{self.path}/{name}" if self.path else name)

    def at(self, first: int) -> Key:
        """The same draw for the samples from `first` on."""
        return replace(self, first=first)

    def words(self) -> tuple[int, int]:
        """The two 64-bit words of Philox' key: the seed, and a digest of the path."""
        digest = hashlib.blake2b(self.path.encode(), digest_size=8).digest()
        return self.seed, int.from_bytes(digest, "little")


def _bits(key: Key, block: int = 0) -> np.random.Philox:
    # uint64 by hand: from a list NumPy would guess, and round large words to float64
    step = key.step if key.counter is None else key.step + int(key.counter)
    counter = np.array([block, 0, step, 0], dtype=np.uint64)
    return np.random.Philox(counter=counter, key=np.array(key.words(), dtype=np.uint64))


def uniform(shape: tuple[int, ...], key: Key) -> np.ndarray:
    """
    Uniform numbers in [0, 1), float64, drawn on the host.

    Examples
    --------
    >>> bool((uniform((2, 3), Key(0)) == uniform((2, 3), Key(0))).all())
    True
    """
    return filled(shape, 0.0) if is_undrawn() else np.random.Generator(_bits(key)).random(shape)


def sample_uniform(index: Array, count: int, key: Key) -> Array:
    """
    Uniform numbers in [0, 1) for samples by their numbers, float64, drawn where these lie.

    Row ``n`` is a function of ``index[n]`` and the key alone, whatever other samples are asked for beside it.

    Parameters
    ----------
    index : int64 array, shape (N,)
        Numbers of the samples, 0 to 2**63 - 1.
    count : int
        How many numbers for each.
    key : Key

    Returns
    -------
    u : array, shape (N, count)
        Of the library and on the device of `index`; the same bits on all of them.

    Notes
    -----
    The stream of sample ``i`` is what ``Generator(Philox(counter=[0, i, step, 0], key=...)).random`` gives: block
    ``b = 0, 1, ...`` encrypts the counter ``(b + 1, i, step, 0)`` into four numbers. All blocks of all samples are
    encrypted at once. A path drawn from like this must not serve :func:`uniform` too: sample 0 has its stream.

    Examples
    --------
    >>> some, others = (sample_uniform(np.asarray(i), 3, Key(1)) for i in ([4, 7], [7, 2, 4]))
    >>> bool((some == others[[2, 0]]).all())
    True
    """
    if (fast := accelerated("sample_uniform", index, count, key)) is not None:
        return fast
    xp, device, blocks = array_namespace(index), device_of(index), -(-count // 4)
    zeros = xp.zeros((index.shape[0], blocks), dtype=xp.int64, device=device)
    step = zeros + _signed(key.step)
    if key.counter is not None:
        step = step + key.counter
    block = zeros + xp.arange(1, blocks + 1, dtype=xp.int64, device=device)
    words = xp.stack(_rounds(block, zeros + index[:, None], step, zeros, key), axis=2)
    # the upper 53 bits, as NumPy makes a double of 64
    u = xp.astype((words >> 11) & (2**53 - 1), xp.float64) * 2.0**-53
    return xp.reshape(u, (index.shape[0], 4 * blocks))[:, :count]


def normal(shape: tuple[int, ...], key: Key) -> np.ndarray:
    """Normal numbers of mean 0 and standard deviation 1, float64, drawn on the host."""
    return filled(shape, 0.0) if is_undrawn() else np.random.Generator(_bits(key)).standard_normal(shape)


def permutation(n: int, key: Key) -> np.ndarray:
    """
    The numbers 0 to n - 1 in random order, int64, drawn on the host.

    Examples
    --------
    >>> sorted(permutation(4, Key(0)).tolist())
    [0, 1, 2, 3]
    """
    return np.random.Generator(_bits(key)).permutation(n)


def keep_mask(x: Array, p: float, key: Key) -> Array:
    """
    Boolean array like `x`, false with probability `p` for each entry independently.

    Entry ``(n, ...)`` depends on the key and on ``key.first + n`` only, on every library and in every memory layout.
    Images are numbered in the order (n, h, w, c), as convolution leaves them in memory.

    Parameters
    ----------
    x : array, shape (N, ...)
    p : float, 0 to 1
        Probability of false, rounded to a multiple of 2**-32.
    key : Key

    Returns
    -------
    mask : boolean array, shape of `x`, on its device

    Examples
    --------
    >>> x = np.zeros((4, 3, 2, 2))
    >>> whole, second_half = keep_mask(x, 0.5, Key(0)), keep_mask(x[2:], 0.5, Key(0, first=2))
    >>> bool((whole[2:] == second_half).all())
    True
    """
    if (fast := accelerated("keep_mask", x, p, key)) is not None:
        return fast
    xp = array_namespace(x)
    channels_last = x.ndim == 4
    shape = (x.shape[0], *x.shape[2:], x.shape[1]) if channels_last else x.shape
    start = key.first * math.prod(shape[1:])
    words = philox_words(xp, math.prod(shape), key, start=start, device=device_of(x))
    mask = xp.reshape(words >= round(p * 2**32), shape)
    return xp.permute_dims(mask, (0, 3, 1, 2)) if channels_last else mask


def philox_words(xp: Namespace, count: int, key: Key, *, start: int = 0, device: object = "cpu") -> Array:
    """
    Words `start` to ``start + count - 1`` of the key's stream of 32-bit random words.

    Block ``b = 0, 1, ...`` encrypts the counter ``(b + 1, 0, step, 0)``, as NumPy numbers them, and gives eight
    words: of each of its four 64-bit outputs the lower half first.

    Returns
    -------
    words : array, shape (count,)
        Values 0 to 2**32 - 1; uint32 on NumPy, int64 elsewhere (the standard has no arithmetic that all libraries
        offer for unsigned integers).

    Examples
    --------
    >>> bool((philox_words(np, 5, Key(1), start=3) == philox_words(np, 8, Key(1))[3:]).all())
    True
    """
    block, skip = divmod(start, 8)
    blocks = -(-(skip + count) // 8)
    if xp is np:
        words = _bits(key, block).random_raw(4 * blocks).astype("<u8", copy=False).view("<u4")
    else:
        words = _philox(xp, block, blocks, key, device)
    return words[skip : skip + count]


_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_LOW = 0xFFFFFFFF


def _philox(xp: Namespace, block: int, blocks: int, key: Key, device: object) -> Array:
    """Blocks of the key's stream, in 32-bit words; see :func:`philox_words`."""
    c0 = xp.arange(block + 1, block + 1 + blocks, dtype=xp.int64, device=device)
    step = xp.full_like(c0, _signed(key.step))
    if key.counter is not None:
        step += key.counter
    encrypted = _rounds(c0, xp.zeros_like(c0), step, xp.zeros_like(c0), key)
    halves = [half for c in encrypted for half in (c & _LOW, _high(c))]
    return xp.reshape(xp.stack(halves, axis=1), (-1,))


def _rounds(c0: Array, c1: Array, c2: Array, c3: Array, key: Key) -> tuple[Array, Array, Array, Array]:
    """Ten rounds of Philox4x64 on int64 arrays: sums and products wrap modulo 2**64, which is what the cipher wants."""
    k0, k1 = key.words()
    for _ in range(10):
        high0, low0 = _multiply(_MULTIPLIERS[0], c0)
        high1, low1 = _multiply(_MULTIPLIERS[1], c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ _signed(k0), low1, high0 ^ c3 ^ _signed(k1), low0
        k0, k1 = k0 + _WEYL[0], k1 + _WEYL[1]
    return c0, c1, c2, c3


def _multiply(a: int, b: Array) -> tuple[Array, Array]:
    """Upper and lower 64 bits of the 128-bit product of a constant and an int64 array, by 32-bit limbs."""
    al, ah = a & _LOW, a >> 32
    bl, bh = b & _LOW, _high(b)
    low, cross, cross2 = al * bl, al * bh, ah * bl
    middle = _high(low) + (cross & _LOW) + (cross2 & _LOW)
    return ah * bh + _high(cross) + _high(cross2) + (middle >> 32), (low & _LOW) | (middle << 32)


def _high(x: Array) -> Array:
    return (x >> 32) & _LOW  # the mask makes the arithmetic shift a logical one


def _signed(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63
