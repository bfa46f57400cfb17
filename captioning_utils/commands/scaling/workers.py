"""What is done with photos: a worker turns a table of decoded photos into a table of results."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from captioning_utils.base.backend import load_backend
from captioning_utils.base.errors import InputError
from captioning_utils.base.types import AnyPath
from captioning_utils.commands.scaling.sources import Photo

if TYPE_CHECKING:
    import pyarrow

    from captioning_utils.captioner import Captioner
    from captioning_utils.encoders.encoder import ImageEncoder


class Worker(Protocol):
    """What turns photos into results; it travels to other machines as it is before its first call."""

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels of the photos that it takes."""
        ...

    def describe(self) -> dict[str, Any]:
        """What the results depend on, JSON-serialisable."""
        ...

    def __call__(self, photos: pyarrow.Table) -> pyarrow.Table:
        """A table of `table_of_photos` → the same with results instead of pixels."""
        ...


class CaptionWorker:
    """Describes photos in one sentence each.

    Args:
        captioner: as for `load_captioner`.
        settings: dict, fields of `GenerationConfig` that replace the captioner's own.
        weights_path: str or `Path` of the encoder's weights, on every machine; None finds or downloads them.

    Raises:
        InputError: for settings that are not allowed, or that give more than one sentence or another one each time.
    """

    def __init__(
        self, captioner: AnyPath | None = None, settings: Mapping[str, Any] = {}, weights_path: AnyPath | None = None
    ) -> None:
        load_backend()
        from captioning_utils.captioner import captioner_path

        self._content = captioner_path(captioner).read_bytes()  # other machines need not have the file
        self._settings, self._weights_path = dict(settings), weights_path
        own = self._captioner.generation_settings(self._settings)
        if own.temperature is not None or own.num_captions > 1:
            raise InputError(
                "one row a photo holds one sentence, the same in every run; leave out temperature and num_captions"
            )

    @functools.cached_property
    def _captioner(self) -> Captioner:
        load_backend()
        from captioning_utils.captioner import load_captioner

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "captioner.h5"
            path.write_bytes(self._content)
            return load_captioner(path)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_captioner"}

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self._captioner.encoder_id.image_size

    def describe(self) -> dict[str, Any]:
        """What the sentences depend on."""
        generation = dataclasses.asdict(self._captioner.generation_settings(self._settings))
        return {"result": "captions", "captioner": self._captioner.fingerprint, "generation": generation}

    def __call__(self, photos: pyarrow.Table) -> pyarrow.Table:
        """Photos → `caption` and `score`."""
        import pyarrow

        pixels = read_pixels(photos, self.image_size)
        features = self._captioner.image_encoder(self._weights_path).encode(pixels)
        best = [several[0] for several in self._captioner.caption_features(features, **self._settings)]
        captions = pyarrow.array([each.caption for each in best], pyarrow.string())
        scores = pyarrow.array([each.score for each in best], pyarrow.float32())
        return put_results(photos, {"caption": captions, "score": scores})


class FeatureWorker:
    """Computes the features of photos.

    Args:
        **encoder: of `build_encoder`.
    """

    def __init__(self, **encoder: Any) -> None:
        self._options = encoder

    @functools.cached_property
    def _encoder(self) -> ImageEncoder:
        load_backend()
        from captioning_utils.encoders.encoder import build_encoder

        return build_encoder(**self._options)

    def __getstate__(self) -> dict[str, Any]:
        return {"_options": self._options}

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self._encoder.image_size

    def describe(self) -> dict[str, Any]:
        """What the features depend on; `shape` is that of a photo's."""
        return {"result": "features", "encoder": self._encoder.fingerprint, "shape": list(self._encoder.output_shape)}

    def __call__(self, photos: pyarrow.Table) -> pyarrow.Table:
        """Photos → `features`, float16, flat: their shape is in the settings."""
        import pyarrow

        features = self._encoder.encode(read_pixels(photos, self.image_size))
        numbers = pyarrow.array(features.reshape(-1), pyarrow.float16())
        width = int(np.prod(self._encoder.output_shape))
        return put_results(photos, {"features": pyarrow.FixedSizeListArray.from_arrays(numbers, width)})


def table_of_photos(photos: Iterable[Photo]) -> pyarrow.Table:
    """Photos as a table: the keys, `pixels` as bytes, and `reason`, empty where there are pixels."""
    import pyarrow

    keys = {"file": pyarrow.string(), "row": pyarrow.int32(), "last": pyarrow.bool_(), "image": pyarrow.string()}
    schema = pyarrow.schema({**keys, "pixels": pyarrow.large_binary(), "reason": pyarrow.string()})
    rows = [
        {name: getattr(photo.entry, name) for name in keys}
        | {"pixels": None if photo.pixels is None else photo.pixels.tobytes(), "reason": photo.reason}
        for photo in photos
    ]
    return pyarrow.Table.from_pylist(rows, schema)


def read_pixels(photos: pyarrow.Table, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The photos of a table that have pixels: uint8 `(photos, height, width, 3)`."""
    contents = [value for value in photos["pixels"].to_pylist() if value is not None]
    return np.frombuffer(b"".join(contents), np.uint8).reshape(-1, *size, 3)


def put_results(photos: pyarrow.Table, results: Mapping[str, pyarrow.Array]) -> pyarrow.Table:
    """The table with columns of results instead of pixels, null where a photo has a reason."""
    import pyarrow
    import pyarrow.compute

    has_pixels = photos["pixels"].combine_chunks().is_valid()
    places = pyarrow.array(np.cumsum(has_pixels.to_numpy(zero_copy_only=False)) - 1)
    places = pyarrow.compute.if_else(has_pixels, places, None)
    table = photos.drop_columns(["pixels"])
    for name, column in results.items():
        table = table.append_column(name, column.take(places))
    return table
