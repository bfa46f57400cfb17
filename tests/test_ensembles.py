import dataclasses

import numpy as np
import pytest
from keras import ops
from toys import ENCODER, SIZES, make_captioner

from captioning_utils import InputError
from captioning_utils.captioner import load_captioner
from captioning_utils.decoders import build_decoder
from captioning_utils.settings import GenerationConfig
from captioning_utils.text import TextCleaning
from captioning_utils.training import combine_captioners

CAPTIONS = ["a dog runs", "a cat sits"]


def make(kind="merge", captions=CAPTIONS, encoder=ENCODER):
    return make_captioner(kind, (4, 6), captions, encoder, GenerationConfig())


@pytest.fixture(scope="module")
def members():
    return [make(kind) for kind in SIZES]


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(0)
    return rng.random((3, 4, 6), "float32"), rng.integers(1, 9, (3, 5)).astype("int32")


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


def test_pairs_of_words_are_those_of_any_member_and_unknown_ones_stay_unknown(members):
    first, second = (dataclasses.replace(members[0], pairs=np.array([[1, 4], [4, last]])) for last in (5, 6))
    assert combine_captioners([first, second]).pairs.tolist() == [[1, 4], [4, 5], [4, 6]]
    assert combine_captioners([first, members[2]]).pairs is None


def test_members_are_copies(members, inputs):
    ensemble = combine_captioners(members)
    before = ops.convert_to_numpy(members[0].decoder(inputs))
    for variable in ensemble.decoder.weights:
        variable.assign(ops.zeros_like(variable))
    np.testing.assert_array_equal(ops.convert_to_numpy(members[0].decoder(inputs)), before)


def test_refuses_captioners_that_do_not_fit(members):
    for captioners, message in (
        ([members[0], make(captions=["one two three four five"])], "vocabulary"),
        ([members[0], make(encoder=ENCODER.replace("avg", "grid"))], "encoder"),
        ([members[0], dataclasses.replace(members[1], cleaning=TextCleaning(keep_digits=False))], "cleaning"),
        ([], "at least one"),
    ):
        with pytest.raises(InputError, match=message):
            combine_captioners(captioners)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [([], "members"), ([{"decoder": "ensemble"}], "unknown decoder"), ([{"decoder": "no"}], "unknown decoder")],
)
def test_refuses_members(wanted, message):
    with pytest.raises(InputError, match=message):
        build_decoder("ensemble", vocabulary_size=9, feature_shape=(4,), members=wanted)
