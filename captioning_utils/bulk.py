"""Captions for many photos, some at a time, so that memory is bounded and nothing is drawn twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from tqdm import tqdm

from captioning_utils.base.errors import InputError
from captioning_utils.base.files import printable

if TYPE_CHECKING:
    from captioning_utils.captioner import Captioner
    from captioning_utils.features import FeatureCache


_Photo = TypeVar("_Photo")


def iterate_parts(
    captioner: Captioner, photos: Sequence[_Photo], size: int, settings: dict[str, Any], show_progress: bool = False
) -> Iterator[tuple[Sequence[_Photo], dict[str, Any]]]:
    """Cut a list of photos into parts, with the settings to caption each part by.

    With sampling each part draws anew: the same seed for all would give photos of the same place in two parts the
    same random numbers.

    Args:
        captioner: `Captioner`, for its own seed.
        photos: list of anything.
        size: int, photos a part.
        settings: dict, fields of `GenerationConfig`.
        show_progress: bool, whether to show a progress bar.

    Yields:
        (list, dict): a part and its settings, which are `settings` but for the seed.

    Example:
        >>> from types import SimpleNamespace
        >>> captioner = SimpleNamespace(generation=SimpleNamespace(seed=7))
        >>> list(iterate_parts(captioner, ["a", "b", "c"], 2, {}))
        [(['a', 'b'], {}), (['c'], {'seed': 9})]
    """
    seed = settings.get("seed", captioner.generation.seed)
    with tqdm(total=len(photos), desc="Captioning", unit="photo", disable=not show_progress) as bar:
        for start in range(0, len(photos), size):
            part = photos[start : start + size]
            yield part, settings | {"seed": (seed + start) % 2**32} if start else settings
            bar.update(len(part))


_PHOTOS_AT_ONCE = 256  # features in memory at once: 50 MB of a 14×14 grid with 512 channels


def caption_split(
    captioner: Captioner,
    features: FeatureCache,
    image_ids: Sequence[str],
    settings: dict[str, Any] | None = None,
    allow_missing: bool = False,
    show_progress: bool = True,
) -> dict[str, list[str]]:
    """Sentences of a captioner for many photos, some at a time.

    Args:
        captioner: `Captioner`.
        features: `FeatureCache` of the captioner's encoder.
        image_ids: sequence of image_id.
        settings: dict, fields of `GenerationConfig` that replace the captioner's own; or None.
        allow_missing: bool; True leaves photos without features out.
        show_progress: bool, whether to show a progress bar.

    Returns:
        dict of image_id to list of str, the best first.

    Raises:
        InputError: where features are of another encoder, or some are missing and `allow_missing` is False.

    Example:
        >>> import numpy as np
        >>> from captioning_utils.captioner import load_captioner
        >>> from captioning_utils.features import FeatureCache
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
            "mend these photos, or leave them out with --allow-missing"
        )
    captions: dict[str, list[str]] = {}
    for part, own_settings in iterate_parts(captioner, present, _PHOTOS_AT_ONCE, settings or {}, show_progress):
        found = captioner.caption_features(features.get(part), **own_settings)
        captions |= {
            image_id: [each.caption for each in several] for image_id, several in zip(part, found, strict=True)
        }
    return captions


Captions: TypeAlias = tuple[list[dict[str, Any]], list[str]]
"""Rows of image, caption and score, and a message for each photo that was left out."""
PHOTOS_AT_ONCE = 32


def iterate_captions(
    captioner: Captioner, paths: Sequence[Path], settings: dict[str, Any], show_progress: bool = False
) -> Iterator[Captions]:
    """Sentences for many photos, a few at a time; photos that cannot be read are left out and listed.

    Args:
        captioner: `Captioner`.
        paths: list of `Path`.
        settings: dict, fields of `GenerationConfig`.
        show_progress: bool, whether to show a progress bar.

    Yields:
        tuple `(rows, failures)` for some photos: list of dicts with image, caption and score, and list of messages.
    """
    from captioning_utils.images import load_image

    size = captioner.image_encoder().image_size
    for part, own_settings in iterate_parts(captioner, paths, PHOTOS_AT_ONCE, settings, show_progress):
        readable, failures = {}, []
        for path in part:
            try:
                readable[path] = load_image(path, size)
            except InputError as error:
                failures.append(str(error))
        found = captioner.caption_images(list(readable.values()), **own_settings)
        rows = [
            {"image": printable(path), "caption": each.caption, "score": round(each.score, 4)}
            for path, alternatives in zip(readable, found, strict=True)
            for each in alternatives
        ]
        yield rows, failures


def caption_photos(
    captioner: Captioner, paths: Sequence[Path], settings: dict[str, Any], show_progress: bool = False
) -> Captions:
    """Sentences for many photos at once; arguments as `iterate_captions`.

    Returns:
        tuple `(rows, failures)`: list of dicts with image, caption and score, and list of messages.
    """
    parts = list(iterate_captions(captioner, paths, settings, show_progress))
    return [row for rows, _ in parts for row in rows], [message for _, failures in parts for message in failures]
