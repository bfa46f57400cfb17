"""Going through many photos a part at a time, so that memory is bounded and nothing is drawn twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from tqdm import tqdm

if TYPE_CHECKING:
    from captioning_utils.captioner import Captioner

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
