"""CIDEr-D of many sentences at once, on token ids: quick enough to be the reward of a training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from captioning_utils.metrics.cider import SIGMA
from captioning_utils.text import Vocabulary, pad_captions

ORDERS = 4  # n-grams of 1 to 4 tokens
_ODD = np.uint64(0x9E3779B97F4A7C15)


class CiderReward:
    """CIDEr-D of drawn sentences against what people wrote about the photos.

    It equals the CIDEr-D of `metrics.Cider` on the cleaned words with an end word behind each caption. The end counts
    as a word because otherwise a sentence that breaks off ("a dog with a") loses nothing. An n-gram is a 64-bit number,
    and what is looked up is an array, so that hundreds of sentences take some milliseconds. (That two n-grams get the
    same number is less likely than a fault of the memory.)

    Args:
        captions: dict of image_id to list of cleaned captions (str), the references.
        vocabulary: `Vocabulary` of the drawn sentences.

    Example:
        >>> from captioning_utils.text import build_vocabulary
        >>> captions = {"a.jpg": ["a dog runs on grass"], "b.jpg": ["two cats sleep"]}
        >>> vocabulary = build_vocabulary(["a dog runs on grass"], min_count=1)
        >>> reward = CiderReward(captions, vocabulary)
        >>> round(reward("a.jpg", vocabulary.encode("a dog runs on grass")[1:]), 3)
        10.0

    References:
        Vedantam, Zitnick and Parikh 2015 (arXiv:1411.5726).
    """

    def __init__(self, captions: Mapping[str, Sequence[str]], vocabulary: Vocabulary) -> None:
        ids = {word: index for index, word in enumerate(vocabulary.words)}
        # Words that the captioner does not know get ids beyond its vocabulary, so they stay distinct.
        encoded = [
            [ids.setdefault(word, len(ids)) for word in caption.split()] + [Vocabulary.end_id]
            for several in captions.values()
            for caption in several
        ]
        counts = np.array([len(several) for several in captions.values()])
        self._photos = {image_id: number for number, image_id in enumerate(captions)}
        self._photo_of = np.repeat(np.arange(len(counts)), counts)  # (references,)
        place = np.arange(len(encoded)) - np.repeat(np.cumsum(counts) - counts, counts)  # among those of the photo
        self._counts = counts
        grams = _count_ngrams(pad_captions(encoded, max(map(len, encoded))))
        pairs, first, pair_of = np.unique(
            _mix(grams.key ^ _mix(self._photo_of[grams.sentence])), return_index=True, return_inverse=True
        )
        self._keys, documents = np.unique(grams.key[first], return_counts=True)
        self._highest = math.log(len(counts))
        self._rarity = self._highest - np.log(documents)
        weights = grams.times * self._rarity[np.searchsorted(self._keys, grams.key)]
        self._pairs = pairs  # sorted; of a photo and an n-gram in its references
        self._weights = np.zeros((len(pairs), counts.max()), np.float32)  # (pairs, references of the photo)
        self._weights[pair_of, place[grams.sentence]] = weights
        self._norms = np.zeros((len(counts), counts.max(), ORDERS))
        self._norms[self._photo_of, place] = _norms(grams, weights, len(encoded))
        self._lengths = np.zeros((len(counts), counts.max()))
        self._lengths[self._photo_of, place] = list(map(len, encoded))

    def __call__(self, image_id: str, token_ids: Sequence[int]) -> float:
        """The reward of one sentence: token ids (int) up to the end token, without the start token; float 0–10."""
        return float(self.score_batch([image_id], np.asarray(token_ids, np.int32).reshape(1, 1, -1))[0, 0])

    def score_batch(self, image_ids: Sequence[str], token_ids: NDArray[np.int32]) -> NDArray[np.float64]:
        """The rewards of some sentences for each of some photos.

        Args:
            image_ids: sequence of image_id, photos with references.
            token_ids: int32 `(photos, samples, max_length)`, without the start token, up to and with the end token,
                padded with 0.

        Returns:
            float64 `(photos, samples)`, from 0 to 10.
        """
        photos, samples, _ = token_ids.shape
        sentences = token_ids.reshape(photos * samples, -1)
        photo_of = np.repeat([self._photos[image_id] for image_id in image_ids], samples)
        grams = _count_ngrams(sentences)
        place, known = _find(self._keys, grams.key)
        weights = grams.times * np.where(known, self._rarity[place], self._highest)
        norms = _norms(grams, weights, len(sentences))[:, None, :] * self._norms[photo_of]  # (sentences, refs, orders)
        place, shared = _find(self._pairs, _mix(grams.key ^ _mix(photo_of[grams.sentence])))
        theirs = self._weights[place[shared]].astype(np.float64)  # (shared n-grams, references)
        products = np.minimum(weights[shared][:, None], theirs) * theirs
        slots = grams.sentence[shared] * ORDERS + grams.order[shared]
        sums = np.stack([np.bincount(slots, column, len(sentences) * ORDERS) for column in products.T])
        sums = sums.reshape(-1, len(sentences), ORDERS).transpose(1, 0, 2).astype(np.float64)
        similar = np.divide(sums, norms, out=np.zeros_like(sums), where=norms > 0).mean(axis=2)  # (sentences, refs)
        difference = (sentences != Vocabulary.pad_id).sum(axis=1)[:, None] - self._lengths[photo_of]
        similar *= np.exp(-(difference**2) / (2 * SIGMA**2))
        return (10.0 * similar.sum(axis=1) / self._counts[photo_of]).reshape(photos, samples)


class _Ngrams(NamedTuple):
    """The different n-grams of some sentences; arrays of one length."""

    sentence: NDArray[np.int64]
    order: NDArray[np.int64]  # 0 for single tokens
    key: NDArray[np.uint64]
    times: NDArray[np.int64]  # in the sentence


def _count_ngrams(sentences: NDArray[Any]) -> _Ngrams:
    """Token ids (sentences, length), padded with 0 on the right → their n-grams."""
    ids = sentences.astype(np.uint64) + np.uint64(1)
    real = sentences != Vocabulary.pad_id
    parts = []
    keys = np.zeros_like(ids)
    for order in range(min(ORDERS, sentences.shape[1])):
        width = sentences.shape[1] - order
        keys = _mix(keys[:, :width] ^ _mix(ids[:, order:] * np.uint64(ORDERS) + np.uint64(order)))
        rows, _ = np.nonzero(real[:, order:])
        parts.append((rows, np.full(len(rows), order), keys[real[:, order:]]))
    sentence, order_of, key = (np.concatenate(part) for part in zip(*parts, strict=True))
    _, first, times = np.unique(_mix(key ^ _mix(sentence)), return_index=True, return_counts=True)
    return _Ngrams(sentence[first], order_of[first], key[first], times)


def _norms(grams: _Ngrams, weights: NDArray[Any], sentences: int) -> NDArray[np.float64]:
    """The length of each sentence's vector of each order: (sentences, orders)."""
    squares = np.bincount(grams.sentence * ORDERS + grams.order, weights**2, sentences * ORDERS)
    return np.sqrt(squares).reshape(sentences, ORDERS)


def _find(sorted_keys: NDArray[np.uint64], keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where keys are among sorted ones, and which are there at all."""
    place = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    return place, sorted_keys[place] == keys


def _mix(numbers: NDArray[Any]) -> NDArray[np.uint64]:
    """Numbers → 64-bit numbers that look random, different ones for different ones (SplitMix64)."""
    mixed = numbers.astype(np.uint64) * _ODD + _ODD
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
