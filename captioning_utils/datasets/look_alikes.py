"""Photos that look the same, found by small thumbnails."""

import collections
import hashlib
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from captioning_utils.base.errors import InputError
from captioning_utils.base.wording import one_line
from captioning_utils.datasets.dataset import CaptionDataset
from captioning_utils.images import load_image


class PhotoFacts(NamedTuple):
    """What one look at a photo gives."""

    problem: str = ""  # why it cannot be read; nothing else is known then
    assumed: str = ""  # what of it had to be assumed, see `load_image`
    digest: bytes = b""  # SHA-256 of the file
    size: tuple[int, ...] = ()  # (height, width), pixels
    thumbnail: NDArray[np.uint8] | None = None  # uint8 (8, 8, 3)
    pattern: int = 0  # 64 bits, see _pattern


def read_photo_facts(dataset: CaptionDataset, progress: bool, at_once: int = 256) -> dict[str, PhotoFacts]:
    """dict of image_id to `PhotoFacts`."""
    items = list(dataset.image_paths.items())
    facts: dict[str, PhotoFacts] = {}
    bar = tqdm(total=len(items), desc="opening photos", unit=" photos", file=sys.stderr, disable=not progress)
    with ThreadPoolExecutor(2) as pool, bar:
        for start in range(0, len(items), at_once):  # a part at a time: memory does not grow with the photos
            part = items[start : start + at_once]
            facts |= zip((name for name, _ in part), pool.map(_look, (path for _, path in part)), strict=True)
            bar.update(len(part))
    return facts


def _look(path: Path) -> PhotoFacts:
    notes: list[str] = []
    try:
        image = load_image(path, notes=notes)
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
    except (InputError, OSError) as error:
        return PhotoFacts(one_line(error))
    small = Image.fromarray(image)
    thumbnail = np.asarray(small.resize((8, 8), Image.Resampling.BOX))
    return PhotoFacts("", "; ".join(notes), digest, image.shape[:2], thumbnail, _pattern(small))


BANDS = 4  # parts of the pattern; photos that share one are compared
CROWD = 1000  # a part that so many photos share, such as that of a white page, tells nothing
# In each of the 64 squares. Of the 32 million pairs of different photos in Flickr8k, the closest two are 31 apart.
MAX_DIFFERENCE = 10  # levels of 255


def _pattern(image: Image.Image) -> int:
    """64 bits: where brightness falls from left to right by more than the noise of a compression.

    References:
        Neal Krawetz 2013, Kind of like that (hackerfactor.com), there called dHash.
    """
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)  # (8, 9)
    return int.from_bytes(np.packbits(grey[:, :-1] - grey[:, 1:] > 4).tobytes(), "big")


def find_look_alikes(facts: Mapping[str, PhotoFacts]) -> list[tuple[str, str]]:
    """Pairs of photos that show the same picture: resized, or saved again in another quality or format.

    Each part of the brightness pattern proposes pairs; the colours of 8×8 squares decide. A crop, a mirror image or a
    filter is another picture.

    Args:
        facts: dict of image_id to `PhotoFacts`.

    Returns:
        list of `(image_id, image_id)`, in the order of `facts`.
    """
    names, pairs = list(facts), set()
    thumbnails = np.array([facts[name].thumbnail for name in names], np.int16).reshape(len(names), 192)
    ratios = np.array([facts[name].size[0] / facts[name].size[1] for name in names])
    for band in range(BANDS):
        groups = collections.defaultdict(list)
        for row, name in enumerate(names):
            groups[facts[name].pattern >> (16 * band) & 0xFFFF].append(row)
        for rows in groups.values():
            for place, row in enumerate(rows[:-1] if len(rows) <= CROWD else ()):
                others = np.array(rows[place + 1 :])
                differences = np.abs(thumbnails[others] - thumbnails[row]).max(axis=1)
                close = (differences <= MAX_DIFFERENCE) & (np.abs(ratios[others] / ratios[row] - 1) < 0.03)
                pairs |= {(row, int(other)) for other in others[close]}
    flat = np.ptp(thumbnails, axis=1) < 4 * MAX_DIFFERENCE  # one colour: nothing to tell pictures apart by
    return [(names[a], names[b]) for a, b in sorted(pairs) if not flat[a]]
