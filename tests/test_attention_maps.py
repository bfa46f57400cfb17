"""Attention maps are the decoder's own weights, word by word, and nothing is drawn where there are none."""

import numpy as np
import pytest
import toys
from keras import ops

from captioning_utils import InputError
from captioning_utils.explain import compute_attention_maps
from captioning_utils.explain.attention_maps import compute_attention_weights

LONGEST = {"merge": {}, "attention": {}, "transformer": {"max_positions": 8}}
PHOTO = np.random.default_rng(1).integers(0, 256, (50, 30, 3), dtype=np.uint8)


def make_captioner(name, num_regions=9):
    captioner = toys.make_captioner(name, (num_regions, 12), ["a dog runs on the grass", "a red ball"], **LONGEST[name])
    captioner.image_encoder = lambda: toys.ToyEncoder((num_regions, 12))
    return captioner


@pytest.fixture(params=["attention", "transformer"])
def captioner(request):
    return make_captioner(request.param)


def test_weights_are_those_of_stepping_by_hand(captioner):
    maps = compute_attention_maps(captioner, PHOTO, "a red dog")
    words = ["a", "red", "dog", "endseq"]
    state = captioner.decoder.initial_state(captioner.image_encoder().encode(maps.image[None]))
    for word, following, seen in zip(["startseq", *words], words, maps.weights, strict=False):
        token = captioner.vocabulary.words.index(word)
        _, state, weights = captioner.decoder.step_with_attention(ops.convert_to_tensor([token]), state)
        np.testing.assert_array_equal(seen, ops.convert_to_numpy(weights)[0].reshape(3, 3), err_msg=following)
    assert maps.words == words
    assert maps.caption == "a red dog"


def test_every_map_is_a_share_of_the_grid(captioner):
    maps = compute_attention_maps(captioner, PHOTO, "the grass")
    assert (maps.weights.dtype, maps.weights.shape) == (np.float32, (3, 3, 3))
    assert maps.weights.min() >= 0
    np.testing.assert_allclose(maps.weights.sum(axis=(1, 2)), 1, atol=1e-6)
    assert np.ptp(maps.weights, axis=0).max() > 1e-6  # another look for another word


def test_a_map_knows_the_words_before_and_not_those_behind(captioner):
    (features,) = captioner.image_encoder().encode(PHOTO[None, :8, :8])
    first, second = (
        compute_attention_weights(captioner.decoder, features, ids) for ids in ([1, 4, 5, 6, 2], [1, 4, 7])
    )
    np.testing.assert_array_equal(first[:2], second[:2])
    assert len(first) == 4


def test_without_a_caption_it_is_the_captioners_own(captioner):
    maps = compute_attention_maps(captioner, PHOTO)
    features = captioner.image_encoder().encode(maps.image[None])
    assert maps.caption == captioner.caption_features(features)[0][0].caption
    assert maps.words == [*maps.caption.split(), "endseq"]
    assert maps.image.shape == (8, 8, 3)
    assert maps.image.dtype == np.uint8


def test_a_caption_is_cleaned_and_its_unknown_words_keep_their_names(captioner):
    maps = compute_attention_maps(captioner, PHOTO, "A red ZEPPELIN!")
    assert maps.words == ["a", "red", "zeppelin", "endseq"]
    same = compute_attention_maps(captioner, PHOTO, "a red submarine")
    np.testing.assert_array_equal(maps.weights, same.weights)  # both are unknown


@pytest.mark.parametrize(
    ("name", "num_regions", "caption", "message"),
    [
        ("merge", 9, "a dog", "the MergeDecoder has no attention"),
        ("attention", 8, "a dog", "8 regions are no square grid"),
        ("transformer", 6, None, "6 regions are no square grid"),
        ("attention", 9, "!!!", "no word"),
        ("transformer", 9, "a dog " * 4, "8 words; this captioner reads at most 7"),
    ],
)
def test_what_has_no_maps_is_refused(name, num_regions, caption, message):
    with pytest.raises(InputError, match=message) as caught:
        compute_attention_maps(make_captioner(name, num_regions), PHOTO, caption)
    assert "\n" not in str(caught.value)
    longest = " ".join(["dog"] * 7)
    assert len(compute_attention_maps(make_captioner("transformer"), PHOTO, longest).words) == 8
