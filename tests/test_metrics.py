"""BLEU, ROUGE-L and CIDEr-D against pycocoevalcap and nltk; what goes in and what comes out."""

import json
import random
import re
from pathlib import Path

import numpy as np
import pytest
from nltk.translate.bleu_score import corpus_bleu
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from captioning_utils import InputError
from captioning_utils.metrics import (
    METRIC_LABELS,
    compute_bleu,
    compute_bleu_statistics,
    compute_rouge_l,
    compute_scores,
    format_score,
)
from captioning_utils.text import clean_caption

FLICKR8K = Path(__file__).parents[2] / "shared" / "flickr8k"
needs_flickr8k = pytest.mark.skipif(not FLICKR8K.is_dir(), reason="Flickr8k is not beside the repository")


def coco_scores(candidates, references):
    """({metric: score of the set}, {metric: scores of the photos}) as pycocoevalcap computes them."""
    ours = {image_id: [clean_caption(candidates[image_id])] for image_id in references}
    theirs = {image_id: list(map(clean_caption, captions)) for image_id, captions in references.items()}
    bleu, bleu_per_image = Bleu(4).compute_score(theirs, ours, verbose=0)
    corpus = {f"bleu_{order}": score for order, score in enumerate(bleu, 1)}
    per_image = {f"bleu_{order}": scores for order, scores in enumerate(bleu_per_image, 1)}
    corpus["rouge_l"], per_image["rouge_l"] = Rouge().compute_score(theirs, ours)
    corpus["cider_d"], per_image["cider_d"] = Cider().compute_score(theirs, ours)
    return corpus, per_image


def assert_equal_to_coco(candidates, references):
    scores = compute_scores(candidates, references)
    corpus, per_image = coco_scores(candidates, references)
    assert scores.corpus == pytest.approx(corpus, rel=0, abs=1e-6)
    for metric, expected in per_image.items():
        got = [scores.per_image[image_id][metric] for image_id in references]
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6, err_msg=metric)


def read_flickr8k_test():
    captions = {}
    for line in (FLICKR8K / "Flickr8k.token.txt").read_text(encoding="utf-8").splitlines():
        name, caption = line.split("\t")
        captions.setdefault(name.split("#")[0], []).append(caption)
    return {name: captions[name] for name in (FLICKR8K / "Flickr_8k.testImages.txt").read_text().split()}


def draw_captions(num_images, seed=0):
    """Made-up captions: a photo's five share a topic of ten words; common words are common everywhere."""
    rng = random.Random(seed)
    common = ["a", "the", "in", "is", "on", "two"]
    rare = [f"w{number}" for number in range(400)]
    references = {}
    for image_id in range(num_images):
        topic = rng.sample(rare, 6) + common
        references[image_id] = [" ".join(rng.choices(topic, k=rng.randint(3, 14))) for _ in range(5)]
    return references


def spoil(references, seed=0):
    """One candidate a photo: a reference with words lost or doubled, or another photo's caption."""
    rng = random.Random(seed)
    everything = [caption for captions in references.values() for caption in captions]
    candidates = {}
    for image_id, captions in references.items():
        words = rng.choice(captions if rng.random() < 0.7 else everything).split()
        candidates[image_id] = " ".join(word for word in words for _ in range(rng.choice([0, 1, 1, 1, 1, 2])))
    return candidates


@needs_flickr8k
def test_equals_coco_caption_on_flickr8k():
    references = read_flickr8k_test()
    assert len(references) == 1000
    assert_equal_to_coco(spoil(references), references)


def test_equals_coco_caption_on_made_up_captions():
    references = draw_captions(1000)
    assert_equal_to_coco(spoil(references), references)


REFERENCES = {
    1: ["A dog runs on green grass.", "The dog is running."],
    2: ["Two men sit on a bench", "men on a bench", "Two men"],
    3: ["A café by the sea", "ein Café am Meer"],
}


@pytest.mark.parametrize(
    "candidates",
    [
        {1: "", 2: "two men sit", 3: "a café by the sea"},
        {1: "", 2: "", 3: ""},
        {1: "dog", 2: "men", 3: "café"},
        {1: "dog", 2: "zebra", 3: "x"},
        {1: "a dog runs", 2: "two men", 3: "the sea"},
        {1: "purple zebras fly over hills", 2: "nothing here fits", 3: "犬が走る"},
        {1: "the the the the the", 2: "two two men men on", 3: "a a café café"},
        {1: "a dog runs on green grass and on and on", 2: "Two men!", 3: "CAFÉ"},
        {1: "A dog runs on green grass", 2: "Two men", 3: "A café by the sea"},
        *({1: caption} for caption in ("", "dog", "a dog runs on green grass", "nothing")),
    ],
)
def test_equals_coco_caption_on_hard_cases(candidates):
    assert_equal_to_coco(candidates, {n: REFERENCES[n] for n in candidates})


def test_equals_coco_caption_where_no_word_is_left_of_a_reference():
    assert_equal_to_coco({1: "", 2: "a dog", 3: ""}, {1: ["...", "a dog"], 2: ["!"], 3: ["a cat"]})


def nltk_bleu(candidates, references):
    weights = [tuple([1 / order] * order) for order in range(1, 5)]
    return corpus_bleu(references, candidates, weights=weights)


def test_bleu_is_nltks_where_no_candidate_is_short():
    references = [[caption.split() for caption in captions] for captions in draw_captions(200).values()]
    candidates = [captions[0] + captions[1] for captions in references]
    bleu = compute_bleu(compute_bleu_statistics(candidates, references).sum(axis=0))
    np.testing.assert_allclose(bleu, nltk_bleu(candidates, references), rtol=0, atol=1e-9)


def test_bleu_counts_no_ngrams_for_candidates_too_short_to_have_any():
    candidates = [["a", "dog", "runs", "on", "grass"], ["dog"]]
    references = [[["a", "dog", "runs", "on", "grass"]], [["dog"]]]
    bleu = compute_bleu(compute_bleu_statistics(candidates, references).sum(axis=0))
    np.testing.assert_allclose(bleu, 1, atol=1e-6)
    assert nltk_bleu(candidates, references)[3] < 0.9  # nltk counts a missed 4-gram for "dog"


def test_bleu_is_computed_for_stacks_of_sums():
    statistics = compute_bleu_statistics([["a", "dog"], ["men"]], [[["a", "dog", "runs"]], [["two", "men"]]])
    stacked = compute_bleu(np.stack([statistics, statistics[::-1]]), brevity_penalty=False)
    assert stacked.shape == (2, 2, 4)
    np.testing.assert_array_equal(stacked[0], stacked[1, ::-1])
    np.testing.assert_allclose(stacked[0, :, 0], 1, atol=1e-6)


def table_lcs(first, second):
    table = np.zeros((len(first) + 1, len(second) + 1), int)
    for i, left in enumerate(first):
        for j, right in enumerate(second):
            table[i + 1, j + 1] = table[i, j] + 1 if left == right else max(table[i, j + 1], table[i + 1, j])
    return table[-1, -1]


def test_rouge_l_finds_the_longest_common_subsequence():
    rng = random.Random(0)
    for _ in range(300):
        first, second = (rng.choices("abcd", k=rng.randint(1, 70)) for _ in range(2))
        common = table_lcs(first, second)
        precision, recall = common / len(first), common / len(second)
        expected = 2.44 * precision * recall / (recall + 1.44 * precision) if common else 0
        assert compute_rouge_l(first, [second]) == pytest.approx(expected, abs=1e-12)


@needs_flickr8k
def test_human_agreement_on_flickr8k():
    # The first caption of each test photo against the other four. With punctuation made a space, as the
    # planning did it: 63.7/44.7/30.6/21.0, CIDEr-D 79.3. The standard protocol deletes it: "man's" -> "mans".
    references = {
        name: [re.sub(r"[^A-Za-z0-9]", " ", caption) for caption in captions]
        for name, captions in read_flickr8k_test().items()
    }
    first = {name: captions[0] for name, captions in references.items()}
    others = {name: captions[1:] for name, captions in references.items()}
    corpus = compute_scores(first, others).corpus
    printed = [format_score(corpus[name]) for name in ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "cider_d")]
    assert printed == ["63.7", "44.7", "30.6", "21.0", "79.3"]


@needs_flickr8k
def test_protocols_move_real_scores_the_way_they_are_known_to():
    references = read_flickr8k_test()
    cut = {name: " ".join(captions[0].split()[:6]) for name, captions in references.items()}
    others = {name: captions[1:] for name, captions in references.items()}
    standard, no_penalty, tutorial = (
        compute_scores(cut, others, protocol).corpus for protocol in ("standard", "show-attend-tell", "tutorial")
    )
    for order in range(1, 5):
        assert no_penalty[f"bleu_{order}"] > 1.2 * standard[f"bleu_{order}"]
    assert no_penalty["cider_d"] == standard["cider_d"]
    assert tutorial["bleu_1"] > standard["bleu_1"] + 0.02  # two tags in every caption are always right


def test_scores_are_ready_for_json_and_labelled():
    scores = compute_scores({1: "a dog", 2: "men", 3: "a café"}, REFERENCES, extra_metrics=("cider",))
    restored = json.loads(json.dumps(scores.to_dict()))
    assert restored["protocol"] == "standard"
    assert restored["num_images"] == 3
    assert restored["references_per_image"] == {"min": 2, "mean": pytest.approx(7 / 3), "max": 3}
    assert restored["left_out"] == 0
    assert set(restored["corpus"]) == set(restored["per_image"]["1"]) <= set(METRIC_LABELS)
    assert "CIDEr " in str(scores)
    assert "(protocol standard, 3 photos, 2 to 3 references each)" in str(scores)


@pytest.mark.parametrize(
    ("candidates", "references", "message"),
    [
        ({1: "a", 2: "b", 9: "c"}, {1: ["a"], 2: ["b"]}, r"without an entry in the references: 1 \(9\)"),
        ({1: "a"}, {n: ["a"] for n in range(1, 7)}, r"without a candidate: 5 \(2, 3, 4 and 2 more\)"),
        ({1: "a", 2: "b"}, {1: ["a"], 2: []}, r"empty list of references: 1 \(2\)"),
        ({1: None, 2: 5}, {1: ["a"], 2: ["b"]}, r"candidates that are no text: 2 \(1, 2\)"),
        ({1: "a"}, {1: "a dog"}, r"references that are no list of texts: 1 \(1\)"),
        ({1: "a"}, {1: ["a dog", None]}, r"references that are no list of texts: 1 \(1\)"),
        ({}, {}, "no photo has both"),
    ],
)
def test_bad_input_is_counted_and_named(candidates, references, message):
    with pytest.raises(InputError, match=message):
        compute_scores(candidates, references)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"protocol": "bleu"}, "give one of standard, show-attend-tell, tutorial, coco"),
        ({"extra_metrics": ("spice",)}, "spice"),
        ({"candidates": {"1": "a"}, "allow_missing": True}, "both must use the same ids"),
    ],
)
def test_unknown_names_and_ids_of_another_kind_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        compute_scores(**({"candidates": {1: "a"}, "references": {1: ["a"]}} | settings))


def test_allow_missing_scores_the_rest_and_counts():
    references = {**REFERENCES, 4: [], 5: ["a tree"]}
    candidates = {1: "a dog", 2: "two men", 3: "a café", 4: "a cat", 7: "a bus"}
    scores = compute_scores(candidates, references, allow_missing=True)
    assert scores.left_out == 3  # 4 has no reference, 5 no candidate, 7 is unknown
    assert list(scores.per_image) == [1, 2, 3]
    assert "3 photos left out" in str(scores)
    expected = compute_scores({n: candidates[n] for n in (1, 2, 3)}, REFERENCES)
    assert scores.corpus == expected.corpus
