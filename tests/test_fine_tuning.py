import dataclasses
import json
import shutil

import h5py
import keras
import numpy as np
import pytest
import toys

from captioning_utils import InputError
from captioning_utils.captioner import load_captioner
from captioning_utils.datasets import CaptionDataset
from captioning_utils.decoders import decoder_name
from captioning_utils.settings import GenerationConfig, TrainingConfig
from captioning_utils.text import TextCleaning, build_vocabulary
from captioning_utils.training import fine_tune_captioner, grow_captioner, grow_vocabulary

ENCODER = "vgg16 grid float32 224x224 bilinear caffe weights:0123456789abcdef"
SHAPE = (3, 8)
SIZES = {
    "merge": {"embedding_dim": 8, "hidden_dim": 16, "dropout": 0.1, "hidden_dropout": 0.0},
    "attention": {"embedding_dim": 8, "hidden_dim": 16, "attention_dim": 8, "dropout": 0.1, "photo_dropout": 0.0},
    "transformer": {"hidden_dim": 16, "num_heads": 2, "feedforward_dim": 32, "max_positions": 16, "dropout": 0.1},
}
SLOW = [name for name in SIZES if name != "merge"]  # one decoder shows quickly what the others repeat
OLD_CAPTIONS = ["a dog runs on the grass", "a red ball", "the dog has a ball"]
NEW_CAPTIONS = ["a cat sleeps on the grass", "the cat has a green ball"]
FEATURES = np.random.default_rng(0).random((6, *SHAPE)).astype("float16")


def make_captioner(decoder="merge", seed=0, scale=4.0):
    """A captioner whose weights are large enough that it writes different sentences for different photos."""
    settings = GenerationConfig(max_length=7), TextCleaning(lower_case=False)
    captioner = toys.make_captioner(decoder, SHAPE, OLD_CAPTIONS, ENCODER, *settings, seed, **SIZES[decoder])
    generator = np.random.default_rng(seed)
    for variable in captioner.decoder.weights:
        variable.assign(variable.numpy() + generator.normal(0, scale / 10, variable.shape))
    return dataclasses.replace(captioner, training={})


def grow(captioner):
    return grow_captioner(captioner, grow_vocabulary(captioner.vocabulary, NEW_CAPTIONS, 1))


@pytest.fixture(params=SIZES, scope="module")
def pair(request):
    captioner = make_captioner(request.param)
    return captioner, grow(captioner)


def test_old_ids_stay_and_new_words_follow(pair):
    old, new = pair
    first = len(old.vocabulary)
    assert new.vocabulary.words[:first] == old.vocabulary.words
    assert new.vocabulary.words[first:] == ("cat", "green", "sleeps")
    assert new.decoder.config == dataclasses.replace(old.decoder.config, vocabulary_size=first + 3)


def test_every_old_number_is_kept_bit_by_bit(pair):
    grown = 0
    for old, new in zip(*(captioner.decoder.weights for captioner in pair), strict=True):
        corner = tuple(slice(size) for size in old.shape)
        np.testing.assert_array_equal(new.numpy()[corner], old.numpy())
        grown += new.numpy().size - old.numpy().size
    counts = [captioner.decoder.config.count_parameters() for captioner in pair]
    assert grown == counts[1] - counts[0] > 0


@pytest.mark.parametrize("settings", [{"beam_size": 1}, {"beam_size": 4, "num_captions": 4}, {"temperature": 1.0}])
def test_sentences_are_the_old_ones_before_training(pair, settings):
    old, new = (captioner.caption_features(FEATURES, **settings) for captioner in pair)
    assert [[each.caption for each in photo] for photo in new] == [[each.caption for each in photo] for photo in old]
    assert len({photo[0].caption for photo in old}) > 1  # sentences that could differ
    scores = [[[each.log_prob for each in photo] for photo in found] for found in (old, new)]
    np.testing.assert_allclose(*scores, rtol=1e-4)


def test_new_words_are_read_as_the_unknown_token_was(pair):
    old_size = len(pair[0].vocabulary)
    tokens = [np.array([captioner.vocabulary.encode(NEW_CAPTIONS[0])] * 6) for captioner in pair]
    assert (tokens[0] == 3).sum() == 12
    assert (tokens[1] == 3).sum() == 0
    logits = [np.asarray(each.decoder((FEATURES, ids))) for each, ids in zip(pair, tokens, strict=True)]
    np.testing.assert_allclose(logits[1][..., :old_size], logits[0], rtol=1e-5, atol=1e-5)
    probabilities = np.exp(logits[1]) / np.exp(logits[1]).sum(-1, keepdims=True)
    assert probabilities[..., old_size:].max() < 2**-24


def test_training_begins_with_new_words_as_likely_as_the_unknown_token(pair):
    old, vocabulary = pair[0], pair[1].vocabulary
    new = grow_captioner(old, vocabulary, share=1.0)
    logits = np.asarray(new.decoder((FEATURES, np.array([vocabulary.encode(NEW_CAPTIONS[0])] * 6))))
    np.testing.assert_allclose(np.log(np.exp(logits[..., -3:]).sum(-1)), logits[..., 3], rtol=1e-4, atol=1e-4)


def test_nothing_new_changes_nothing():
    captioner = make_captioner()
    same = grow_captioner(captioner, grow_vocabulary(captioner.vocabulary, OLD_CAPTIONS, 1))
    assert same.fingerprint == captioner.fingerprint
    assert same.decoder is not captioner.decoder


def test_new_pairs_of_words_come_to_the_old_ones():
    old = make_captioner()
    assert grow_captioner(old, old.vocabulary, pairs=np.array([[1, 4]])).pairs is None
    known = dataclasses.replace(old, pairs=np.array([[1, 4], [4, 5]]))
    assert grow_captioner(known, old.vocabulary).pairs is known.pairs
    assert grow_captioner(known, old.vocabulary, pairs=np.array([[1, 5]])).pairs.tolist() == [[1, 4], [1, 5], [4, 5]]


def test_rare_new_words_stay_unknown():
    captions = [*NEW_CAPTIONS, "a green dog"]
    assert grow_vocabulary(make_captioner().vocabulary, captions, 2).words[-2:] == ("cat", "green")


def test_a_vocabulary_of_other_words_is_refused():
    with pytest.raises(InputError, match="grow_vocabulary"):
        grow_captioner(make_captioner(), build_vocabulary(NEW_CAPTIONS, 1))


def test_captioners_are_found_by_name_and_by_path(tmp_path):
    make_captioner().save(tmp_path / "mine.h5")
    assert load_captioner(tmp_path / "mine.h5").encoder == ENCODER
    assert len(load_captioner("flickr8k_merge").vocabulary) == 2541
    with pytest.raises(FileNotFoundError, match=r"no captioner .flickr.; give a file.s path, or .*flickr8k_merge"):
        load_captioner("flickr")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    names = [f"{number}.jpg" for number in range(12)]
    paths = {name: tmp_path_factory.getbasetemp() / name for name in names}
    captions = dict.fromkeys(names, NEW_CAPTIONS)
    return CaptionDataset("cats", paths, captions, {"train": names[:8], "val": names[8:], "test": []})


def fine_tune(dataset, path, start_from, features=None, **settings):
    small = {"epochs": 15, "batch_size": 4, "min_count": 1, "max_words": 8, "label_smoothing": 0.0, "patience": 15}
    config = TrainingConfig(**(small | {"learning_rate": 2e-2} | settings))
    features = features or toys.RowFeatures(FEATURES, ENCODER)
    return fine_tune_captioner(start_from, dataset, features, path, config, verbose=0)


@pytest.fixture(params=["merge", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)], scope="module")
def run(request, dataset, tmp_path_factory):
    """Start, path of the file and captioner of a run."""
    start = dataclasses.replace(make_captioner(request.param, scale=0.5), training={"dataset": "dogs"})
    path = tmp_path_factory.mktemp("runs") / "model.h5"
    return start, path, fine_tune(dataset, path, start)


def test_training_goes_on_and_learns_the_new_words(run):
    start, _, captioner = run
    losses = [epoch["val_nats_per_token"] for epoch in captioner.training["history"]]
    assert losses[-1] < 0.7 * losses[0]
    assert "cat" in captioner.caption_features(FEATURES[:1])[0][0].caption.split()
    assert start.fingerprint == make_captioner(captioner.training["settings"]["decoder"], scale=0.5).fingerprint


def test_the_captioner_says_what_it_started_from(run):
    start, path, _ = run
    opened = load_captioner(path)
    described = {"fingerprint": start.fingerprint, "dataset": "dogs", "words": len(start.vocabulary), "new_words": 3}
    assert opened.training["started_from"] == described
    assert opened.training["settings"]["decoder_settings"]["hidden_dim"] == 16
    assert (opened.cleaning, opened.generation) == (start.cleaning, start.generation)


def test_a_checkpoint_that_started_elsewhere_is_refused(run, dataset, tmp_path):
    start, path, _ = run
    shutil.copy(f"{path}.checkpoint", tmp_path / "model.h5.checkpoint")
    other = make_captioner(decoder_name(start.decoder), seed=1)
    with pytest.raises(InputError, match="other captions, photos or features"):
        fine_tune(dataset, tmp_path / "model.h5", other)


def test_a_killed_and_resumed_run_equals_one_that_never_stopped(run, dataset, tmp_path):
    start, _, straight = run
    if decoder_name(start.decoder) != "merge":
        pytest.skip("test_training.py shows that resuming does not depend on the decoder; here it is the start")
    path = tmp_path / "model.h5"
    with pytest.raises(Exception, match="the disk went away"):
        fine_tune(dataset, path, start, toys.FailingFeatures(toys.RowFeatures(FEATURES, ENCODER), 60))
    with h5py.File(f"{path}.checkpoint") as file:
        assert 1 <= json.loads(file["documents/state"][()].tobytes())["epoch"] < 15
    keras.utils.set_random_seed(99)  # whatever happened in between must not matter
    resumed = fine_tune(dataset, path, start)
    losses = [[epoch["loss"] for epoch in each.training["history"]] for each in (resumed, straight)]
    assert losses[0] == losses[1]
    toys.assert_same_weights(resumed, straight)


def test_other_features_and_sizes_are_refused(dataset, tmp_path):
    other = toys.RowFeatures(FEATURES, ENCODER.replace("grid", "block5_conv3"))
    with pytest.raises(InputError, match="the captioner was trained on"):
        fine_tune(dataset, tmp_path / "model.h5", make_captioner(), other)
    with pytest.raises(InputError, match="hidden_dim is 16, not 32; leave that setting out"):
        fine_tune(dataset, tmp_path / "model.h5", make_captioner(), decoder_settings={"hidden_dim": 32})
    assert not list(tmp_path.iterdir())
