"""Many photos: their features, and captions some at a time, so that memory is bounded and nothing is drawn twice."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from captioning_utils.base.backend import has_accelerator
from captioning_utils.base.errors import InputError
from captioning_utils.base.files import path_text, short_name, write_json, write_text
from captioning_utils.base.tables import to_csv
from captioning_utils.base.types import AnyPath
from captioning_utils.captioner import Captioner, ScoredCaption
from captioning_utils.datasets.dataset import CaptionDataset
from captioning_utils.encoders.augment import AugmentedEncoder
from captioning_utils.encoders.encoder import ENCODERS
from captioning_utils.encoders.encoder_id import EncoderId
from captioning_utils.features import FeatureCache, extract_features, load_features
from captioning_utils.images import load_image
from captioning_utils.settings import PHOTOS_AT_ONCE, settings_of_part

_Photo = TypeVar("_Photo")
FEATURES_AT_ONCE = 256  # 50 MB of a 14×14 grid with 512 channels
LARGEST_PICKLE = 5 * 10**8  # bytes of features that are held in memory as a whole, for a moment twice


def features_path(dataset: CaptionDataset, fingerprint: str, shape: Sequence[int]) -> Path:
    """Where the features of a dataset are kept: one pickle, or a folder of shards where that would fill the memory.

    The name holds a hash of the folder that holds the photos, so that two datasets of the same name stay apart, and
    one dataset is the same by whichever path or caption file it was opened.

    Args:
        dataset: `CaptionDataset`.
        fingerprint: str, the encoder's; each fine-tuned encoder has features of its own.
        shape: its `output_shape`, `(feature_dim,)` or `(num_regions, feature_dim)`.

    Returns:
        `Path`, in data/features.
    """
    encoder_id = EncoderId.parse(fingerprint)
    folder = os.path.commonpath({path.parent.absolute() for path in dataset.image_paths.values()})
    place = hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:8]
    layer = encoder_id.layer if encoder_id.view is None else f"{encoder_id.layer}-view{encoder_id.view}"
    tuned = f"-{encoder_id.weights[-8:]}" if encoder_id.tuned else ""
    num_bytes = 2 * len(dataset.image_paths) * math.prod(shape)  # float16
    suffix = ".pkl" if num_bytes < LARGEST_PICKLE else ""
    usual = ENCODERS[encoder_id.name].photo_size(encoder_id.layer)
    size = "" if encoder_id.image_size == usual else f"-{encoder_id.image_size[0]}"
    name = f"{short_name(dataset.name)}-{place}-{encoder_id.name}-{layer}{size}-{encoder_id.dtype}{tuned}{suffix}"
    return Path("data/features") / name


def captioner_features(
    captioner: Captioner,
    dataset: CaptionDataset,
    image_ids: Collection[str],
    path: AnyPath | None = None,
    weights_path: AnyPath | None = None,
) -> FeatureCache:
    """The features that a captioner reads; the encoder is built only where some are not cached yet."""
    path = Path(path or features_path(dataset, captioner.encoder, captioner.decoder.config.feature_shape))
    photos = {image_id: dataset.image_paths[image_id] for image_id in image_ids}
    if path.is_file() or (path / "index.json").is_file():
        features = load_features(path)
        captioner.check_features(features)
        if all(image_id in features for image_id in image_ids) and not features.find_changed(photos):
            return features
    return extract_features(photos, captioner.image_encoder(weights_path), path)


def extract_views(
    captioner: Captioner, dataset: CaptionDataset, count: int, weights_path: AnyPath | None = None
) -> list[FeatureCache]:
    """The features of the train photos in several augmented views, for `train_self_critical`.

    Args:
        captioner: `Captioner`; its encoder computes in what it was trained in.
        dataset: `CaptionDataset`.
        count: int, views.
        weights_path: str or `Path` of a file with the encoder's weights; None finds or downloads them.

    Returns:
        list of `FeatureCache`, kept beside those of the photos as they are.
    """
    fast = captioner.training.get("settings", {}).get("bfloat16") and has_accelerator()
    encoder = captioner.build_image_encoder(weights_path, "bfloat16" if fast else None)
    photos = {image_id: dataset.image_paths[image_id] for image_id in dataset.require_split("train")}
    views = [AugmentedEncoder(encoder, number) for number in range(count)]
    return [
        extract_features(photos, view, features_path(dataset, view.fingerprint, view.output_shape)) for view in views
    ]


def caption_many(
    captioner: Captioner,
    photos: Sequence[_Photo],
    load: Callable[[Sequence[_Photo]], tuple[Sequence[_Photo], NDArray[Any]]],
    settings: dict[str, Any] | None = None,
    at_once: int = FEATURES_AT_ONCE,
    show_progress: bool = True,
) -> Iterator[tuple[_Photo, list[ScoredCaption]]]:
    """Sentences for many photos, `at_once` of them in memory.

    With sampling each part draws anew.

    Args:
        captioner: `Captioner`.
        photos: sequence of anything that `load` understands.
        load: function from some of `photos` to those that could be read and their features, float
            `(len(those), *feature_shape)`.
        settings: dict, fields of `GenerationConfig` that replace the captioner's own; or None.
        at_once: int, photos a part.
        show_progress: bool, whether to show a progress bar.

    Yields:
        tuple of a photo and its list of `ScoredCaption`, best first; photos that could not be read are left out.
    """
    settings = settings or {}
    with tqdm(total=len(photos), desc="Captioning", unit="photo", disable=not show_progress) as bar:
        for start in range(0, len(photos), at_once):
            part = photos[start : start + at_once]
            readable, features = load(part)
            own = settings_of_part(settings, captioner.generation, start)
            if len(readable):
                yield from zip(readable, captioner.caption_features(features, **own), strict=True)
            bar.update(len(part))


def caption_split(
    captioner: Captioner,
    features: FeatureCache,
    image_ids: Sequence[str],
    settings: dict[str, Any] | None = None,
    allow_missing: bool = False,
    show_progress: bool = True,
    photos_at_once: int = FEATURES_AT_ONCE,
) -> dict[str, list[str]]:
    """Sentences for many photos whose features are kept, such as those of a split.

    Args:
        captioner: `Captioner`.
        features: `FeatureCache` of the captioner's encoder.
        image_ids: sequence of image_id.
        settings: dict, fields of `GenerationConfig` that replace the captioner's own; or None.
        allow_missing: bool; True leaves photos without features out.
        show_progress: bool, whether to show a progress bar.
        photos_at_once: int, of how many photos the features are in memory at once.

    Returns:
        dict of image_id to list of str, the best first.

    Raises:
        InputError: where features are of another encoder, or some are missing and `allow_missing` is False.

    Example:
        >>> from captioning_utils.captioner import load_captioner
        >>> captioner = load_captioner()
        >>> shape = captioner.decoder.config.feature_shape
        >>> rows = np.zeros((2, *shape), np.float16)  # extract_features makes real ones
        >>> features = FeatureCache(captioner.encoder, shape, ["a.jpg", "b.jpg"], {}, [rows])
        >>> captions = caption_split(captioner, features, ["b.jpg"], {"beam_size": 1}, show_progress=False)
        >>> list(captions), len(captions["b.jpg"])
        (['b.jpg'], 1)
    """
    captioner.check_features(features)
    present = [image_id for image_id in image_ids if image_id in features]
    if not present or (len(present) < len(image_ids) and not allow_missing):
        missing = [image_id for image_id in image_ids if image_id not in features]
        reason = features.skipped.get(missing[0], "not in the feature cache") if missing else "the list is empty"
        raise InputError(
            f"{len(missing)} of {len(image_ids)} photos have no features, first {missing[:1]!r:.120} ({reason}); "
            "mend these photos, or score the rest with allow_missing="
        )
    found = caption_many(
        captioner, present, lambda ids: (ids, features.get(ids)), settings, photos_at_once, show_progress
    )
    return {image_id: [each.caption for each in several] for image_id, several in found}


def caption_photos(
    captioner: Captioner,
    paths: Sequence[Path],
    settings: dict[str, Any] | None = None,
    failures: list[str] | None = None,
    show_progress: bool = False,
    notes: list[str] | None = None,
) -> Iterator[dict[str, Any]]:
    """Sentences for many photo files, as rows of a table.

    Args:
        captioner: `Captioner`.
        paths: sequence of `Path`.
        settings: dict, fields of `GenerationConfig` that replace the captioner's own; or None.
        failures: list that gets a message for each photo that cannot be read and is left out; None: it is an error.
        show_progress: bool, whether to show a progress bar.
        notes: as for `load_image`.

    Yields:
        dict with image (str), caption (str) and score (float), one for each sentence.

    Raises:
        InputError: for a photo that cannot be read, where no `failures` are collected.
    """
    encoder = captioner.image_encoder()

    def load(part: Sequence[Path]) -> tuple[Sequence[Path], NDArray[Any]]:
        images = {}
        for path in part:
            try:
                images[path] = load_image(path, encoder.image_size, notes)
            except InputError as error:
                if failures is None:
                    raise
                failures.append(str(error))
        return list(images), encoder.encode(np.stack(list(images.values()))) if images else np.zeros(0)

    for path, several in caption_many(captioner, paths, load, settings, PHOTOS_AT_ONCE, show_progress):
        for each in several:
            yield {"image": path_text(path), "caption": each.caption, "score": round(each.score, 4)}


def write_captions(path: AnyPath, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of image, caption and score: as CSV to a name that ends in .csv, otherwise as JSON.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "captions.csv"
        >>> write_captions(path, [{"image": "a.jpg", "caption": "a dog", "score": -0.5}])
        >>> print(path.read_text())
        image,caption,score
        a.jpg,a dog,-0.5
    """
    if Path(path).suffix.lower() == ".csv":
        write_text(path, to_csv(rows))
    else:
        write_json(path, rows)
