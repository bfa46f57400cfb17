"""What a score has to beat, and what it could reach: captions found without any model, and people themselves."""

import collections
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from captioning_utils.base.errors import InputError
from captioning_utils.base.types import FeatureSource
from captioning_utils.metrics.scores import Scores, compute_scores
from captioning_utils.text import clean_caption

PHOTOS_AT_ONCE = 256  # 50 MB of a 14×14 grid with 512 channels


def find_most_common_caption(captions: Iterable[str]) -> tuple[str, int]:
    """The caption that most people wrote; with it as the answer to every photo, a captioner looks at none.

    Example:
        >>> find_most_common_caption(["A dog runs.", "Two cats.", "a dog runs"])
        ('a dog runs', 2)
    """
    counts = collections.Counter(map(clean_caption, captions))
    counts.pop("", None)
    if not counts:
        raise InputError("there are no captions to find the most common one of; give at least one")
    return min(counts.items(), key=lambda item: (-item[1], item[0]))


def find_nearest_photos(
    features: FeatureSource, image_ids: Sequence[str], train_ids: Sequence[str], photos_at_once: int = PHOTOS_AT_ONCE
) -> dict[str, str]:
    """The train photo that looks most alike: highest cosine similarity of the features.

    Args:
        features: `FeatureCache` that holds all these photos; of a grid the mean over its regions is taken.
        image_ids: list of n image_id, at least one.
        train_ids: list of image_id to choose from, at least one other than the photo itself.
        photos_at_once: int, of how many photos the features are in memory at once.

    Returns:
        dict from each of `image_ids` to one of `train_ids`, never itself; of equally near ones the first.

    Raises:
        InputError: where there is nothing to choose from, or a photo has no features.

    Example:
        >>> from captioning_utils.features import FeatureCache
        >>> cache = FeatureCache("toy", (2,), ["a", "b", "c"], {}, [np.array([[2, 0], [0, 1], [1, 0.1]], np.float16)])
        >>> find_nearest_photos(cache, ["a"], ["b", "c"])
        {'a': 'c'}

    References:
        Devlin et al. 2015, Exploring Nearest Neighbor Approaches for Image Captioning (arXiv:1505.04467).
    """
    if len(train_ids) < 2 and set(train_ids) <= set(image_ids):
        raise InputError(f"there are {len(train_ids)} train photos to compare with; give at least one other photo")
    parts = [_directions(features, part) for part in _parts(image_ids, photos_at_once)]
    photos = np.concatenate(parts)  # (n, feature_dim)
    place = {image_id: row for row, image_id in enumerate(image_ids)}
    best, nearest = np.full(len(photos), -np.inf), np.zeros(len(photos), np.int64)
    for number, part in enumerate(_parts(train_ids, photos_at_once)):
        similarity = photos @ _directions(features, part).T  # (n, len(part))
        for column, image_id in enumerate(part):
            if image_id in place:
                similarity[place[image_id], column] = -np.inf
        column = similarity.argmax(axis=1)
        value = similarity[np.arange(len(photos)), column]
        nearest = np.where(value > best, number * photos_at_once + column, nearest)
        best = np.maximum(value, best)
    return {image_id: train_ids[row] for image_id, row in zip(image_ids, nearest.tolist(), strict=True)}


def _parts(image_ids: Sequence[str], size: int) -> list[Sequence[str]]:
    return [image_ids[start : start + size] for start in range(0, len(image_ids), size)]


def _directions(features: FeatureSource, image_ids: Sequence[str]) -> NDArray[np.float32]:
    """float32 `(photos, feature_dim)`: the features, regions averaged, scaled to length 1."""
    vectors = features.get(image_ids).astype(np.float32)
    if vectors.ndim == 3:
        vectors = vectors.mean(axis=1)  # (photos, num_regions, feature_dim) -> (photos, feature_dim)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def compute_human_agreement(
    references: Mapping[str, Sequence[str]], protocol: str = "standard", extra_metrics: Collection[str] = ()
) -> list[Scores]:
    """What people score under the same protocol: each caption of a photo against the photo's other captions.

    A ceiling of a kind: people are scored against one reference fewer than captioners, which costs them some points.
    Photos with a single caption are left out.

    Example:
        >>> len(compute_human_agreement({1: ["a dog", "a dog"], 2: ["a cat", "the cat"], 3: ["a cow"]}))
        2
    """
    scores = []
    most = max(map(len, references.values()), default=0)
    for place in tqdm(range(most), desc="Scoring people", leave=False, disable=None):  # COCO's val takes minutes
        several = {image_id: each for image_id, each in references.items() if len(each) > max(place, 1)}
        if several:
            one = {image_id: each[place] for image_id, each in several.items()}
            others = {image_id: [*each[:place], *each[place + 1 :]] for image_id, each in several.items()}
            scores.append(compute_scores(one, others, protocol, extra_metrics))
    return scores


def average_scores(scores: Sequence[Scores]) -> dict[str, float]:
    """Mean of each metric over several `metrics.Scores`.

    Example:
        >>> runs = compute_human_agreement({1: ["a dog", "a dog"], 2: ["a cat", "a cow"]})
        >>> average_scores(runs)["bleu_1"].__round__(2)
        0.75
    """
    return {metric: statistics.fmean(each.corpus[metric] for each in scores) for metric in scores[0].corpus}
