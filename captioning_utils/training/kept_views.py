"""Training on photos without a GPU: what the frozen blocks make of several views of each photo is kept on disk.

The blocks below those that learn are most of an encoder's work; of VGG16's, nine tenths lie before block 5. They are
computed once for each view. An epoch then costs the blocks that learn and the decoder, and draws a view of every photo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from captioning_utils.base.types import Tensor
from captioning_utils.batches import Row
from captioning_utils.bulk import features_path
from captioning_utils.datasets.dataset import CaptionDataset
from captioning_utils.encoders.augment import AugmentedEncoder
from captioning_utils.encoders.encoder import ImageEncoder
from captioning_utils.encoders.learned_blocks import split_encoder
from captioning_utils.features import FeatureCache, extract_features
from captioning_utils.settings import TrainingConfig
from captioning_utils.training.photo_batches import PhotoBatches, find_sided
from captioning_utils.training.sighted import SeenFeatures


class KeptEyes(keras.layers.Layer):
    """The blocks that learn, for a `SightedDecoder`; what they see is kept.

    Args:
        head: `keras.Model` of `split_encoder`.

    Call arguments:
        maps: float32 `(batch, rows, columns, channels)`.

    Returns:
        float32 features `(batch, *encoder.output_shape)`.
    """

    def __init__(self, head: keras.Model, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.head = head
        self.built = True

    def call(self, maps: Tensor) -> Tensor:
        return self.head(maps, training=False)


class KeptBatches(PhotoBatches):
    """As `PhotoBatches`, but the model gets a kept view of each photo, drawn at random.

    Args:
        seen: `SeenFeatures` of the photos.
        captions: list of `(image_id, token_ids)`.
        **kwargs: of `PhotoBatches`.
    """

    def __init__(self, seen: SeenFeatures, captions: Sequence[Row], **kwargs: Any) -> None:
        super().__init__(None, captions, **kwargs)
        self.seen = seen

    def see(self, image_ids: Sequence[str], rng: np.random.Generator) -> NDArray[Any]:
        return self.seen.draw(image_ids, rng)


class KeptViews:
    """The kept views of a dataset's photos, made where they are not there yet, and what training needs for them.

    Args:
        dataset: `CaptionDataset`.
        encoder: `ImageEncoder`, whose last `config.encoder_blocks` blocks learn, or none.
        config: `TrainingConfig`; `config.views` is how many views of a train photo are kept. VGG16's before block 5
            take 200 kB of disk each, at 224×224 pixels.

    Attributes:
        eyes: layer from what the batches bring to features.
    """

    def __init__(self, dataset: CaptionDataset, encoder: ImageEncoder, config: TrainingConfig) -> None:
        trunk: ImageEncoder = encoder
        self.eyes: keras.layers.Layer = keras.layers.Identity()
        if config.encoder_blocks:
            trunk, head = split_encoder(encoder, config.encoder_blocks)
            self.eyes = KeptEyes(head)
        self._config, self._sided = config, find_sided(dataset.split_captions("train"))
        viewed = [AugmentedEncoder(trunk, number) for number in range(config.views)]
        self._caches = {
            "train": [_extract(dataset, "train", each) for each in viewed],
            "val": [_extract(dataset, "val", trunk)],
        }

    def __contains__(self, image_id: object) -> bool:
        return any(image_id in caches[0] for caches in self._caches.values())

    @property
    def identities(self) -> dict[str, str]:
        """What tells each photo's content, as in `FeatureCache`."""
        return self._caches["train"][0].identities | self._caches["val"][0].identities

    def make_batches(self, rows: Mapping[str, Sequence[Row]]) -> dict[str, PhotoBatches]:
        """The batches of `prepare_captions`'s rows: those of the train split are shuffled."""
        batches = {}
        for split, split_rows in rows.items():
            image_ids = list(dict.fromkeys(image_id for image_id, _ in split_rows))
            seen = SeenFeatures(self._caches[split], image_ids, self._sided)
            common = {"batch_size": self._config.batch_size, "seed": self._config.seed}
            batches[split] = KeptBatches(seen, split_rows, shuffle=split == "train", **common)
        return batches


def _extract(dataset: CaptionDataset, split: str, encoder: ImageEncoder | AugmentedEncoder) -> FeatureCache:
    photos = {image_id: dataset.image_paths[image_id] for image_id in dataset.require_split(split)}
    return extract_features(photos, encoder, features_path(dataset, encoder.fingerprint, encoder.output_shape))
