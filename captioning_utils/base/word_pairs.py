"""Which token follows which in captions, so that a search joins only words that people have joined.

Such pairs are an int32 array `(num_pairs, 2)`, each pair once, in rising order.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from captioning_utils.base.errors import InputError

LARGEST_VOCABULARY = 2**15  # with so many words the table of a search has 128 MiB


def collect_pairs(captions: Iterable[Sequence[int]]) -> NDArray[np.int32]:
    """The neighbouring tokens of captions, but for a token that follows itself: "a a" is a slip of the hand.

    Args:
        captions: iterable of lists of token ids, start and end token included.

    Returns:
        int32 `(num_pairs, 2)`.

    Example:
        >>> collect_pairs([[1, 4, 5, 2], [1, 4, 4, 5, 2]]).tolist()
        [[1, 4], [4, 5], [5, 2]]
    """
    pairs = {pair for tokens in captions for pair in itertools.pairwise(tokens)}
    return np.array(sorted(pair for pair in pairs if pair[0] != pair[1]), np.int32).reshape(-1, 2)


def unite_pairs(several: Iterable[NDArray[np.int32] | None]) -> NDArray[np.int32] | None:
    """The pairs that are in any of several arrays, or None where one is None: its pairs are not known.

    Example:
        >>> unite_pairs([np.array([[1, 4]]), np.array([[1, 4], [1, 5]])]).tolist()
        [[1, 4], [1, 5]]
    """
    known = []
    for pairs in several:
        if pairs is None:
            return None
        known.append(pairs)
    return np.unique(np.concatenate(known), axis=0)


def build_table(pairs: NDArray[np.int32], vocabulary_size: int) -> NDArray[np.uint8]:
    """The pairs as bits: in row `first`, bit `second % 8` of byte `second // 8`.

    Returns:
        uint8 `(vocabulary_size, ⌈vocabulary_size / 8⌉)`.

    Example:
        >>> build_table(np.array([[1, 0], [1, 9]]), vocabulary_size=10)[1].tolist()
        [1, 2]
    """
    table = np.zeros((vocabulary_size, -(-vocabulary_size // 8)), np.uint8)
    first, second = pairs.T
    np.bitwise_or.at(table, (first, second // 8), np.left_shift(1, second % 8).astype(np.uint8))
    return table


def pack_pairs(pairs: NDArray[np.int32], vocabulary_size: int) -> NDArray[np.uint16]:
    """The pairs as a file keeps them: for every token those that follow it, and behind them 0, which follows none.

    Returns:
        uint16 `(vocabulary_size + num_pairs,)`.

    Example:
        >>> pack_pairs(np.array([[1, 4], [1, 5], [4, 5]]), vocabulary_size=6).tolist()
        [0, 4, 5, 0, 0, 0, 5, 0, 0]
    """
    ends = np.cumsum(np.bincount(pairs[:, 0], minlength=vocabulary_size))
    return np.insert(pairs[:, 1], ends, 0).astype(np.uint16)


def unpack_pairs(packed: NDArray[Any], vocabulary_size: int) -> NDArray[np.int32]:
    """The opposite of `pack_pairs`. The array may come from a stranger's file: all of it is checked.

    Raises:
        InputError: where it is not of that form.

    Example:
        >>> unpack_pairs(np.array([0, 4, 5, 0, 0, 0, 5, 0, 0], np.uint16), vocabulary_size=6).tolist()
        [[1, 4], [1, 5], [4, 5]]
    """
    if packed.dtype == np.uint16 and packed.ndim == 1 and (packed[-1:] == 0).all():
        ends = packed == 0
        pairs = np.stack([np.cumsum(ends), packed], axis=1)[~ends].astype(np.int32)
        rising = np.diff(pairs.astype(np.int64) @ (vocabulary_size, 1)) > 0
        if np.count_nonzero(ends) == vocabulary_size and packed.max() < vocabulary_size and rising.all():
            return pairs
    raise InputError(
        "the pairs of words are no rising lists of the vocabulary's token ids; copy or download the file again"
    )
