import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from captioning_utils import InputError
from captioning_utils.bulk import captioner_features, features_path, write_captions
from captioning_utils.captioner import Captioner
from captioning_utils.datasets import CaptionDataset
from captioning_utils.encoders import EncoderId

ENCODER = EncoderId("vgg16", "avg", "float32", (224, 224), "caffe", "0123456789abcdef")


class ToyCaptioner(Captioner):
    """Has an encoder that gives the mean colour, and counts how often it is asked for."""

    def __init__(self):
        self.encoder, self.asked = str(ENCODER), 0
        self.decoder = SimpleNamespace(config=SimpleNamespace(feature_shape=(3,)))

    def image_encoder(self, weights_path=None):
        self.asked += 1
        encode = lambda images: images.mean(axis=(1, 2)).astype("float16")  # noqa: E731
        return SimpleNamespace(fingerprint=self.encoder, output_shape=(3,), image_size=(8, 8), encode=encode)


@pytest.fixture
def dataset(tmp_path):
    paths = {f"{number}.png": tmp_path / "photos" / f"{number}.png" for number in range(4)}
    (tmp_path / "photos").mkdir()
    for number, path in enumerate(paths.values()):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
    captions = {image_id: ["A caption ."] for image_id in paths}
    return CaptionDataset("toy", paths, captions, {"train": list(paths), "val": [], "test": []})


def test_each_kind_of_features_has_a_place_of_its_own(dataset):
    changes = [{}, {"tuned": 1}, {"tuned": 2, "weights": "f" * 16}, {"view": 1}, {"dtype": "bfloat16"}]
    changes += [{"image_size": (448, 448)}]
    paths = [features_path(dataset, str(dataclasses.replace(ENCODER, **change)), (3,)) for change in changes]
    endings = ["avg-float32", "avg-float32-89abcdef", "avg-float32-ffffffff", "avg-view1-float32", "avg-bfloat16"]
    endings += ["avg-448-float32"]
    assert all(path.stem.endswith(f"-vgg16-{ending}") for path, ending in zip(paths, endings, strict=True))
    assert len(set(paths)) == len(paths)
    assert features_path(dataset, str(ENCODER), (10**8,)).suffix == ""  # too many for the memory: a folder


def test_the_encoder_is_asked_only_for_what_is_missing(dataset, tmp_path):
    captioner, path = ToyCaptioner(), tmp_path / "features.pkl"
    features = captioner_features(captioner, dataset, ["1.png", "2.png"], path)
    assert (features.image_ids, captioner.asked) == (["1.png", "2.png"], 1)
    features = captioner_features(captioner, dataset, ["2.png"], path)
    np.testing.assert_array_equal(features.get(["2.png"]), [[2, 0, 0]])
    assert captioner.asked == 1
    assert len(captioner_features(captioner, dataset, dataset.image_paths, path)) == 4
    assert captioner.asked == 2


def test_features_of_another_encoder_are_refused(dataset, tmp_path):
    captioner, path = ToyCaptioner(), tmp_path / "features.pkl"
    captioner_features(captioner, dataset, ["1.png"], path)
    captioner.encoder = str(dataclasses.replace(ENCODER, dtype="bfloat16"))
    with pytest.raises(InputError, match="the captioner was trained on 'vgg16 avg bfloat16"):
        captioner_features(captioner, dataset, ["1.png"], path)


def test_features_of_photos_that_were_replaced_are_not_used(dataset, tmp_path):
    captioner = ToyCaptioner()
    captioner_features(captioner, dataset, dataset.image_paths, tmp_path / "a.pkl")
    Image.new("RGB", (8, 8), (200, 0, 0)).save(dataset.image_paths["1.png"])
    features = captioner_features(captioner, dataset, dataset.image_paths, tmp_path / "a.pkl")
    assert features.get(["0.png", "1.png"])[:, 0].tolist() == [0, 200]
    captioner_features(captioner, dataset, dataset.image_paths, tmp_path / "a.pkl")
    assert captioner.asked == 2


def test_a_table_that_excel_reads_as_it_is(tmp_path):
    for name, caption in (("a.csv", "a dog"), ("b.csv", "ein schöner Hund")):
        write_captions(tmp_path / name, [{"image": "1.jpg", "caption": caption, "score": -0.5}])
    assert (tmp_path / "a.csv").read_bytes().startswith(b"image,")
    assert (tmp_path / "b.csv").read_bytes().startswith(b"\xef\xbb\xbfimage,")  # Excel takes it for Latin without
