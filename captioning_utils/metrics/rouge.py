"""ROUGE-L: the longest common subsequence with a reference."""

from collections.abc import Sequence

ROUGE_BETA = 1.2  # recall counts this much more than precision, as in coco-caption


def compute_rouge_l(candidate: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """ROUGE-L of one candidate: the longest common subsequence, best precision and best recall, β = 1.2.

    Example:
        >>> from captioning_utils.metrics import format_score
        >>> format_score(compute_rouge_l(["a", "dog", "runs"], [["a", "brown", "dog", "runs"]]))
        '83.6'

    References:
        Lin 2004, ROUGE; https://github.com/tylin/coco-caption, rouge.py
    """
    candidate = candidate or [""]  # coco-caption splits "" into one empty word
    precision = recall = 0.0
    for reference in references:
        reference = reference or [""]
        common = _longest_common_subsequence(candidate, reference)
        precision = max(precision, common / len(candidate))
        recall = max(recall, common / len(reference))
    if not precision or not recall:
        return 0.0
    return (1 + ROUGE_BETA**2) * precision * recall / (recall + ROUGE_BETA**2 * precision)


def _longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Its length, one whole row of the usual table at a time.

    Neighbours in a row of the table differ by 0 or 1; a bit of `same` is 1 where they do not differ, and
    integer arithmetic moves the row on by one word (Hyyrö 2004, Bit-parallel LCS-length computation revisited).
    """
    places: dict[str, int] = {}
    for place, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << place
    everywhere = same = (1 << len(first)) - 1
    for word in second:
        hits = same & places.get(word, 0)
        same = (same + hits | same - hits) & everywhere
    return len(first) - same.bit_count()
