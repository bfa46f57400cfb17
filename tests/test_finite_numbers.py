"""Extreme photos and captions: every loss stays finite, and what comes out is a sentence or a refusal."""

import math

import numpy as np
import pytest
from toys import ColourFeatures, make_captioner, small

from captioning_utils import InputError
from captioning_utils.datasets import CaptionDataset
from captioning_utils.training import train_captioner

LARGEST = np.finfo(np.float16).max


class ExtremeFeatures(ColourFeatures):
    """Of every three photos the first has zeros only, the second the largest numbers of float16."""

    def __init__(self, output_shape):
        self.output_shape = output_shape

    def get(self, image_ids):
        features = super().get(image_ids)
        for row, image_id in enumerate(image_ids):
            if int(image_id[:-4]) % 3 < 2:
                features[row] = (0, LARGEST)[int(image_id[:-4]) % 3]
        return features.reshape(-1, *self.output_shape)


def make_dataset(folder, captions, val_captions):
    """Photos with one caption each."""
    texts = {f"{number}.jpg": [text] for number, text in enumerate([*captions, *val_captions])}
    names = list(texts)
    splits = {"train": names[: len(captions)], "val": names[len(captions) :], "test": []}
    return CaptionDataset("extreme", {name: folder / name for name in names}, texts, splits)


def train_on(folder, features, captions, val_captions, **settings):
    config = small(epochs=2, max_words=400, **settings)
    dataset = make_dataset(folder, captions, val_captions)
    captioner = train_captioner(dataset, features, folder / "a.h5", config, verbose=0)
    losses = [epoch[name] for epoch in captioner.training["history"] for name in ("loss", "val_loss")]
    assert len(losses) == 4
    assert all(map(math.isfinite, losses))
    return captioner


@pytest.mark.slow
@pytest.mark.parametrize(("decoder", "shape"), [("merge", (8,)), ("attention", (2, 4))])
def test_training_on_extreme_captions_and_photos_keeps_the_loss_finite(tmp_path, decoder, shape):
    features = ExtremeFeatures(shape)
    captions = ["ball", " ".join(["a red ball"] * 150), "unheard of words", "a red ball", "a blue ball"]
    captioner = train_on(
        tmp_path, features, captions, ["ball", "never seen"], decoder=decoder, min_count=2, batch_size=2
    )
    assert captioner.vocabulary.ordinary_words == ("ball", "a", "red")
    for best, *_ in captioner.caption_features(features.get(["0.jpg", "1.jpg", "2.jpg"])):
        assert set(best.caption.split()) <= set(captioner.vocabulary.ordinary_words)
        assert best.caption


@pytest.mark.slow
def test_training_on_one_word_and_batches_of_one(tmp_path):
    features = ExtremeFeatures((8,))
    captioner = train_on(tmp_path, features, ["ball"], ["ball"], batch_size=1)
    ((best,),) = captioner.caption_features(features.get(["0.jpg"]), beam_size=9)
    assert best.caption == "ball"


@pytest.mark.parametrize("settings", [{"beam_size": 9}, {"temperature": 1.0}], ids=["search", "sampling"])
def test_any_photo_gets_a_sentence_of_the_only_word(settings):
    captioner = make_captioner(captions=["ball"])
    features = np.stack([np.zeros(8), np.full(8, LARGEST), np.full(8, -LARGEST)])
    for best, *_ in captioner.caption_features(features, **settings):
        assert set(best.caption.split()) == {"ball"}
        assert math.isfinite(best.score)


def test_features_that_no_encoder_makes_are_refused():
    captioner = make_captioner()
    for number in (np.nan, np.inf, -np.inf, 7e4, 1e300):
        features = np.zeros((3, 8))
        features[1, 2] = number
        with pytest.raises(InputError, match="photo number 2 hold NaN or numbers beyond"):
            captioner.caption_features(features)
