import numpy as np
import pytest

from captioning_utils.generation import SHARPNESS, measure_agreement
from captioning_utils.metrics import Cider

SENTENCES = [
    ["a", "dog", "runs", "on", "the", "grass"],
    ["a", "dog", "runs", "on", "the", "snow"],
    ["a", "cat", "sits", "on", "the", "grass"],
    ["snow"],
]


def test_equals_the_mean_cider_d_where_every_ngram_is_equally_rare():
    # Photos that share no word have equal rarity for every n-gram of theirs, which then cancels in the cosine.
    references = {1: SENTENCES, 2: [["x", "y", "z", "w"]]}
    agreement = measure_agreement(SENTENCES, np.zeros(len(SENTENCES)))
    expected = [Cider(references).score_d(1, sentence) / 10 for sentence in SENTENCES]
    np.testing.assert_allclose(agreement, expected, rtol=1e-6)


def test_a_likelier_sentence_counts_more():
    scores = np.array([-1.0, -2.0, -3.0, -4.0])
    weights = np.exp(SHARPNESS * scores) / np.exp(SHARPNESS * scores).sum()
    each = [measure_agreement([sentence, other], np.zeros(2)) * 2 for sentence in SENTENCES for other in SENTENCES]
    own = [measure_agreement([sentence], np.zeros(1))[0] for sentence in SENTENCES]
    pairwise = np.array([values[0] for values in each]).reshape(4, 4) - np.array(own)[:, None]
    np.testing.assert_allclose(measure_agreement(SENTENCES, scores), pairwise @ weights, rtol=1e-5)


@pytest.mark.parametrize("count", [0, 1])
def test_few_sentences(count):
    assert measure_agreement(SENTENCES[:count], np.zeros(count)).shape == (count,)


def test_order_does_not_matter():
    scores, order = np.array([-1.0, -1.5, -0.5, -2.0]), [2, 0, 3, 1]
    shuffled = measure_agreement([SENTENCES[i] for i in order], scores[order])
    np.testing.assert_allclose(shuffled, measure_agreement(SENTENCES, scores)[order], rtol=1e-6)
