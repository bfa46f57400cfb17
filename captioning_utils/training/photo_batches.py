"""The generator for training on photos: each row of a batch is a photo, how it is seen, and its captions."""

from __future__ import annotations

import collections
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np
from numpy.typing import NDArray

from captioning_utils.base.errors import InputError
from captioning_utils.base.parallel import map_ahead
from captioning_utils.batches import Row
from captioning_utils.encoders.augment import MIRRORED, PLAIN_VIEW, draw_views
from captioning_utils.features import report_skipped
from captioning_utils.images import ImageSource, load_image
from captioning_utils.text import Vocabulary, clean_caption

MOST_CAPTIONS = 8  # of a photo in one step; of more, other ones are drawn every time
SIDES = ("left", "right")  # captions with words that begin so would be wrong for a mirrored photo
PhotoBatch: TypeAlias = tuple[tuple[Any, NDArray[np.int32]], NDArray[np.int32]]
"""`(((photos, views), input_tokens), target_tokens)`."""


class Photos:
    """Photos of one size by image_id, decoded once and held in memory.

    Attributes:
        pixels: uint8 `(photos, height, width, 3)`.
        skipped: dict of image_id to the reason why its photo could not be read.

    Example:
        >>> photos = load_photos({"white": np.full((4, 3, 3), 255, np.uint8)}, (2, 2))
        >>> photos.pixels.shape, photos.rows(["white"]).tolist(), "black" in photos
        ((1, 2, 2, 3), [0], False)
    """

    def __init__(self, image_ids: Sequence[str], pixels: NDArray[np.uint8], skipped: Mapping[str, str]) -> None:
        self.pixels, self.skipped = pixels, dict(skipped)
        self._rows = {image_id: row for row, image_id in enumerate(image_ids)}

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._rows

    def rows(self, image_ids: Sequence[str]) -> NDArray[np.int32]:
        """Where some photos are in `pixels`: int32 `(len(image_ids),)`."""
        return np.array([self._rows[image_id] for image_id in image_ids], np.int32)


def load_photos(image_paths: Mapping[str, ImageSource], size: tuple[int, int]) -> Photos:
    """Decode photos, on all processors, and bring them to one size.

    Args:
        image_paths: dict of image_id to anything that `load_image` takes.
        size: (height, width) in pixels.

    Returns:
        `Photos`; those that cannot be read are named and left out.

    Raises:
        InputError: where none can be read.
    """
    pixels = np.empty((len(image_paths), *size, 3), np.uint8)
    image_ids: list[str] = []
    skipped = {}
    decoded = map_ahead(lambda photo: _decode(*photo, size), image_paths.items(), ahead=256)
    for image_id, image in decoded:
        if isinstance(image, str):
            skipped[image_id] = image
        else:
            pixels[len(image_ids)] = image
            image_ids.append(image_id)
    if not image_ids:
        first, reason = next(iter(skipped.items()), ("", "there is none"))
        raise InputError(f"none of {len(image_paths)} photos can be read, first {first!r}: {reason}")
    report_skipped(skipped, image_paths)
    return Photos(image_ids, pixels[: len(image_ids)], skipped)


def _decode(image_id: str, source: ImageSource, size: tuple[int, int]) -> tuple[str, NDArray[np.uint8] | str]:
    """The photo, or the reason why there is none."""
    try:
        return image_id, load_image(source, size)
    except InputError as error:
        return image_id, str(error)


def find_sided(captions: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """The image_ids of the photos of which a caption says left or right.

    Example:
        >>> sorted(find_sided({"a": ["A dog ."], "b": ["A cat", "The Left-hand cat ."], "c": ["rightmost"]}))
        ['b', 'c']
    """
    return frozenset(
        image_id
        for image_id, several in captions.items()
        if any(word.startswith(SIDES) for caption in several for word in clean_caption(caption).split())
    )


class PhotoBatches(keras.utils.PyDataset):
    """Batches of photos with their captions for `model.fit`: `(((photos, views), input_tokens), target_tokens)`.

    All batches have one shape, so that a compiling backend makes one program: captions are padded to the longest of the
    split, photos with fewer captions and the last batch are filled up with empty ones, which have no target.

    Photos, order, views and captions depend on `seed` and `epoch` alone.

    Args:
        photos: `Photos`.
        captions: list of `(image_id, token_ids)`, as for `CaptionBatches`.
        batch_size: int, captions a step at most; a step has as many photos as that allows, at least one.
        on_device: bool, whether the model keeps the photos: batches then bring their rows, int32 `(photos,)`.
        augment: bool, whether the photos are seen anew each time, or as they are.
        sided: image_ids of photos that are never mirrored.
        shuffle: bool, True for training.
        seed: int, where order and views start.

    Example:
        >>> photos = Photos(["a", "b"], np.zeros((2, 8, 8, 3), np.uint8), {})
        >>> batches = PhotoBatches(photos, [("a", [1, 4, 2]), ("a", [1, 5, 6, 2]), ("b", [1, 5, 2])], batch_size=4)
        >>> ((pixels, views), input_tokens), target_tokens = batches[0]
        >>> pixels.shape, views.shape, input_tokens.shape
        ((2, 8, 8, 3), (2, 8), (2, 2, 3))
        >>> target_tokens[1].tolist()
        [[5, 2, 0], [0, 0, 0]]
    """

    def __init__(
        self,
        photos: Any,
        captions: Sequence[Row],
        batch_size: int,
        on_device: bool = False,
        augment: bool = False,
        sided: Collection[str] = (),
        shuffle: bool = False,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.photos, self.on_device, self.augment, self.sided = photos, on_device, augment, sided
        self.shuffle, self.seed = shuffle, seed
        self.captions: dict[str, list[list[int]]] = collections.defaultdict(list)
        for image_id, token_ids in captions:
            self.captions[image_id].append(token_ids)
        self.image_ids = list(self.captions)
        self.captions_each = min(MOST_CAPTIONS, max(map(len, self.captions.values())))
        self.photos_each = max(1, batch_size // self.captions_each)
        self.length = max(len(token_ids) for _, token_ids in captions) - 1  # the last token is never an input
        self.start(epoch=0)

    def __len__(self) -> int:
        return -(-len(self.image_ids) // self.photos_each)

    def __getitem__(self, index: int) -> PhotoBatch:
        image_ids = self.photos_of(index)
        rng = np.random.default_rng((self.seed, self.epoch, index))
        tokens = np.full((self.photos_each, self.captions_each, self.length + 1), Vocabulary.pad_id, np.int32)
        for photo, image_id in enumerate(image_ids):
            for row, token_ids in enumerate(self._draw_captions(image_id, rng)):
                tokens[photo, row, : len(token_ids)] = token_ids
        filled = image_ids + image_ids[:1] * (self.photos_each - len(image_ids))
        input_tokens = np.where(tokens[..., 1:] == Vocabulary.pad_id, Vocabulary.pad_id, tokens[..., :-1])
        return (self.see(filled, rng), input_tokens), tokens[..., 1:]

    def on_epoch_end(self) -> None:
        """Keras calls this between epochs: the next epoch gets its own order and views."""
        self.start(self.epoch + 1)

    def start(self, epoch: int) -> None:
        """Arrange the batches of epoch number `epoch` (int, from 0); for going on with an interrupted run."""
        self.epoch = epoch
        number = len(self.image_ids)
        rng = np.random.default_rng((self.seed, epoch))
        self._order = rng.permutation(number) if self.shuffle else np.arange(number)

    def photos_of(self, index: int) -> list[str]:
        """The image_ids of a batch of this epoch; list of str."""
        start = index * self.photos_each
        return [self.image_ids[place] for place in self._order[start : start + self.photos_each]]

    def see(self, image_ids: Sequence[str], rng: np.random.Generator) -> Any:
        """What the model's eyes take of some photos."""
        rows = self.photos.rows(image_ids)
        return rows if self.on_device else self.photos.pixels[rows], self._draw_views(image_ids, rng)

    def _draw_captions(self, image_id: str, rng: np.random.Generator) -> list[list[int]]:
        several = self.captions[image_id]
        if len(several) <= self.captions_each:
            return several
        return [several[place] for place in rng.choice(len(several), self.captions_each, replace=False)]

    def _draw_views(self, image_ids: Sequence[str], rng: np.random.Generator) -> NDArray[np.float32]:
        if not self.augment:
            return np.tile(np.array(PLAIN_VIEW, np.float32), (len(image_ids), 1))
        views = draw_views(rng, len(image_ids))
        views[[image_id in self.sided for image_id in image_ids], MIRRORED] = 0
        return views
