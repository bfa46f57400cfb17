"""Where the commands keep what they make: the drawn dataset and the features of each dataset."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from captioning_utils.base.types import AnyPath, FeatureEncoder
from captioning_utils.bulk import captioner_features, features_path
from captioning_utils.encoders.encoder_id import EncoderId

if TYPE_CHECKING:
    from captioning_utils.captioner import Captioner
    from captioning_utils.datasets.dataset import CaptionDataset
    from captioning_utils.features import FeatureCache


DRAWN = Path("data/drawn")


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


def default_features_path(dataset: CaptionDataset, encoder: FeatureEncoder) -> Path:
    """As `bulk.features_path`, for an `ImageEncoder` or what stands for one."""
    return features_path(dataset, EncoderId.parse(encoder.fingerprint), encoder.output_shape)


def find_captioner_features(
    captioner: Captioner, dataset: CaptionDataset, image_ids: Collection[str], options: argparse.Namespace
) -> FeatureCache:
    """As `bulk.captioner_features`, with what `add_data_options` parsed."""
    return captioner_features(captioner, dataset, image_ids, options.features, options.weights)
