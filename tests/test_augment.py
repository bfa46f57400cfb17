"""Augmented photos, against a plain computation in NumPy: so they are the same, to rounding, on every backend."""

import numpy as np
import pytest

from captioning_utils.encoders import build_encoder
from captioning_utils.encoders.augment import GREY, PLAIN_VIEW, AugmentedEncoder, augment_photos, draw_views

PHOTOS = np.random.default_rng(0).integers(0, 256, (6, 12, 16, 3), "uint8")


def augment(photos, views):
    return np.asarray(augment_photos(photos, np.asarray(views, "float32"))).astype(int)


def look_up(line, start, share):
    """A line of pixels, cropped and enlarged to its length bilinearly."""
    size = len(line)
    wanted = np.clip(start * size + (np.arange(size) + 0.5) * share - 0.5, 0, size - 1)
    low = np.minimum(wanted.astype(int), size - 2)
    rest = (wanted - low).reshape(-1, *[1] * (line.ndim - 1))
    return line[low] * (1 - rest) + line[low + 1] * rest


def by_hand(photo, view):
    top, left, height, width, mirrored, brightness, contrast, saturation = (float(number) for number in view)
    pixels = look_up(photo.astype(float), top, height)
    pixels = look_up(pixels.swapaxes(0, 1), left, width).swapaxes(0, 1)
    pixels = np.clip((pixels[:, ::-1] if mirrored else pixels) * brightness, 0, 255)
    mean = (pixels @ GREY).mean()
    pixels = np.clip(mean + (pixels - mean) * contrast, 0, 255)
    grey = (pixels @ GREY)[..., None]
    return np.clip(grey + (pixels - grey) * saturation, 0, 255)


def test_a_plain_view_is_the_photo_itself():
    np.testing.assert_array_equal(augment(PHOTOS, [PLAIN_VIEW] * 6), PHOTOS)


def test_views_do_what_they_say():
    views = draw_views(np.random.default_rng(1), len(PHOTOS))
    assert len(set(views[:, 4])) == 2  # some are mirrored
    expected = np.stack([by_hand(*pair) for pair in zip(PHOTOS, views, strict=True)])
    np.testing.assert_allclose(augment(PHOTOS, views), expected, atol=0.51)  # rounded


def test_views_are_within_the_photo_and_follow_from_the_seed():
    views = draw_views(np.random.default_rng(2), 1000)
    top, left, height, width, mirrored, *colours = views.T
    assert (top >= 0).all() and (top + height <= 1 + 1e-6).all() and (left + width <= 1 + 1e-6).all()  # noqa: PT018
    assert 0.15 < (height * width == 1).mean() < 0.25  # a fifth are whole
    assert (height * width).min() > 0.48
    assert 0.45 < mirrored.mean() < 0.55
    assert all(0.8 <= colour.min() < colour.max() <= 1.2 for colour in colours)
    np.testing.assert_array_equal(views, draw_views(np.random.default_rng(2), 1000))


@pytest.mark.slow  # builds a network
def test_a_view_of_a_photo_is_the_same_in_every_batch_and_no_other_view():
    encoder = build_encoder("vgg16", weights=None, image_size=32)
    photos = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), "uint8")
    first, second = AugmentedEncoder(encoder, 1), AugmentedEncoder(encoder, 2)
    assert first.fingerprint == f"{encoder.fingerprint} view1"
    whole = first.encode(photos)
    np.testing.assert_allclose(first.encode(photos[1:2])[0], whole[1], rtol=1e-2)
    assert np.abs(whole - second.encode(photos)).max() > 0
