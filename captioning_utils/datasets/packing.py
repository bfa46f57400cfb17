"""Packing a dataset into few large files, which travel and are read faster than many small ones."""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, features
from tqdm import tqdm

from captioning_utils.base.errors import InputError
from captioning_utils.base.files import atomic_write, check_writable, is_temporary, read_json, write_json
from captioning_utils.base.parallel import map_ahead
from captioning_utils.base.types import AnyPath
from captioning_utils.base.wording import one_line
from captioning_utils.datasets.dataset import CaptionDataset
from captioning_utils.images import load_image

INDEX = "packing.json"
PHOTOS_PER_SHARD = 10_000
# How each format is written. AVIF in one thread a photo, so that its bytes do not depend on the machine; tuned to the
# pixels, 0.5 dB better than as it comes, at 5 kB a photo of 224×224 pixels.
FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "jpeg": (".jpg", {"optimize": True}),
    "webp": (".webp", {"method": 6}),
    "avif": (".avif", {"codec": "aom", "speed": 6, "max_threads": 1, "advanced": {"tune": "psnr"}}),
}
ORIGINAL = "original"


class Packed(NamedTuple):
    """What `pack_dataset` wrote."""

    shards: list[Path]
    skipped: dict[str, str]  # image_id -> why its photo could not be read


class _Photo(NamedTuple):
    """A photo ready to be written, or why it is not."""

    image_id: str
    ending: str = ""
    content: bytes = b""
    reason: str = ""


def pack_dataset(
    dataset: CaptionDataset,
    folder: AnyPath,
    size: int | None = None,
    photo_format: str = ORIGINAL,
    quality: int = 90,
    photos_per_shard: int = PHOTOS_PER_SHARD,
    compress: bool = False,
) -> Packed:
    """Write a dataset as WebDataset's tar archives: `NAME-000000.tar` and so on, which `load_dataset` reads.

    Killed in the middle, it goes on after the last whole archive. The same photos and the same Pillow give the same
    bytes. Photos that cannot be read are left out.

    Args:
        dataset: `CaptionDataset`.
        folder: str or `Path`, new, empty, or of an earlier call.
        size: int, pixels to which photos are squashed in both directions, as encoders want them; None keeps theirs.
        photo_format: "jpeg", "webp" or "avif"; "original" stores the photos' files as they are.
        quality: int from 1 to 100, in the format's own measure.
        photos_per_shard: int, how many photos an archive holds at most.
        compress: bool, whether the archives are gzipped: a photo of 5 kB takes 1.7 kB more without.

    Returns:
        `Packed`.

    Raises:
        InputError: for a setting that is not allowed, or a folder with something else in it.

    Example:
        >>> import tempfile
        >>> from captioning_utils.datasets.dataset import load_dataset
        >>> place = Path(tempfile.mkdtemp())
        >>> Image.new("RGB", (40, 30), "red").save(place / "1.jpg")
        >>> dataset = CaptionDataset("pets", {"1.jpg": place / "1.jpg"}, {"1.jpg": ["A cat ."]},
        ...                          {"train": ["1.jpg"], "val": [], "test": []})
        >>> [shard.name for shard in pack_dataset(dataset, place / "packed").shards]
        ['pets-000000.tar']
        >>> load_dataset(place / "packed", images=place / "photos").captions
        {'1.jpg': ['A cat .']}
    """
    folder = Path(folder)
    _check(size, photo_format, quality, photos_per_shard)
    settings = {"size": size, "format": photo_format, "quality": quality, "photos_per_shard": photos_per_shard}
    check_writable(folder / INDEX)
    index = _open_index(folder, {"data": _digest(dataset), **settings, "compress": compress})
    encode = functools.partial(encode_photo, size=size, photo_format=photo_format, quality=quality)
    image_ids = sorted(dataset.image_paths)
    shards = []
    with tqdm(total=len(image_ids), desc="packing", unit=" photos", file=sys.stderr) as bar:
        for number, start in enumerate(range(0, len(image_ids), photos_per_shard)):
            shards.append(folder / f"{dataset.name}-{number:06d}.tar{'.gz' if compress else ''}")
            part = image_ids[start : start + photos_per_shard]
            if shards[-1].name not in index["shards"] or not shards[-1].is_file():
                index["shards"][shards[-1].name] = _write_shard(shards[-1], dataset, part, start, encode, bar)
                write_json(folder / INDEX, index)
            bar.update(start + len(part) - bar.n)
    skipped = {image_id: reason for part in index["shards"].values() for image_id, reason in part.items()}
    return Packed(shards, skipped)


def _check(size: int | None, photo_format: str, quality: int, photos_per_shard: int) -> None:
    if photo_format not in (ORIGINAL, *FORMATS):
        raise InputError(f"there is no format {photo_format!r:.40}; give {ORIGINAL}, {', '.join(FORMATS)}")
    if photo_format == ORIGINAL and size is not None:
        raise InputError("photos of another size cannot be stored as they are; give a format: " + ", ".join(FORMATS))
    if photo_format in ("webp", "avif") and not features.check(photo_format):
        raise InputError(f"this installation of Pillow writes no {photo_format}; give another format, or update Pillow")
    limits = {"size": (1 if size is None else size, 16_383), "quality": (quality, 100)}
    for name, (value, most) in (limits | {"photos_per_shard": (photos_per_shard, 10**5)}).items():
        if not 1 <= value <= most:
            raise InputError(f"{name} is {value}; give a whole number from 1 to {most:,}")


def _digest(dataset: CaptionDataset) -> str:
    contents = [dataset.name, sorted(dataset.captions.items()), dataset.splits]
    return hashlib.sha256(json.dumps(contents).encode()).hexdigest()[:16]


def _open_index(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """What was packed so far: the settings, and by archive which photos were left out."""
    if not folder.is_dir() or all(is_temporary(path) for path in folder.iterdir()):
        index = {"settings": settings, "shards": {}}
        write_json(folder / INDEX, index)  # before the first archive: a folder that holds one only is somebody else's
        return index
    if not (folder / INDEX).is_file():
        raise InputError(f"{folder} is not empty and holds no packed dataset; give a new folder")
    index = read_json(folder / INDEX)
    if not isinstance(index, dict) or index.get("settings") != settings or not isinstance(index.get("shards"), dict):
        raise InputError(
            f"{folder} holds other photos or captions, or was packed with other settings; give a new folder"
        )
    return index


def _write_shard(
    path: Path, dataset: CaptionDataset, image_ids: list[str], start: int, encode: Any, bar: tqdm
) -> dict[str, str]:
    """One archive, whole or not at all; gives the photos that were left out. `start` counts those before."""
    split_of = {image_id: split for split, members in dataset.splits.items() for image_id in members}
    skipped = {}
    items = ((image_id, dataset.image_paths[image_id]) for image_id in image_ids)
    with atomic_write(path) as temporary, open(temporary, "wb") as raw:
        # No name and no time in the header of gzip: the same contents, the same bytes.
        file = gzip.GzipFile("", "wb", fileobj=raw, mtime=0) if path.suffix == ".gz" else raw
        with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for number, photo in enumerate(map_ahead(encode, items, ahead=64), start):
                bar.update(1)
                if photo.reason:
                    skipped[photo.image_id] = photo.reason
                    continue
                record = {"image_id": photo.image_id, "captions": dataset.captions[photo.image_id]}
                if photo.image_id in split_of:
                    record["split"] = split_of[photo.image_id]
                _add(tar, f"{number:09d}{photo.ending}", photo.content)
                _add(tar, f"{number:09d}.json", json.dumps(record, ensure_ascii=False).encode())
        if file is not raw:
            file.close()
    return skipped


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def encode_photo(item: tuple[str, Path], size: int | None, photo_format: str, quality: int) -> _Photo:
    image_id, path = item
    try:
        if photo_format == ORIGINAL:
            return _Photo(image_id, path.suffix.lower(), path.read_bytes())
        image = Image.fromarray(load_image(path, None if size is None else (size, size)))
        ending, options = FORMATS[photo_format]
        content = io.BytesIO()
        image.save(content, photo_format, quality=quality, **options)
        return _Photo(image_id, ending, content.getvalue())
    except (InputError, OSError) as error:
        return _Photo(image_id, reason=one_line(error))
