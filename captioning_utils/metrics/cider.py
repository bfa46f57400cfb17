"""CIDEr and CIDEr-D: how well a caption agrees with what several people wrote about the same photo."""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from captioning_utils.base.errors import InputError

Ngram: TypeAlias = tuple[Hashable, ...]
_ORDERS = (1, 2, 3, 4)  # n-grams of 1 to 4 tokens, as in the paper
SIGMA = 6.0  # tokens; width of CIDEr-D's penalty on a difference in length


class NgramVector(NamedTuple):
    """One caption as CIDEr sees it: for each n-gram order a sparse vector of count × rarity, and its norm."""

    weights: list[dict[Ngram, float]]  # one dict {n-gram: weight} an order
    norms: list[float]  # one float an order, the Euclidean norm of its weights
    length: int  # tokens


class Cider:
    """CIDEr and CIDEr-D against fixed reference captions.

    The document frequencies (for how many photos somebody used an n-gram) are counted once, on construction.
    Tokens may be words or token ids; candidates must then use the same kind. With the references of a single
    photo every n-gram is in every photo, its rarity is log 1 = 0, and so is the score.

    Args:
        references: dict `{image_id: [tokens, ...]}`, tokens a list of hashables (str or int), at least one
            caption a photo.
        keep_vectors: bool. False makes a photo's reference vectors when they are asked for: little memory,
            right for scoring every photo once. True keeps them (about 25 KB a photo with five captions):
            right when each photo is scored many times, as in self-critical training.

    Raises:
        InputError: where there are no photos, or one has no reference caption.

    Example:
        >>> cider = Cider({
        ...     "a.jpg": [["a", "dog", "runs", "on", "grass"]],
        ...     "b.jpg": [["two", "men", "ride", "a", "bus"]],
        ... })
        >>> round(cider.score_d("a.jpg", ["a", "dog", "runs", "on", "grass"]), 6)
        10.0
        >>> cider.score_d("b.jpg", ["grass"])
        0.0

    References:
        Vedantam, Zitnick and Parikh 2015, CIDEr: Consensus-based Image Description Evaluation
        (arXiv:1411.5726), equations 1 to 5; https://github.com/vrama91/cider. What coco-caption and
        pycocoevalcap print as "CIDEr" is CIDEr-D.
    """

    def __init__(self, references: Mapping[Any, Sequence[Sequence[Hashable]]], keep_vectors: bool = False) -> None:
        empty = [image_id for image_id, captions in references.items() if not captions]
        if empty or not references:
            raise InputError(
                f"CIDEr got {len(references)} photos, {len(empty)} of them without a reference caption "
                f"{empty[:3]!r:.200}; give at least one photo and at least one caption for each"
            )
        self._references = references
        self._log_documents = math.log(len(references))
        self._rarity = self._compute_rarity()
        self._kept: dict[Any, list[NgramVector]] | None = {} if keep_vectors else None

    def _compute_rarity(self) -> dict[Ngram, float]:
        documents: Counter[Ngram] = Counter()
        for captions in self._references.values():
            documents.update(set().union(*(iterate_ngrams(tokens, order) for tokens in captions for order in _ORDERS)))
        # An n-gram in one photo or in none has the full rarity, so only the others need a place.
        return {ngram: self._log_documents - math.log(count) for ngram, count in documents.items() if count > 1}

    def vectorize(self, tokens: Sequence[Hashable]) -> NgramVector:
        """The `NgramVector` of one caption.

        Args:
            tokens: list of hashables, possibly empty.

        Returns:
            `NgramVector`; weight = count of the n-gram in the caption × log(photos / photos that use it).

        Example:
            >>> Cider({1: [["a", "dog"]], 2: [["a", "cat"]]}).vectorize(["a", "dog"]).weights[0]
            {('a',): 0.0, ('dog',): 0.693...}
        """
        rarity, highest = self._rarity, self._log_documents
        return vectorize_ngrams(tokens, lambda ngram, count: count * rarity.get(ngram, highest))

    def score_d(self, image_id: Any, tokens: Sequence[Hashable]) -> float:
        """CIDEr-D of one candidate: counts clipped to the reference's, other lengths penalised.

        Args:
            image_id: a key of the references.
            tokens: list of hashables, the candidate; it may be empty.

        Returns:
            float from 0 to 10; the score of a whole set is the mean over its photos.

        Raises:
            KeyError: for a photo without references.
        """
        return 10.0 * self._mean_over_references(image_id, tokens, similarity_d)

    def score(self, image_id: Any, tokens: Sequence[Hashable]) -> float:
        """Plain CIDEr of one candidate: the mean cosine to the references. See `score_d`, same range."""
        return 10.0 * self._mean_over_references(image_id, tokens, similarity)

    def _mean_over_references(
        self, image_id: Any, tokens: Sequence[Hashable], compare: Callable[[NgramVector, NgramVector], float]
    ) -> float:
        candidate, references = self.vectorize(tokens), self._reference_vectors(image_id)
        return sum(compare(candidate, reference) for reference in references) / len(references)

    def _reference_vectors(self, image_id: Any) -> list[NgramVector]:
        if self._kept is not None and image_id in self._kept:
            return self._kept[image_id]
        vectors = [self.vectorize(tokens) for tokens in self._references[image_id]]
        if self._kept is not None:
            self._kept[image_id] = vectors
        return vectors


def vectorize_ngrams(
    tokens: Sequence[Hashable], weigh: Callable[[Ngram, int], float] = lambda ngram, count: count
) -> NgramVector:
    """The `NgramVector` of one caption, without any references.

    Example:
        >>> vectorize_ngrams(["a", "dog", "a"]).weights[0]
        {('a',): 2, ('dog',): 1}
    """
    weights = [
        {ngram: weigh(ngram, count) for ngram, count in Counter(iterate_ngrams(tokens, order)).items()}
        for order in _ORDERS
    ]
    norms = [math.sqrt(sum(weight * weight for weight in order.values())) for order in weights]
    return NgramVector(weights, norms, len(tokens))


def similarity(first: NgramVector, second: NgramVector) -> float:
    """Mean over the n-gram orders of the cosine between two `NgramVector`s, in [0, 1].

    A caption shorter than four tokens has no 4-grams; that order counts 0, also against itself.

    Example:
        >>> cider = Cider({1: [["a", "dog"]], 2: [["a", "cat"]]})
        >>> similarity(cider.vectorize(["a", "dog"]), cider.vectorize(["a", "dog"]))
        0.5
    """
    total = 0.0
    for left, right, left_norm, right_norm in zip(
        first.weights, second.weights, first.norms, second.norms, strict=True
    ):
        if left_norm and right_norm:
            product = sum(weight * right[ngram] for ngram, weight in left.items() if ngram in right)
            total += min(1.0, product / (left_norm * right_norm))  # rounding can push it above
    return total / len(_ORDERS)


def similarity_d(candidate: NgramVector, reference: NgramVector) -> float:
    """CIDEr-D's similarity of two `NgramVector`s, in [0, 1].

    Repeating a word does not pay (weights are clipped to the reference's), and neither does another length.
    """
    total = 0.0
    for left, right, left_norm, right_norm in zip(
        candidate.weights, reference.weights, candidate.norms, reference.norms, strict=True
    ):
        if left_norm and right_norm:
            clipped = sum(min(weight, right[ngram]) * right[ngram] for ngram, weight in left.items() if ngram in right)
            total += min(1.0, clipped / (left_norm * right_norm))
    difference = candidate.length - reference.length
    return total / len(_ORDERS) * math.exp(-(difference**2) / (2 * SIGMA**2))


def iterate_ngrams(tokens: Sequence[Hashable], order: int) -> Iterator[Ngram]:
    """An iterator over the n-grams of a list of tokens, as tuples of `order` tokens.

    Example:
        >>> list(iterate_ngrams(["a", "brown", "dog"], 2))
        [('a', 'brown'), ('brown', 'dog')]
    """
    # zip ends with the shortest list, which is where the last n-gram ends.
    return zip(*(tokens[start:] for start in range(order)), strict=False)
