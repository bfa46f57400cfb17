"""Shared types and protocols."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


AnyPath: TypeAlias = str | os.PathLike[str]
"""A file or folder, as text or as `pathlib.Path`."""
Tensor: TypeAlias = Any
"""A tensor of Keras's backend, which is chosen when the program runs: TensorFlow's or JAX's."""


class Fingerprinted(Protocol):
    """What says which encoder made it: features, or the encoder itself."""

    @property
    def fingerprint(self) -> str:
        """See `encoders.ImageEncoder`."""
        ...


class FeatureSource(Protocol):
    """Where batches take their features from, for example a `features.FeatureCache`."""

    def get(self, image_ids: Sequence[str]) -> NDArray[np.float16]:
        """Features of some photos in the order asked for: `(len(image_ids), *feature_shape)`."""
        ...


class FeatureEncoder(Fingerprinted, Protocol):
    """What `features.extract_features` needs of an encoder, for example an `encoders.ImageEncoder`."""

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels of the photos that `encode` takes."""
        ...

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Of one photo's features: `(feature_dim,)` or `(num_regions, feature_dim)`."""
        ...

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float16]:
        """uint8 `(batch, height, width, 3)` → float16 `(batch, *output_shape)`."""
        ...
