import dataclasses
import json
import re
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import ops
from toys import ColourFeatures, SpoiledFeatures, assert_same_weights, make_balls, train, weights_of

from captioning_utils.captioner import load_captioner
from captioning_utils.metrics import Cider
from captioning_utils.metrics.cider_reward import CiderReward
from captioning_utils.settings import SelfCriticalConfig
from captioning_utils.text import build_vocabulary, pad_captions
from captioning_utils.training import masked_cross_entropy, train_self_critical
from captioning_utils.training.losses import WeightedCrossEntropy
from captioning_utils.training.self_critical import compute_advantages

QUICK = {"epochs": 2, "samples": 3, "max_length": 8, "learning_rate": 3e-3, "cross_entropy": 0.1}


def practise(dataset, start, path, features=None, **settings):
    """Train a captioner, or that of a file, further."""
    config = SelfCriticalConfig(**(QUICK | settings))
    captioner = load_captioner(start) if isinstance(start, Path) else start
    return train_self_critical(captioner, dataset, features or ColourFeatures(), path, config, verbose=0)


def history_of(captioner):
    return captioner.training["self_critical"]["history"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_balls(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def start(dataset, tmp_path_factory):
    path = tmp_path_factory.mktemp("start") / "start.h5"
    captioner = train(dataset, path, epochs=2)
    # with the few pairs of these captions its sentences would be as good as they can be
    captioner.generation = dataclasses.replace(captioner.generation, seen_pairs=False)
    captioner.save(path)
    return path


@pytest.fixture(scope="module")
def straight(dataset, start, tmp_path_factory):
    """A run of two epochs that never stopped."""
    return practise(dataset, start, tmp_path_factory.mktemp("straight") / "model.h5", min_length_ratio=0.0)


def test_reward_equals_cider_d_of_the_words():
    captions = {"a": ["a dog runs", "the dog runs fast"], "b": ["a cat sits", "one cat"], "c": ["a bird"]}
    vocabulary = build_vocabulary(["a dog runs", "a cat sits"], min_count=1)  # "the", "fast", "one", "bird" are unknown
    by_words = Cider({key: [[*each.split(), "endseq"] for each in several] for key, several in captions.items()})
    sentences = ("a dog runs", "a cat", "dog dog dog", "the dog", "a dog runs a dog runs")
    drawn = pad_captions([vocabulary.encode(sentence)[1:] for sentence in sentences], 8)
    rewards = CiderReward(captions, vocabulary).score_batch(list("cab"), np.stack([drawn] * 3))
    for image_id, row in zip("cab", rewards, strict=True):
        for sentence, reward in zip(sentences, row, strict=True):
            known = [word if word in vocabulary else "<unk>" for word in sentence.split()]
            assert reward == pytest.approx(by_words.score_d(image_id, [*known, "endseq"]), abs=1e-5)


def test_an_empty_sentence_and_one_that_breaks_off_have_their_rewards():
    captions = {"a": ["a dog runs on grass"], "b": ["two cats"]}
    vocabulary = build_vocabulary(["a dog runs on grass"], min_count=1)
    ids = vocabulary.encode("a dog runs on grass")[1:]
    reward = CiderReward(captions, vocabulary)
    whole, broken, empty = (reward("a", sentence) for sentence in (ids, [*ids[:-2], 0, 0], [0] * 6))
    assert whole == pytest.approx(10)
    assert 0 == empty < broken < 9


def test_advantages_of_a_photo_sum_to_zero_and_compare_with_the_others():
    rewards = np.random.default_rng(0).random((4, 5))
    advantages = compute_advantages(rewards)
    np.testing.assert_allclose(advantages.sum(axis=1), 0, atol=1e-6)
    assert advantages[2, 3] == pytest.approx(rewards[2, 3] - np.delete(rewards[2], 3).mean(), rel=1e-5)


def test_loss_with_equal_weights_is_cross_entropy():
    rng = np.random.default_rng(0)
    targets, logits = rng.integers(1, 9, (3, 4)), rng.normal(size=(3, 4, 9)).astype("float32")
    targets[0, 2:] = 0
    weights = (targets != 0) / (targets != 0).sum()
    expected = masked_cross_entropy(ops.convert_to_tensor(targets), ops.convert_to_tensor(logits))
    found = WeightedCrossEntropy()(targets, logits, sample_weight=weights.astype("float32"))
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.slow  # trains for many epochs
def test_the_reward_rises(dataset, start, tmp_path):
    trained = practise(dataset, start, tmp_path / "better.h5", epochs=12, patience=12, learning_rate=1e-2)
    rewards = [epoch["reward"] for epoch in history_of(trained)[1:]]
    assert rewards[-1] > 1.1 * rewards[0]


class Stopping(ColourFeatures):
    """Stops the run where the second epoch asks for train photos."""

    def __init__(self):
        self.examined = 0

    def get(self, image_ids):
        is_train = int(image_ids[0][:-4]) < 40
        if is_train and self.examined == 2:  # the start and the first epoch
            raise KeyboardInterrupt
        self.examined += not is_train
        return super().get(image_ids)


def test_a_stopped_run_goes_on_exactly(dataset, start, straight, tmp_path):
    path = tmp_path / "resumed.h5"
    with pytest.raises(KeyboardInterrupt):
        practise(dataset, start, path, Stopping(), min_length_ratio=0.0)
    assert (tmp_path / "resumed.h5.checkpoint").is_file()  # the first epoch is over
    assert not path.exists()
    keras.utils.set_random_seed(99)
    assert_same_weights(straight, practise(dataset, start, path, min_length_ratio=0.0))


@pytest.mark.slow  # trains
def test_a_finished_run_goes_on_when_given_more_epochs(dataset, start, straight, tmp_path):
    for epochs in (1, 2):
        further = practise(dataset, start, tmp_path / "further.h5", epochs=epochs, min_length_ratio=0.0)
    assert_same_weights(straight, further)
    assert history_of(straight) == history_of(further)


@pytest.mark.slow  # trains
def test_the_same_seed_gives_the_same_run_and_leaves_the_start_as_it_is(dataset, start, straight, tmp_path):
    keras.utils.set_random_seed(2)  # what happened before must not matter
    captioner = load_captioner(start)
    assert_same_weights(straight, practise(dataset, captioner, tmp_path / "again.h5", min_length_ratio=0.0))
    assert_same_weights(captioner, load_captioner(start))
    assert any((a != b).any() for a, b in zip(weights_of(captioner), weights_of(straight), strict=True))


def test_the_start_is_kept_where_nothing_is_better(dataset, start, tmp_path):
    trained = practise(dataset, start, tmp_path / "same.h5", epochs=1, learning_rate=30.0, cross_entropy=0.0)
    before, after = (epoch["val_cider_d"] for epoch in history_of(trained))
    assert after < before, "a learning rate of 30 must spoil the captioner, or this test says nothing"
    assert trained.training["self_critical"]["best_epoch"] == 0
    assert_same_weights(load_captioner(start), trained)


@pytest.mark.slow  # trains
def test_sentences_shorter_than_every_reference_get_no_credit(dataset, start, tmp_path):
    def examine(name, change):
        """What the first entry of the history says of the start, with other captions of the val photos."""
        captions = {image_id: change(dataset.captions[image_id]) for image_id in dataset.splits["val"]}
        changed = dataclasses.replace(dataset, captions=dataset.captions | captions)
        return history_of(practise(changed, start, tmp_path / name, epochs=1))[0]

    logs = examine("as_it_is.h5", lambda several: several)
    assert logs["val_loss"] == -logs["val_cider_d"] < 0
    logs = examine("one_long.h5", lambda several: [*several, " ".join(several[:1] * 30)])
    assert logs["val_loss"] < 0, "one long reference beside short ones asks for no long sentences"
    logs = examine("all_long.h5", lambda several: [f"{several[0]} in the big park"])
    assert logs["val_length_ratio"] < 0.95
    assert logs["val_cider_d"] > 0 == logs["val_loss"]


@pytest.mark.slow  # trains
def test_captions_without_a_word_are_left_out(dataset, start, tmp_path):
    first, second, *others = dataset.splits["train"]
    captions = dataset.captions | {first: ["!!!", *dataset.captions[first]], second: ["..."]}
    spoilt = dataclasses.replace(dataset, captions=captions)
    without = dataclasses.replace(dataset, splits=dataset.splits | {"train": [first, *others]})
    runs = [practise(each, start, tmp_path / f"{n}.h5", epochs=1) for n, each in enumerate((spoilt, without))]
    assert_same_weights(*runs)


@pytest.mark.slow  # trains
def test_a_loss_that_is_no_number_is_told_with_step_and_photos_and_the_last_good_epoch_is_kept(
    dataset, start, tmp_path, capsys
):
    spoiled = SpoiledFeatures(1 + 40 + 1 + 18)  # the start's val split, an epoch, its val split, 18 photos
    captioner = practise(dataset, start, tmp_path / "model.h5", spoiled, min_length_ratio=0.0, batch_size=2)
    where = re.search(r"the loss became nan in step 1[01] \((.+)\) in epoch 2; training stops", capsys.readouterr().err)
    assert repr(spoiled.spoiled[0]) in where[1]
    assert where[0].startswith(captioner.training["self_critical"]["stopped"])
    assert [epoch["epoch"] for epoch in history_of(captioner)] == [0, 1]
    assert all(np.isfinite(array).all() for array in weights_of(captioner))
    assert json.loads(h5py.File(f"{tmp_path / 'model.h5'}.checkpoint")["documents/state"][()].tobytes())["epoch"] == 1
