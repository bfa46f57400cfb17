"""BLEU: the share of n-grams that a caption has in common with its references."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_ORDER = 4  # BLEU-1 to BLEU-4


def compute_bleu_statistics(
    candidates: Sequence[Sequence[Hashable]], references: Sequence[Sequence[Sequence[Hashable]]]
) -> NDArray[np.int64]:
    """Count, for each photo, all that BLEU needs; sums of these rows give the BLEU of any set of photos.

    The counting is nltk's. What nltk's `corpus_bleu` does differently from coco-caption is put right: a
    candidate of fewer than n words has no n-grams, and nltk counts one for it.

    Args:
        candidates: list of n token lists.
        references: list of n lists of token lists, at least one a photo.

    Returns:
        int64 `(n, 10)`: matched 1- to 4-grams, the candidate's 1- to 4-grams, the candidate's length, and the
        length of the reference that is closest to it (the shorter one of two equally close).

    Example:
        >>> compute_bleu_statistics([["a", "dog"]], [[["a", "dog", "runs"], ["dogs"]]]).tolist()
        [[2, 1, 0, 0, 2, 1, 0, 0, 2, 1]]

    References:
        Papineni et al. 2002, BLEU; https://www.nltk.org/api/nltk.translate.bleu_score.html
    """
    from nltk.translate.bleu_score import closest_ref_length, modified_precision

    orders = range(1, MAX_ORDER + 1)
    rows = np.zeros((len(candidates), 2 * MAX_ORDER + 2), np.int64)
    for row, candidate, captions in zip(rows, candidates, references, strict=True):
        length = len(candidate)
        matches = [modified_precision(captions, candidate, order).numerator for order in orders]
        totals = [max(0, length - order + 1) for order in orders]
        row[:] = [*matches, *totals, length, closest_ref_length(captions, length)]
    return rows


def compute_bleu(bleu_statistics: NDArray[Any], brevity_penalty: bool = True) -> NDArray[np.float64]:
    """BLEU-1 to BLEU-4 from counts, as coco-caption computes them.

    Args:
        bleu_statistics: number `(..., 10)`: rows of `compute_bleu_statistics`, or sums of such rows.
        brevity_penalty: bool; False leaves the penalty on short captions out.

    Returns:
        float64 `(..., 4)`, in [0, 1].

    Example:
        >>> statistics = compute_bleu_statistics([["a", "dog"]], [[["a", "dog", "runs"]]])
        >>> compute_bleu(statistics.sum(axis=0))[:2].round(3).tolist()  # exp(1 - 3/2): one word short
        [0.607, 0.607]

    References:
        Papineni et al. 2002, BLEU; https://github.com/tylin/coco-caption, bleu_scorer.py
    """
    counts = np.asarray(bleu_statistics, np.float64)
    matches, totals = counts[..., :MAX_ORDER], counts[..., MAX_ORDER : 2 * MAX_ORDER]
    # coco-caption's constants: no match gives almost 0, and no n-gram at all (a short caption) 1e-6.
    precisions = (matches + 1e-15) / (totals + 1e-9)
    bleu = np.cumprod(precisions, axis=-1) ** (1 / np.arange(1, MAX_ORDER + 1))  # (..., 4)
    if brevity_penalty:
        ratio = (counts[..., -2] + 1e-15) / (counts[..., -1] + 1e-9)
        bleu = bleu * np.exp(np.minimum(0, 1 - 1 / ratio))[..., None]
    return bleu
