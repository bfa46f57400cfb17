"""A decoder behind the eyes that its features come from, as one model: what trains on photos, or on kept features."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from captioning_utils.base.backend import has_accelerator
from captioning_utils.base.types import Tensor
from captioning_utils.decoders.base import CaptionDecoder, State
from captioning_utils.encoders.augment import augment_photos
from captioning_utils.encoders.encoder import ImageEncoder
from captioning_utils.encoders.learned_blocks import split_encoder
from captioning_utils.features import FeatureCache

DEVICE_BYTES = 8 * 10**9  # of photos or features that are kept on a GPU


def fits_on_device(num_bytes: int) -> bool:
    """Whether so much is kept on the device: there is a GPU, and it leaves room for the training."""
    return num_bytes <= DEVICE_BYTES and has_accelerator()


class DeviceRows(keras.layers.Layer):
    """An array that stays on the device; a batch then brings the numbers of its rows only.

    Args:
        array: array of any dtype; its first axis are the rows.

    Call arguments:
        rows: int32 `(batch,)`.

    Returns:
        tensor `(batch, ...)` of the array's dtype.

    Example:
        >>> DeviceRows(np.array([[1], [2], [3]], "uint8"))(np.array([2, 0])).numpy().tolist()
        [[3], [1]]
    """

    def __init__(self, array: NDArray[Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.array = keras.Variable(array, dtype=str(array.dtype), trainable=False, autocast=False, name="array")
        self.built = True

    def call(self, rows: Tensor) -> Tensor:
        return ops.take(self.array, ops.cast(rows, "int32"), axis=0)


class LiveEyes(keras.layers.Layer):
    """An encoder that sees photos anew in every step, and whose last blocks may learn.

    Args:
        encoder: `ImageEncoder`; it is changed by training.
        blocks: int, how many of its last blocks learn; all before stay as they are.
        photos: uint8 `(photos, height, width, 3)` to be kept on the device, or None.

    Call arguments:
        seen: tuple of photos and views: uint8 `(batch, height, width, 3)`, or int32 `(batch,)` rows of the photos on
            the device; and float32 `(batch, 8)`, see `augment_photos`.

    Returns:
        float32 features `(batch, *encoder.output_shape)`.
    """

    def __init__(
        self, encoder: ImageEncoder, blocks: int = 0, photos: NDArray[np.uint8] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.device_photos = None if photos is None else DeviceRows(photos)
        trunk, self.head = encoder, None
        if blocks:
            trunk, self.head = split_encoder(encoder, blocks)
        self.trunk = trunk.model
        self.trunk.trainable = False
        self.built = True

    def call(self, seen: tuple[Tensor, Tensor]) -> Tensor:
        photos, views = seen
        if self.device_photos:
            photos = self.device_photos(photos)
        # In inference mode: batch normalisation keeps the statistics that it was trained with.
        maps = self.trunk(augment_photos(photos, views), training=False)
        return self.head(maps, training=False) if self.head else maps


class SeenFeatures:
    """Kept features of photos that were seen in several ways, of which one is drawn each time.

    Args:
        views: list of `FeatureCache`: one of the photos as they are, or several of an `AugmentedEncoder` each.
        image_ids: list of image_id.
        sided: image_ids of photos for which no mirrored view is drawn.

    Attributes:
        eyes: layer that turns what `draw` gives into features, for a `SightedDecoder`.
    """

    def __init__(self, views: Sequence[FeatureCache], image_ids: Sequence[str], sided: Collection[str] = ()) -> None:
        self._views, self._sided = views, sided
        self._places = {image_id: place for place, image_id in enumerate(image_ids)}
        self._on_device = fits_on_device(2 * len(views) * len(image_ids) * math.prod(views[0].output_shape))
        self.eyes: keras.layers.Layer = keras.layers.Identity()
        if self._on_device:
            self.eyes = DeviceRows(np.concatenate([view.get(image_ids) for view in views]))

    def draw(self, image_ids: Sequence[str], rng: np.random.Generator) -> NDArray[Any]:
        """A view of each photo: int32 `(photos,)` rows on the device, or float32 `(photos, *feature_shape)`."""
        numbers = rng.integers(len(self._views), size=len(image_ids))
        sided = np.array([image_id in self._sided for image_id in image_ids])
        numbers = np.where(sided, numbers - numbers % 2, numbers)  # mirrored views have odd numbers
        if self._on_device:
            places = [self._places[image_id] for image_id in image_ids]
            return (numbers * len(self._places) + places).astype(np.int32)
        each = [self._views[view].get([image_id]) for view, image_id in zip(numbers, image_ids, strict=True)]
        return np.concatenate(each).astype("float32")


class SightedDecoder(CaptionDecoder):
    """Eyes and a decoder as one model.

    Args:
        eyes: `LiveEyes`, or `DeviceRows` of features.
        decoder: `CaptionDecoder`.

    Call arguments:
        inputs: tuple `(seen, input_tokens)`: what the eyes take, of `(photos, ...)`, and int32
            `(photos, captions, sequence_length)`.
        training: bool, whether the decoder's dropout is on.

    Returns:
        float32 logits `(photos, captions, sequence_length, vocabulary_size)`.
    """

    def __init__(self, eyes: keras.layers.Layer, decoder: CaptionDecoder, **kwargs: Any) -> None:
        super().__init__(decoder.config, **kwargs)
        self.eyes = eyes
        self.decoder = decoder
        self.built = True  # both parts are

    @property
    def max_length(self) -> int | None:
        """The decoder's."""
        return self.decoder.max_length

    @property
    def checkpoint_variables(self) -> list[keras.Variable]:
        """All but those of the eyes that stay as they are, which are many."""
        frozen = {id(variable) for variable in self.eyes.non_trainable_variables}
        return [variable for variable in self.variables if id(variable) not in frozen]

    def call(self, inputs: tuple[Any, Tensor], training: bool = False) -> Tensor:
        seen, input_tokens = inputs
        _, captions, length = input_tokens.shape
        features = self.eyes(seen)
        if not self.decoder.shares_photos:
            features = ops.repeat(features, captions, axis=0)
        logits = self.decoder((features, ops.reshape(input_tokens, (-1, length))), training=training)
        return ops.reshape(logits, (-1, captions, length, self.config.vocabulary_size))

    def initial_state(self, features: Tensor) -> State:
        """The decoder's, for what the eyes take."""
        return self.decoder.initial_state(self.eyes(features))

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """The decoder's."""
        return self.decoder.step(tokens, state)
