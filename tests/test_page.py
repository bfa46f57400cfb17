"""The logic behind the web page, without Streamlit."""

import io
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioning_utils import InputError
from captioning_utils.app import page
from captioning_utils.captioner import shipped_captioners
from captioning_utils.images import load_image

NOISE = np.random.default_rng(0).integers(0, 256, (600, 1500, 3), dtype=np.uint8)


def as_png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    file.seek(0)
    return file


def test_an_encoder_sees_what_it_sees_everywhere_else():
    photo = page.open_photo(page.Source("1", "noise.png", as_png(NOISE)), [(224, 224), (299, 299)])
    for size in ((224, 224), (299, 299)):
        np.testing.assert_array_equal(photo.inputs[size], load_image(as_png(NOISE), size))
    assert (photo.width, photo.height) == (1500, 600)
    preview = Image.open(io.BytesIO(photo.preview))
    assert (preview.format, preview.size) == ("JPEG", (1024, 410))  # small, and of the same shape


class Upload(io.BytesIO):
    """An uploaded file as Streamlit hands it over."""

    def __init__(self, name, content, size=None):
        super().__init__(content)
        self.name, self.size = name, len(content) if size is None else size


@pytest.mark.parametrize(
    ("upload", "message"),
    [
        (Upload("notes.jpg", b"a shopping list"), r"notes\.jpg is not a photo that can be read here; give a JPEG"),
        (Upload("cut.png", as_png(NOISE).getvalue()[:5000]), r"cut\.png is damaged or cut short"),
        (Upload("vast.jpg", b"", size=26 * 2**20), r"vast\.jpg has 26 MB; the limit is 25 MB; make it smaller first"),
        (Upload("none.jpg", b""), r"none\.jpg is not a photo"),
    ],
)
def test_what_is_no_photo_is_refused_in_a_sentence(upload, message):
    with pytest.raises(InputError, match=message) as caught:
        page.open_photo(page.Source("1", upload.name, upload), [(224, 224)])
    assert "\n" not in str(caught.value)


def test_a_captioner_from_bytes_is_that_of_the_file():
    path = shipped_captioners()["flickr8k_merge"]
    captioner = page.open_captioner(path.read_bytes(), "mine.h5")
    assert captioner.describe().startswith("merge decoder, vgg16 ")


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ({"dataset": "flickr8k"}, "trained on pets after flickr8k"),
        ({}, "trained on pets"),
        ("what a strange file says", "trained on pets"),
    ],
)
def test_a_fine_tuned_captioner_says_what_it_learnt_before(start, end):
    captioner = page.open_captioner(shipped_captioners()["flickr8k_merge"].read_bytes(), "mine.h5")
    captioner.training = {"dataset": "pets", "started_from": start}
    assert captioner.describe().endswith(f" words, {end}")


def test_a_refusal_names_the_file_and_not_where_it_was_put(monkeypatch):
    with pytest.raises(InputError, match=r"^mine\.h5 is no readable HDF5 file") as caught:
        page.open_captioner(b"not HDF5", "mine.h5")
    assert "captioner.h5" not in str(caught.value)
    monkeypatch.setattr(page, "MAX_CAPTIONER_MEGABYTES", 1)
    with pytest.raises(InputError, match=r"big\.h5 has 2 MB; the limit is 1 MB"):
        page.open_captioner(bytes(2 * 2**20), "big.h5")


def test_light_falls_where_the_weights_are():
    weights = np.zeros((7, 7))
    weights[0, 6] = 0.9
    preview = page.open_photo(page.Source("1", "white", np.full((70, 140, 3), 255, np.uint8)), []).preview
    lit = np.asarray(Image.open(io.BytesIO(page.light_attention(preview, weights))))
    assert lit.shape == (70, 140, 3)
    assert lit[:6, -12:].min() > 230
    assert lit[20:, :110].max() < 80
    preview = page.open_photo(page.Source("1", "grey", np.full((40, 40, 3), 128, np.uint8)), []).preview
    lit = np.asarray(Image.open(io.BytesIO(page.light_attention(preview, np.full((7, 7), 1 / 49)))))
    np.testing.assert_allclose(lit, 128, atol=2)  # even attention leaves the photo as it is


@pytest.mark.parametrize(
    ("row", "column", "place"),
    [
        (0, 0, "the upper left"),
        (0, 3, "the upper middle"),
        (3, 6, "the right side"),
        (3, 3, "the centre"),
        (6, 6, "the lower right"),
    ],
)
def test_places_are_named(row, column, place):
    weights = np.full((7, 7), 0.01)
    weights[row, column] = 1
    assert page.name_place(weights) == place
    assert page.name_place(np.kron(weights, np.ones((2, 2)))) == place  # a grid of 14×14


def test_samples_say_what_they_show():
    label, source = page.sample_photos()["two_dogs.jpg"]
    assert label == "Two dogs"
    assert "Two brown dogs" in source.description
    assert page.crop_square(source.file).size == (208, 208)
    label, source = page.sample_scene(35)
    assert label == "Boys"
    assert "two boys" in source.description
    assert source.file.size == (224, 224)


@pytest.mark.parametrize(
    "name", ["![x](http://a.b/c.png)", "<b>a</b>", "a_b*c`d`", ":red[a] $x$", "# a", "1. a", "- a"]
)
def test_names_cannot_act_as_markdown(name):
    escaped = page.escape_markdown(name)
    assert escaped.replace("\\", "") == name
    punctuation = [place for place, sign in enumerate(escaped) if not (sign.isalnum() or sign in " \\")]
    assert punctuation
    assert all(escaped[place - 1] == "\\" for place in punctuation)


def test_the_server_takes_what_the_page_takes():
    settings = tomllib.loads((Path(__file__).parents[1] / ".streamlit/config.toml").read_text(encoding="utf-8"))
    assert settings["server"]["maxUploadSize"] == max(page.MAX_CAPTIONER_MEGABYTES, page.MAX_PHOTO_MEGABYTES)
