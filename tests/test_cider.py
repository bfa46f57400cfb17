"""CIDEr and CIDEr-D: against dense arithmetic, on words and on ids."""

import random

import numpy as np
import pytest

from captioning_utils import InputError
from captioning_utils.metrics import Cider
from captioning_utils.metrics.cider import iterate_ngrams


def draw_references(num_images, seed=0):
    rng = random.Random(seed)
    return {n: [rng.choices("abcdefgh", k=rng.randint(1, 9)) for _ in range(3)] for n in range(num_images)}


def dense_cider(references, image_id, candidate):
    """Equations 1 to 3 of the paper, written out with a full matrix for each order."""
    total = 0.0
    for order in range(1, 5):
        grams = {gram for photo in references.values() for tokens in photo for gram in iterate_ngrams(tokens, order)}
        grams = sorted(grams | set(iterate_ngrams(candidate, order)))
        holds = [
            [any(gram in set(iterate_ngrams(tokens, order)) for tokens in photo) for gram in grams]
            for photo in references.values()
        ]
        rarity = np.log(len(references) / np.maximum(1, np.sum(holds, axis=0)))

        def vector(tokens, order=order, grams=grams, rarity=rarity):
            return rarity * [list(iterate_ngrams(tokens, order)).count(gram) for gram in grams]

        left = vector(candidate)
        for tokens in references[image_id]:
            right = vector(tokens)
            norm = np.linalg.norm(left) * np.linalg.norm(right)
            total += left @ right / norm if norm else 0.0
    return 10 * total / 4 / len(references[image_id])


def test_plain_cider_is_the_papers():
    references = draw_references(8)
    cider = Cider(references)
    rng = random.Random(1)
    scores = []
    for image_id in references:
        candidate = rng.choices("abcdefghz", k=rng.randint(0, 9))
        scores.append(cider.score(image_id, candidate))
        assert scores[-1] == pytest.approx(dense_cider(references, image_id, candidate), abs=1e-9)
    assert max(scores) > 0.5


def test_cider_d_does_not_pay_for_repetition_or_length():
    cider = Cider({1: [["a", "dog", "runs", "fast"]], 2: [["two", "men", "sit"]], 3: [["a", "cat", "runs"]]})
    honest, padded = ["a", "dog", "runs", "fast"], ["dog"] * 12
    assert cider.score_d(1, honest) == pytest.approx(10)
    assert cider.score(1, honest) == pytest.approx(10)
    assert cider.score(1, padded) > 1.5
    assert cider.score_d(1, padded) < cider.score(1, padded) / 10


def test_ids_score_as_words_do():
    references = draw_references(20)
    ids = {n: [[ord(word) for word in tokens] for tokens in photo] for n, photo in references.items()}
    by_word, by_id = Cider(references), Cider(ids, keep_vectors=True)
    for image_id in references:
        candidate = references[(image_id + 1) % 20][0]
        expected = by_word.score_d(image_id, candidate)
        for _ in range(2):  # the second time from the vectors that were kept
            assert by_id.score_d(image_id, [ord(word) for word in candidate]) == expected


@pytest.mark.parametrize("references", [{}, {1: [["a"]], 2: []}])
def test_photos_without_references_are_refused(references):
    with pytest.raises(InputError, match="at least one caption"):
        Cider(references)
