"""How often captions use a word, beside the references."""

from __future__ import annotations

import collections
import math
from collections.abc import Iterable
from typing import NamedTuple

from captioning_utils.base.errors import InputError


class WordUse(NamedTuple):
    """How often a captioner and people write a word."""

    word: str
    candidate_rate: float  # uses per 1,000 words that the captioner writes
    reference_rate: float  # uses per 1,000 words that people write
    evidence: float  # log-likelihood ratio G²; above 10.8, chance alone gives it one time in 1,000


def compare_word_use(candidates: Iterable[str], references: Iterable[Iterable[str]]) -> list[WordUse]:
    """Compare which words a captioner writes with those that people write of the same photos.

    Example:
        >>> use = compare_word_use(["a dog", "a dog"], [["the dog runs", "the dog"], ["the puppy"]])
        >>> use[0].word, use[0].candidate_rate, use[0].reference_rate
        ('a', 500.0, 0.0)

    References:
        Dunning 1993, Accurate Methods for the Statistics of Surprise and Coincidence.
    """
    written = collections.Counter(word for caption in candidates for word in caption.split())
    expected = collections.Counter(word for captions in references for caption in captions for word in caption.split())
    totals = written.total(), expected.total()
    if not all(totals):
        raise InputError(f"{totals[0]} words of a captioner and {totals[1]} of people; give some of both")
    uses = [_word_use(word, (written[word], expected[word]), totals) for word in written | expected]
    return sorted(uses, key=lambda use: (-use.evidence, use.word))


def _word_use(word: str, counts: tuple[int, int], totals: tuple[int, int]) -> WordUse:
    evidence = 0.0
    for count, total in zip(counts, totals, strict=True):
        chance = total * sum(counts) / sum(totals)
        evidence += 2 * count * math.log(count / chance) if count else 0.0
    return WordUse(word, 1000 * counts[0] / totals[0], 1000 * counts[1] / totals[1], evidence)
