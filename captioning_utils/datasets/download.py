"""Getting the well-known datasets: COCO from its server, Flickr8k from a copy; for the others, where to ask."""

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from captioning_utils.base.archives import check_room, unpack_zip
from captioning_utils.base.errors import InputError
from captioning_utils.base.transfer import check_digest, fetch_file
from captioning_utils.base.types import AnyPath
from captioning_utils.datasets.dataset import CaptionDataset, load_dataset
from captioning_utils.images import is_photo_name

# COCO's own bucket. The address on its page, http://images.cocodataset.org, has no valid certificate of its own; this
# one reaches the same bucket with one (github.com/mlcommons/inference, pull request 2572).
COCO_URL = "https://s3.amazonaws.com/images.cocodataset.org/"
COCO_PAGE = "https://cocodataset.org/#download"
COCO_TERMS = (
    "COCO's captions are under CC BY 4.0; the photos belong to the people who put them on Flickr, and stay under "
    "Flickr's terms (https://cocodataset.org/#termsofuse)"
)


@dataclass(frozen=True)
class CocoArchive:
    """An archive of COCO 2017 and what comes out of it."""

    path: str  # below COCO_URL
    size: int  # bytes
    sha256: str
    names: tuple[str, ...] = ()  # the members that are wanted; () for all, which are then photos
    num_photos: int = 0  # in the folder named like the archive


# COCO publishes no hashes. Sizes and SHA-256 are those of TensorFlow Datasets (github.com/tensorflow/datasets,
# tensorflow_datasets/url_checksums/coco2017.txt); the numbers of photos are those of cocodataset.org/#download.
COCO_ARCHIVES = (
    CocoArchive(
        "annotations/annotations_trainval2017.zip",
        252_907_541,
        "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
        names=("annotations/captions_train2017.json", "annotations/captions_val2017.json"),
    ),
    CocoArchive(
        "zips/val2017.zip",
        815_585_330,
        "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
        num_photos=5_000,
    ),
    CocoArchive(
        "zips/train2017.zip",
        19_336_861_798,
        "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
        num_photos=118_287,
    ),
)
# The copy of Flickr8k that Keras's own example on captioning fetches; the MD5 are those of the R package torchvision
# (github.com/mlverse/torchvision).
FLICKR8K_URL = "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k/"
FLICKR8K_MD5 = {
    "Flickr8k_text.zip": "bf6c1abcb8e4a833b7f922104de18627",
    "Flickr8k_Dataset.zip": "f18a1e2920de5bd84dae7cf08ec78978",
}
FLICKR8K_ROOM = 2_500_000_000  # bytes: 1.1 GB of photos, packed and unpacked
FLICKR8K_TERMS = (
    "Flickr8k is for research and education, not for commerce; the photos belong to the people who put them on "
    "Flickr. Publish neither photos nor captions"
)
# Flickr8k and Flickr30k have no direct download of their authors. The forms are those that the datasets' pages named.
BY_HAND = {
    "flickr8k": (
        "Flickr8k can be had in other ways, where this one fails:",
        "the authors' form: https://forms.illinois.edu/sec/1713398",
        "a copy as first published: https://github.com/jbrownlee/Datasets/releases/tag/Flickr8k "
        "(Flickr8k_Dataset.zip, 1 GB, and Flickr8k_text.zip)",
        "a copy on Kaggle, with an account there: https://www.kaggle.com/datasets/adityajn105/flickr8k (archive.zip, "
        "1 GB)",
    ),
    "flickr30k": (
        "Flickr30k has no open download: its authors give it to researchers and educators for non-commercial use, by "
        "a form.",
        "the authors' page and form: https://shannon.cs.illinois.edu/DenotationGraph/ or "
        "https://forms.illinois.edu/sec/229675 (unpack both .tar.gz files with tar -xzf)",
        "a copy on Kaggle, with an account there: https://www.kaggle.com/datasets/hsankesara/flickr-image-dataset "
        "(archive.zip, 9 GB)",
    ),
    "coco": (
        "COCO can be had in other ways, where its server cannot be reached from here:",
        f"its page: {COCO_PAGE} (2017 train images, val images, train/val annotations)",
    ),
}
WITHOUT_DOWNLOAD = ("flickr30k",)
NAMES = tuple(BY_HAND)


def find_dataset(folder: AnyPath) -> CaptionDataset:
    """Look for a dataset that was downloaded by hand; archives in its folder are unpacked first.

    Example:
        >>> find_dataset("no_such_folder")
        Traceback (most recent call last):
        captioning_utils.InputError: no_such_folder does not exist; give ...
    """
    folder = Path(folder)
    archives = sorted(folder.glob("*.zip"))
    try:
        return load_dataset(folder)
    except InputError:
        if not archives:
            raise
    for archive in archives:
        unpack_zip(archive, folder)
    return load_dataset(folder)


def explain_by_hand(name: str, folder: AnyPath) -> str:
    """Where to get a dataset without this package, and where to put it, in lines for people.

    Example:
        >>> "forms.illinois.edu" in explain_by_hand("flickr8k", "data/flickr8k")
        True
    """
    reason, *places = BY_HAND[name]
    lines = [
        reason,
        *(f"  - {place}" for place in places),
        f"Put the .zip files into {folder} and give the same command again: it unpacks and checks them. Or unpack them",
        "there yourself; data/README.md shows the folders.",
    ]
    return "\n".join(lines)


def download_flickr8k(
    folder: AnyPath, base_url: str = FLICKR8K_URL, archives: Mapping[str, str] = FLICKR8K_MD5
) -> CaptionDataset:
    """Get Flickr8k: what lies in its folder, archives too, or else 1.1 GB from a widely used copy.

    Each archive is checked by its MD5, unpacked, and removed. Stopped or cut off, it goes on from there the next time.

    Args:
        folder: str or `Path`, made when missing.
        base_url: str, where the archives lie, with a slash at the end.
        archives: mapping from the archives' names to their MD5.

    Returns:
        `CaptionDataset`.

    Raises:
        InputError: when an archive cannot be had or is not the right one, or the disk is too small.
    """
    folder = Path(folder)
    with contextlib.suppress(InputError):
        return find_dataset(folder)
    check_room(folder, FLICKR8K_ROOM)
    folder.mkdir(parents=True, exist_ok=True)
    fetched = [_fetch_archive(base_url + name, folder / name, None, "md5", md5) for name, md5 in archives.items()]
    dataset = find_dataset(folder)
    _remove(fetched)
    return dataset


def download_coco(
    folder: AnyPath, base_url: str = COCO_URL, archives: Sequence[CocoArchive] = COCO_ARCHIVES
) -> CaptionDataset:
    """Download and unpack COCO 2017's captions and photos: 20 GB, and 39 GB of room while it works.

    Each archive is checked by its SHA-256, unpacked, and removed. Stopped or cut off, it goes on from there the next
    time; what is complete is not fetched again.

    Args:
        folder: str or `Path`, made when missing.
        base_url: str, where the archives lie, with a slash at the end.
        archives: sequence of `CocoArchive`.

    Returns:
        `CaptionDataset`.

    Raises:
        InputError: when an archive cannot be had or is not the right one, or the disk is too small.
    """
    folder = Path(folder)
    missing = [archive for archive in archives if not _is_unpacked(archive, folder)]
    if missing:
        sizes = [archive.size for archive in missing]
        places = [folder / f"{Path(archive.path).name}{end}" for archive in missing for end in ("", ".part")]
        here = sum(path.stat().st_size for path in places if path.exists())
        check_room(folder, sum(sizes) + max(sizes) - here)  # an archive is there beside what comes out of it
        folder.mkdir(parents=True, exist_ok=True)
    for archive in missing:
        path = folder / Path(archive.path).name
        _fetch_archive(base_url + archive.path, path, archive.size, "sha256", archive.sha256)
        unpack_zip(path, folder, archive.names or None)
        if not _is_unpacked(archive, folder):
            raise InputError(f"{path} did not hold what it should; delete it and give the same command again")
        _remove([path])
    _remove([path for archive in archives if (path := folder / Path(archive.path).name).exists()])  # after a stop
    return load_dataset(folder)


def _is_unpacked(archive: CocoArchive, folder: Path) -> bool:
    if archive.names:
        return all((folder / name).is_file() for name in archive.names)
    place = folder / Path(archive.path).stem
    return place.is_dir() and sum(is_photo_name(name) for name in os.listdir(place)) == archive.num_photos


def _fetch_archive(url: str, path: Path, size: int | None, algorithm: str, digest: str) -> Path:
    """The archive, also one that somebody put there; its hash is right."""
    if path.is_file():
        check_digest(path, algorithm, digest)
        return path
    part = path.with_name(f"{path.name}.part")
    fetch_file(url, part, size)
    tqdm.write(f"checking {path.name}", file=sys.stderr)
    try:
        check_digest(part, algorithm, digest)
    except InputError:
        part.unlink()  # no way to know which of its bytes are right
        raise
    os.replace(part, path)
    return path


def _remove(archives: Sequence[Path]) -> None:
    """Delete archives once what came out of them is on the disk."""
    if hasattr(os, "sync"):
        os.sync()
    for path in archives:
        path.unlink()
