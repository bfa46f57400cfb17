"""The search that remembers finds what the quick one finds, and its tree adds up."""

import dataclasses
import itertools

import numpy as np
import pytest
import toys

from captioning_utils import InputError
from captioning_utils.explain import grow_beam_tree
from captioning_utils.settings import GenerationConfig

FEATURES = np.random.default_rng(0).random((2, 6, 8)).astype("float16")
SETTINGS = {
    "merge": {"hidden_dim": 16},
    "attention": {"embedding_dim": 16, "hidden_dim": 16, "attention_dim": 16},
    "transformer": {"hidden_dim": 16, "num_heads": 2, "feedforward_dim": 16, "num_layers": 1, "max_positions": 8},
}


def make_captioner(name="attention", caption="a red dog runs on the green grass beside two balls"):
    """With random weights, scaled up so that the words differ, and fond enough of the end word to choose it."""
    settings = GenerationConfig(max_length=5)
    captioner = toys.make_captioner(name, (6, 8), [caption], generation=settings, seed=5, **SETTINGS[name])
    decoder, vocabulary = captioner.decoder, captioner.vocabulary
    for weight in decoder.trainable_weights:
        weight.assign(2 * weight)
        if weight.shape == (len(vocabulary),):  # the bias of the logits
            weight.assign(np.eye(len(vocabulary))[vocabulary.end_id])
    return captioner


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *((name, {"beam_size": 3}) for name in SETTINGS),
        ("attention", {"beam_size": 1}),
        ("attention", {"beam_size": 4, "length_penalty": 0.0}),
        ("attention", {"beam_size": 3, "block_repeats": 0}),
    ],
    ids=str,
)
def test_the_sentences_are_those_of_the_quick_search(name, settings):
    compare_searches(make_captioner(name), settings)


def test_of_pairs_that_are_seen_too():
    captioner = make_captioner()
    size = len(captioner.vocabulary)
    pairs = np.array([*((1, first) for first in range(4, 9)), *itertools.product(range(4, size, 2), [2, 5, 6, 9])])
    captioner = dataclasses.replace(captioner, pairs=pairs)  # words of odd numbers lead nowhere
    for beam_size in (1, 3):
        compare_searches(captioner, {"beam_size": beam_size})
    nowhere = dataclasses.replace(captioner, pairs=pairs[:5])
    compare_searches(nowhere, {"beam_size": 1})


def compare_searches(captioner, settings):
    """The search that remembers and the quick one find the same."""
    for photo in FEATURES:
        tree = grow_beam_tree(captioner, photo, **settings)
        (quick,) = captioner.caption_features(photo[None], num_captions=settings["beam_size"], **settings)
        assert [tree.sentence(leaf).removesuffix(" endseq") for leaf in tree.leaves] == [each.caption for each in quick]
        for leaf, each in zip(tree.leaves, quick, strict=True):
            assert tree.nodes[leaf].total == pytest.approx(each.log_prob, rel=1e-6, abs=1e-3)
            assert tree.nodes[leaf].score == pytest.approx(each.score, rel=1e-6, abs=1e-3)


def test_the_toy_captioners_finish_some_sentences_and_not_others():
    """Or the test above would compare less than it says."""
    trees = [grow_beam_tree(make_captioner(name), photo, beam_size=3) for name in SETTINGS for photo in FEATURES]
    leaves = [tree.sentence(leaf) for tree in trees for leaf in tree.leaves]
    assert 0 < sum(leaf.endswith("endseq") for leaf in leaves) < len(leaves)
    assert len(set(leaves)) > 9


def test_totals_add_up_from_parent_to_child():
    tree = grow_beam_tree(make_captioner(), FEATURES[0], beam_size=3, length_penalty=0.7)
    for number, node in enumerate(tree.nodes[1:], 1):
        assert 0 <= node.parent < number
        assert node.log_prob < 0
        assert node.total == pytest.approx(tree.nodes[node.parent].total + node.log_prob)
        assert node.score == pytest.approx(node.total / (len(tree.path(number)) - 1) ** 0.7)


def test_no_step_keeps_more_than_the_beam_and_dropped_words_stay_in_the_tree():
    tree = grow_beam_tree(make_captioner(), FEATURES[0], beam_size=3)
    depths = [len(tree.path(node)) for node in range(len(tree.nodes))]
    assert max(depths.count(depth) for depth in set(depths)) == 3
    kept = {node for leaf in tree.leaves for node in tree.path(leaf)}
    assert set(range(len(tree.nodes))) > kept
    assert len({tree.sentence(node) for node in range(len(tree.nodes))}) == len(tree.nodes)  # no branch twice


def test_a_vocabulary_smaller_than_the_beam_gives_a_small_tree():
    captioner = make_captioner(caption="dog")
    tree = grow_beam_tree(captioner, FEATURES[0], beam_size=5, max_length=2, block_repeats=0)
    assert sorted(tree.sentence(leaf) for leaf in tree.leaves) == ["dog dog", "dog endseq"]


@pytest.mark.parametrize(
    ("features", "settings", "message"),
    [
        (FEATURES, {}, r"\(2, 6, 8\); give those of one photo, \(6, 8\)"),
        (FEATURES[0], {"temperature": 0.7}, "temperature is 0.7"),
        (FEATURES[0], {"beams": 3}, "unknown setting 'beams'"),
    ],
)
def test_what_has_no_tree_is_refused(features, settings, message):
    with pytest.raises(InputError, match=message):
        grow_beam_tree(make_captioner(), features, **settings)
