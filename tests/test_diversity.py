"""Diversity and honesty numbers on captions whose numbers can be counted by hand."""

import json
import math

import pytest

from captioning_utils import InputError
from captioning_utils.metrics import compute_diversity, compute_scores, compute_set_diversity
from captioning_utils.metrics.diversity import repeats_trigram

TRAIN = ["A dog runs.", "A dog sits on grass.", "Two men talk."]


def test_diversity_counts():
    captions = ["a dog runs", "A DOG RUNS!", "a a zebra", "a man in a hat and a man in a coat"]
    report = compute_diversity(captions, TRAIN)
    assert report == json.loads(json.dumps(report))
    assert report == pytest.approx(
        {
            "num_captions": 4,
            "distinct_captions": 3,
            "distinct_share": 3 / 4,
            "novel_share": 2 / 4,
            "words_used": 9,  # a dog runs zebra man in hat and coat
            "words_used_share": 3 / 9,  # a dog runs, of a dog runs sits on grass two men talk
            "mean_length": (3 + 3 + 3 + 11) / 4,
            "repeated_trigram_share": 1 / 4,  # "a man in"
            "repeated_word_share": 1 / 4,  # "a a"
            "unknown_word_rate": (1 + 7) / 20,  # zebra; man in hat and man in coat
            "fluency": 2 / 4,  # "a a" and "a man" are no pairs of the train captions
        }
    )


def test_known_words_may_be_the_captioners_vocabulary():
    report = compute_diversity(["a dog", "a zebra"], TRAIN, known_words=["a", "zebra"])
    assert report["unknown_word_rate"] == 1 / 4
    assert report["words_used_share"] == 1


@pytest.mark.parametrize(
    ("caption", "fluent"),
    [("two men talk", True), ("dog", True), ("men two talk", False), ("a a dog runs", False), ("two two men", False)],
)
def test_a_fluent_caption_has_only_pairs_of_words_that_train_captions_have(caption, fluent):
    train = [*TRAIN, "Two two men talk."]  # a slip of the pen makes no doubled word right
    assert compute_diversity([caption], train)["fluency"] == fluent


def test_captions_without_words_have_no_rates_to_divide_by():
    report = compute_diversity(["", "..."], [])
    assert report["mean_length"] == report["unknown_word_rate"] == report["words_used_share"] == 0
    report = compute_set_diversity({1: ["", "..."]}, REFERENCES)
    assert report["div_1"] == report["self_cider"] == 0


@pytest.mark.parametrize(
    ("caption", "repeats"),
    [("", False), ("a a a", False), ("a a a a", True), ("a b c a b", False), ("a b c a b c", True)],
)
def test_a_repeated_trigram_is_three_words_twice(caption, repeats):
    assert repeats_trigram(caption.split()) is repeats


REFERENCES = {1: ["one two three four five six seven eight"], 2: ["nine ten eleven twelve"], 3: ["cat", "dog"]}


def test_equal_captions_have_no_diversity():
    report = compute_set_diversity({1: ["one two three four"] * 3, 2: ["nine ten eleven twelve"] * 2}, REFERENCES)
    assert report["div_1"] == pytest.approx((4 / 12 + 4 / 8) / 2)
    assert report["div_2"] == pytest.approx((3 / 12 + 3 / 8) / 2)
    assert report["mbleu_4"] == pytest.approx(1)
    assert report["self_cider"] == pytest.approx(0, abs=1e-6)


def test_captions_without_a_common_word_are_fully_diverse():
    report = compute_set_diversity({1: ["one two three four", "five six seven eight"]}, REFERENCES)
    assert report["div_1"] == 1
    assert report["mbleu_1"] == pytest.approx(0, abs=1e-6)
    assert report["self_cider"] == pytest.approx(1)


def test_self_cider_between_the_two_ends():
    # Two of the four orders' cosines by hand: words 2/4 shared, pairs 1/3, triples and fours 0. The matrix
    # [[1, c], [c, 1]] has the eigenvalues 1 + c and 1 - c.
    cosine = (2 / 4 + 1 / 3) / 4
    high, low = math.sqrt(1 + cosine), math.sqrt(1 - cosine)
    report = compute_set_diversity({1: ["one two three four", "one two seven eight"]}, REFERENCES)
    assert report["self_cider"] == pytest.approx(-math.log(high / (high + low)) / math.log(2))


def test_mbleu_is_each_place_against_the_others():
    sets = {1: ["a dog runs on grass", "a dog sits on grass"], 2: ["two men talk", "two men sit and talk"]}
    places = [
        compute_scores(
            {n: captions[place] for n, captions in sets.items()},
            {n: [captions[1 - place]] for n, captions in sets.items()},
        ).corpus["bleu_2"]
        for place in (0, 1)
    ]
    assert compute_set_diversity(sets, REFERENCES)["mbleu_2"] == pytest.approx(sum(places) / 2)
    assert places[0] != pytest.approx(places[1], abs=1e-3)


@pytest.mark.parametrize("sets", [{}, {1: ["a dog", "a cat"], 2: ["a dog"]}])
def test_sets_need_two_captions(sets):
    with pytest.raises(InputError, match="fewer than two captions"):
        compute_set_diversity(sets, REFERENCES)


@pytest.mark.parametrize("captions", ["a dog", {"a dog": 1, "a cat": 2}])
def test_one_text_or_a_dict_is_no_list_of_captions(captions):
    with pytest.raises(InputError, match="give a list of str"):
        compute_diversity(captions, TRAIN)
    with pytest.raises(InputError, match="give a list of str"):
        compute_set_diversity({1: captions}, REFERENCES)
    with pytest.raises(InputError, match="no captions"):
        compute_diversity([], TRAIN)
