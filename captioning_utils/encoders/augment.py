"""Photos seen a little differently each time: cropped, mirrored and recoloured, on the device.

What is done to a photo is drawn on the host and given as numbers, a *view*. So the same seed gives the same photos on
every backend, and a view of nothing changed is the photo itself.
"""

from __future__ import annotations

import dataclasses
import math
import zlib

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from captioning_utils.base.types import Tensor
from captioning_utils.encoders.encoder import ImageEncoder

PLAIN_VIEW = (0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0)
"""top, left, height and width as shares of the photo; 1 where mirrored; brightness, contrast and saturation."""
MIRRORED = 4  # the place in a view that says so
WHOLE = 0.2  # share of the photos that are not cropped
AREA = (0.5, 1.0)  # of the photo that a crop shows
SIDES = (0.85, 1.18)  # width by height of a crop, in sides of the photo
COLOUR = (0.8, 1.2)  # of brightness, contrast and saturation, each drawn on its own
GREY = (0.299, 0.587, 0.114)  # how bright red, green and blue look (ITU-R BT.601)


def draw_views(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Draw what is done to some photos.

    Args:
        rng: NumPy's random generator.
        count: int, photos.

    Returns:
        float32 `(count, 8)`, each row as `PLAIN_VIEW`.

    Example:
        >>> draw_views(np.random.default_rng(0), 2).shape
        (2, 8)

    References:
        Crops: Szegedy et al. 2015, section 6 (arXiv:1409.4842); colours: Howard 2013 (arXiv:1312.5402).
    """
    area, across, whole = (
        rng.uniform(*AREA, count),
        np.exp(rng.uniform(math.log(SIDES[0]), math.log(SIDES[1]), count)),
        rng.random(count),
    )
    area = np.where(whole < WHOLE, 1.0, area)
    across = np.where(whole < WHOLE, 1.0, across)
    height, width = np.minimum(np.sqrt(area / across), 1.0), np.minimum(np.sqrt(area * across), 1.0)
    top, left = rng.random(count) * (1 - height), rng.random(count) * (1 - width)
    mirrored = rng.random(count) < 0.5
    colours = rng.uniform(*COLOUR, (3, count))
    return np.stack([top, left, height, width, mirrored, *colours], axis=1).astype(np.float32)


def augment_photos(photos: Tensor, views: Tensor) -> Tensor:
    """Photos as their views show them.

    A crop is enlarged to the photo's size bilinearly, by two products with matrices of weights: exact, the same on
    every backend, and quicker on a GPU than looking up four neighbours of every pixel.

    Args:
        photos: uint8 `(batch, height, width, 3)`, RGB.
        views: float32 `(batch, 8)`, from `draw_views`, or `PLAIN_VIEW` in each row.

    Returns:
        uint8 `(batch, height, width, 3)`.

    Example:
        >>> photos = np.arange(48, dtype="uint8").reshape(1, 4, 4, 3)
        >>> mirrored = augment_photos(photos, np.array([[0, 0, 1, 1, 1, 1, 1, 1]], "float32"))
        >>> bool((np.asarray(mirrored) == photos[:, :, ::-1]).all())
        True
    """
    _, height, width, channels = photos.shape
    top, left, share_high, share_wide, mirrored, *colours = ops.split(ops.cast(views, "float32"), 8, axis=1)
    across = _sample_weights(left, share_wide, width)  # (batch, width, width)
    across = ops.where(mirrored[:, :, None] > 0.5, ops.flip(across, axis=1), across)
    pixels = ops.reshape(ops.cast(photos, "float32"), (-1, height, width * channels))
    pixels = ops.matmul(_sample_weights(top, share_high, height), pixels)  # rows
    pixels = ops.reshape(pixels, (-1, height, width, channels))
    pixels = ops.einsum("bxw,bywc->byxc", across, pixels)  # columns
    return ops.cast(ops.round(_recolour(pixels, *(colour[:, :, None, None] for colour in colours))), "uint8")


class _Augmentation(keras.layers.Layer):
    """`augment_photos` as a layer, so that it is compiled."""

    def call(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        return augment_photos(*inputs)


class AugmentedEncoder:
    """An encoder that sees each photo in one augmented way, for `extract_features`.

    Views of odd numbers are mirrored. What else is done to a photo follows from its pixels and the view's number, so
    that it is the same in whatever batch it comes.

    Args:
        encoder: `ImageEncoder`.
        view: int from 0 to 9.
    """

    def __init__(self, encoder: ImageEncoder, view: int) -> None:
        self.image_size, self.output_shape = encoder.image_size, encoder.output_shape
        self.encoder_id = dataclasses.replace(encoder.encoder_id, view=view)
        self.fingerprint = str(self.encoder_id)
        self.view = view
        inputs = keras.Input((*encoder.image_size, 3), dtype="uint8"), keras.Input((len(PLAIN_VIEW),))
        self._encoder = encoder
        self._augment = keras.Model(inputs, _Augmentation()(inputs))

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float16]:
        """As `ImageEncoder.encode`, of the photos as this view shows them."""
        rngs = [np.random.default_rng((self.view, zlib.crc32(image.tobytes()))) for image in images]
        views = np.concatenate([draw_views(rng, 1) for rng in rngs])
        views[:, MIRRORED] = self.view % 2
        return self._encoder.encode(np.asarray(self._augment.predict_on_batch((images, views))))


def _sample_weights(start: Tensor, share: Tensor, size: int) -> Tensor:
    """(batch, 1) twice → (batch, size, size): how much each old row gives to each new one; every new row sums to 1."""
    places = ops.arange(size, dtype="float32")
    wanted = start * size + (places + 0.5)[None] * share - 0.5  # (batch, size), where new rows lie among the old
    wanted = ops.clip(wanted, 0.0, size - 1.0)
    return ops.maximum(0.0, 1.0 - ops.abs(wanted[:, :, None] - places[None, None]))


def _recolour(pixels: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Pixels 0–255 → 0–255; each factor is (batch, 1, 1, 1), and 1 changes nothing."""
    pixels = ops.clip(pixels * brightness, 0.0, 255.0)
    grey = ops.sum(pixels * ops.convert_to_tensor(GREY, "float32"), axis=-1, keepdims=True)
    mean = ops.mean(grey, axis=(1, 2), keepdims=True)
    pixels = ops.clip(mean + (pixels - mean) * contrast, 0.0, 255.0)
    grey = ops.sum(pixels * ops.convert_to_tensor(GREY, "float32"), axis=-1, keepdims=True)
    return ops.clip(grey + (pixels - grey) * saturation, 0.0, 255.0)
