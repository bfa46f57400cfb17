"""Where the commands keep what they make: the drawn dataset and the features of each dataset."""

from __future__ import annotations

import argparse
import hashlib
import math
import os
from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from captioning_utils.base.types import AnyPath, NamedEncoder

if TYPE_CHECKING:
    from captioning_utils.captioner import Captioner
    from captioning_utils.datasets.dataset import CaptionDataset
    from captioning_utils.features import FeatureCache


DRAWN = Path("data/drawn")
LARGEST_PICKLE = 5 * 10**8  # bytes of features that are held in memory as a whole, for a moment twice


def open_dataset(data_path: AnyPath) -> CaptionDataset:
    """The dataset at a path; the drawn one is drawn first when it is asked for and not there.

    Args:
        data_path: str or `Path`.

    Returns:
        `CaptionDataset`.
    """
    from captioning_utils.datasets.dataset import load_dataset
    from captioning_utils.scenes.dataset import draw_dataset

    if Path(data_path) == DRAWN:
        draw_dataset(DRAWN)
    return load_dataset(data_path)


def default_features_path(dataset: CaptionDataset, encoder: NamedEncoder) -> Path:
    """Where the features of a dataset are kept: one pickle, or a folder of shards where that would fill the memory.

    The name holds a hash of the folder that holds the photos, so that two datasets of the same name stay apart, and
    one dataset is the same by whichever path or caption file it was opened.

    Args:
        dataset: `CaptionDataset`.
        encoder: object with the `name`, `layer`, `output_shape` and `fingerprint` of an `ImageEncoder`.

    Returns:
        `Path`, in data/features.
    """
    folder = os.path.commonpath({path.parent.absolute() for path in dataset.image_paths.values()})
    place = hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:8]
    num_bytes = 2 * len(dataset.image_paths) * math.prod(encoder.output_shape)  # float16
    suffix = ".pkl" if num_bytes < LARGEST_PICKLE else ""
    words = encoder.fingerprint.split()
    tuned = f"-{words[-2][-8:]}" if words[-1] == "tuned" else ""  # each fine-tuned encoder has features of its own
    return Path("data/features") / f"{dataset.name}-{place}-{encoder.name}-{encoder.layer}-{words[2]}{tuned}{suffix}"


def find_captioner_features(
    captioner: Captioner, dataset: CaptionDataset, image_ids: Collection[str], options: argparse.Namespace
) -> FeatureCache:
    """The features that a captioner reads; the encoder is built only where some are not cached yet.

    Args:
        captioner: `Captioner`.
        dataset: `CaptionDataset`.
        image_ids: iterable of the image ids that are needed.
        options: what `add_data_options` parsed.

    Returns:
        `FeatureCache`.
    """
    from captioning_utils.features import extract_features, load_features

    name, layer = captioner.encoder.split()[:2]
    own = SimpleNamespace(
        name=name, layer=layer, fingerprint=captioner.encoder, output_shape=captioner.decoder.config.feature_shape
    )
    path = Path(options.features or default_features_path(dataset, own))
    if path.is_file() or (path / "index.json").is_file():
        features = load_features(path)
        captioner.check_features(features)
        if all(image_id in features for image_id in image_ids):
            return features
    photos = {image_id: dataset.image_paths[image_id] for image_id in image_ids}
    return extract_features(photos, captioner.image_encoder(options.weights), path)
