"""Pairs of tokens: collected, united, packed for a file and back."""

import numpy as np
import pytest

from captioning_utils import InputError
from captioning_utils.base.word_pairs import build_table, collect_pairs, pack_pairs, unite_pairs, unpack_pairs


def draw_pairs(seed, vocabulary_size):
    rng = np.random.default_rng(seed)
    return collect_pairs(rng.integers(1, vocabulary_size, (seed, 7)).tolist())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("vocabulary_size", [5, 300, 2**15])
def test_packed_and_back(seed, vocabulary_size):
    pairs = draw_pairs(seed, vocabulary_size)
    packed = pack_pairs(pairs, vocabulary_size)
    assert (packed.dtype, packed.shape) == (np.uint16, (len(pairs) + vocabulary_size,))
    np.testing.assert_array_equal(unpack_pairs(packed, vocabulary_size), pairs)


def test_a_word_never_follows_itself():
    pairs = collect_pairs([[1, 4, 4, 5, 2], [1, 5, 5, 5, 2]])
    assert pairs.tolist() == [[1, 4], [1, 5], [4, 5], [5, 2]]


def test_the_table_has_a_bit_for_each_pair():
    pairs = draw_pairs(4, vocabulary_size=21)
    bits = np.unpackbits(build_table(pairs, 21), axis=1, bitorder="little")
    assert np.argwhere(bits).tolist() == pairs.tolist()


def test_united_pairs_are_those_of_either_and_unknown_ones_stay_unknown():
    first, second = draw_pairs(3, 9), draw_pairs(4, 9)
    expected = sorted({*map(tuple, first.tolist()), *map(tuple, second.tolist())})
    assert list(map(tuple, unite_pairs([first, second, first]).tolist())) == expected
    assert unite_pairs([first, None]) is None


GOOD = pack_pairs(np.array([[1, 4], [1, 5], [4, 5]]), 6)


@pytest.mark.parametrize(
    "packed",
    [
        GOOD.astype("float32"),
        GOOD.astype("uint32"),
        GOOD[:, None],
        GOOD[:-1],
        np.append(GOOD, 0).astype("uint16"),
        np.append(GOOD[:-1], 3).astype("uint16"),
        np.zeros(0, "uint16"),
        np.where(GOOD == 5, 6, GOOD).astype("uint16"),  # no such token
        np.where(GOOD == 5, 4, GOOD).astype("uint16"),  # a pair twice
        np.where(GOOD == 5, 3, GOOD).astype("uint16"),  # falling
    ],
    ids=str,
)
def test_arrays_of_another_form_are_refused(packed):
    assert unpack_pairs(GOOD, 6).tolist() == [[1, 4], [1, 5], [4, 5]]
    with pytest.raises(InputError, match="pairs of words are no rising lists"):
        unpack_pairs(packed, 6)
