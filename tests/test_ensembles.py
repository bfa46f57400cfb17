import dataclasses

import numpy as np
import pytest
from keras import ops

from captioning_utils import InputError
from captioning_utils.captioner import Captioner, load_captioner
from captioning_utils.decoders import build_decoder
from captioning_utils.text import TextCleaning, build_vocabulary
from captioning_utils.training import combine_captioners

ENCODER = "vgg16 grid float32 224x224 bilinear caffe weights:0123456789abcdef"
VOCABULARY = build_vocabulary(["a dog runs", "a cat sits"], min_count=1)
SIZES = {
    "merge": {"embedding_dim": 8, "hidden_dim": 8},
    "attention": {"embedding_dim": 8, "hidden_dim": 8, "attention_dim": 8},
    "transformer": {"hidden_dim": 8, "num_heads": 2, "feedforward_dim": 16},
}


def make(kind, vocabulary=VOCABULARY, encoder=ENCODER):
    decoder = build_decoder(kind, vocabulary_size=len(vocabulary), feature_shape=(4, 6), **SIZES[kind])
    return Captioner(decoder, vocabulary, TextCleaning(), encoder)


@pytest.fixture(scope="module")
def members():
    return [make(kind) for kind in SIZES]


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(0)
    return rng.random((3, 4, 6), "float32"), rng.integers(1, len(VOCABULARY), (3, 5)).astype("int32")


def test_probabilities_are_the_mean_of_the_members(members, inputs):
    ensemble = combine_captioners(members)
    expected = np.mean([ops.convert_to_numpy(ops.softmax(each.decoder(inputs))) for each in members], axis=0)
    np.testing.assert_allclose(np.exp(ops.convert_to_numpy(ensemble.decoder(inputs))), expected, atol=1e-6)


def test_of_one_captioner_writes_its_sentences(members, inputs):
    alone, same = members[0], combine_captioners([members[0], members[0]])
    for settings in ({"beam_size": 3}, {"temperature": 1.0, "num_captions": 2}):
        first, second = (each.caption_features(inputs[0], **settings) for each in (alone, same))
        assert [[c.caption for c in photo] for photo in first] == [[c.caption for c in photo] for photo in second]


def test_saved_and_loaded(members, inputs, tmp_path):
    ensemble = combine_captioners(members)
    ensemble.save(tmp_path / "ensemble.h5")
    again = load_captioner(tmp_path / "ensemble.h5")
    assert again.fingerprint == ensemble.fingerprint
    assert again.caption_features(inputs[0]) == ensemble.caption_features(inputs[0])


def test_an_ensemble_of_ensembles_is_one_of_all_members(members):
    pair = combine_captioners(members[:2])
    assert len(combine_captioners([pair, members[2]]).decoder.config.members) == 3


def test_members_are_copies(members, inputs):
    ensemble = combine_captioners(members)
    before = ops.convert_to_numpy(members[0].decoder(inputs))
    for variable in ensemble.decoder.weights:
        variable.assign(ops.zeros_like(variable))
    np.testing.assert_array_equal(ops.convert_to_numpy(members[0].decoder(inputs)), before)


def test_refuses_captioners_that_do_not_fit(members):
    other_words = make("merge", build_vocabulary(["one two three four five"], min_count=1))
    with pytest.raises(InputError, match="vocabulary"):
        combine_captioners([members[0], other_words])
    with pytest.raises(InputError, match="encoder"):
        combine_captioners([members[0], make("merge", encoder=ENCODER.replace("grid", "avg"))])
    with pytest.raises(InputError, match="cleaning"):
        combine_captioners([members[0], dataclasses.replace(members[1], cleaning=TextCleaning(keep_digits=False))])
    with pytest.raises(InputError, match="at least one"):
        combine_captioners([])


@pytest.mark.parametrize(
    ("wanted", "message"),
    [([], "members"), ([{"decoder": "ensemble"}], "unknown decoder"), ([{"decoder": "no"}], "unknown decoder")],
)
def test_refuses_members(wanted, message):
    with pytest.raises(InputError, match=message):
        build_decoder("ensemble", vocabulary_size=9, feature_shape=(4,), members=wanted)
