"""Datasets in tar archives: photos as files of their own again, captions and splits as other layouts give them.

The layout is WebDataset's (https://github.com/webdataset/webdataset): the files of a photo have one name up to the
first dot, such as `000000007.jpg` and `000000007.json`. `pack_dataset` writes it, and so do other programs.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from captioning_utils.base.archives import TarMember, check_room, read_tar
from captioning_utils.base.errors import InputError
from captioning_utils.base.files import atomic_write, cache_folder
from captioning_utils.base.plain_json import parse_json
from captioning_utils.base.raw_captions import is_missing
from captioning_utils.base.types import AnyPath
from captioning_utils.datasets.layouts import read_split, safe_name
from captioning_utils.datasets.listing import Listing
from captioning_utils.images import is_photo_name

ENDINGS = (".tar", ".tar.gz", ".tgz")
MAX_TEXT = 10**6  # bytes of the captions of one photo
_SHARD = re.compile(r"(.+)-[0-9]{6}(\.tar|\.tar\.gz|\.tgz)")


def find_shards(path: Path) -> list[Path]:
    """The tar archives that a path means: one file, a name with `*`, or a folder's `NAME-000000.tar`, …; else []."""
    if "*" in path.name:
        shards = sorted(path.parent.glob(path.name))
        if not shards:
            raise InputError(f"no file is named like {path}; give the folder or one archive of a packed dataset")
        return shards
    if path.is_dir():
        return sorted(entry for entry in path.iterdir() if _SHARD.fullmatch(entry.name))
    return [path] if path.name.endswith(ENDINGS) and path.is_file() else []


def name_of_shards(shards: list[Path]) -> str:
    """The dataset's name."""
    found = _SHARD.fullmatch(shards[0].name)
    return found[1] if found else shards[0].name.partition(".tar")[0]


def read_shards(shards: list[Path], images: AnyPath | None = None) -> tuple[Listing, dict[str, Path]]:
    """What the archives list, and the photos, which are unpacked where they are not yet.

    They go into a folder for each archive in `images`, by default in the package's cache.
    """
    listing, image_paths = Listing(layout="WebDataset's archives"), {}
    for shard in shards:
        folder = _make_folder(shard, images)
        photos: dict[str, Path] = {}
        records: dict[str, dict[str, Any]] = {}
        for member in read_tar(shard):
            key, ending = _split_name(member.name)
            if is_photo_name(f"photo{ending}"):
                photos[key] = _unpack_photo(member, folder / f"{len(photos):06d}{ending}")
            elif ending in (".json", ".txt"):
                records.setdefault(key, {}).update(_read_record(member, ending, f"{shard}: {member.name!r:.120}"))
        for key, path in photos.items():
            record, where = records.get(key, {}), f"{shard}: {key!r:.120}"
            image_id = safe_name(_text(record.get("image_id", f"{key}{path.suffix}"), where), shard)
            if image_id in image_paths:
                raise InputError(f"{where}: the photo {image_id!r:.120} comes twice; give each archive once")
            split = read_split(_text(record["split"], where), where) if "split" in record else None
            for caption in record.get("captions", []):
                listing.add(image_id, "" if is_missing(caption) else _text(caption, where), split, shard)
            if image_id in listing.captions:
                image_paths[image_id] = path
            else:
                listing.broken.append(where)
        listing.broken += [f"{shard}: {key!r:.120}" for key in records if key not in photos]
    listing.note_omissions()
    if not image_paths:
        raise InputError(f"{shards[0]} holds no photo with a caption; give a packed dataset")
    return listing, image_paths


def _split_name(name: str) -> tuple[str, str]:
    """A member's key and ending: the name up to the first dot after the last slash, and the rest in small letters."""
    folder, slash, base = name.rpartition("/")
    key, dot, ending = base.partition(".")
    return f"{folder}{slash}{key}", f"{dot}{ending}".lower()


def _read_record(member: TarMember, ending: str, where: str) -> dict[str, Any]:
    """What a member says of its photo: a JSON object with `captions` or `caption`, or a text file, the one caption."""
    if member.size > MAX_TEXT:
        raise InputError(
            f"{where} has {member.size:,} bytes, captions of a photo have {MAX_TEXT:,} at most; pack it again"
        )
    try:
        text = member.read().decode("utf-8-sig")
        record = parse_json(text) if ending == ".json" else {"captions": [text]}
    except ValueError as error:
        raise InputError(f"{where} is no JSON or text in UTF-8 ({error!s:.120}); pack the dataset again") from error
    if isinstance(record, dict) and "caption" in record:
        record = {"captions": [record["caption"]]} | record
    if not isinstance(record, dict) or not isinstance(record.get("captions", []), list):
        raise InputError(f"{where} is no JSON object with a list of captions; pack the dataset again")
    return record


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where} has {value!r:.80} where text is wanted; pack the dataset again")
    return value


def _make_folder(shard: Path, images: AnyPath | None) -> Path:
    """The folder for the photos of an archive; another one where the archive changes."""
    state = shard.stat()
    identity = hashlib.sha256(f"{shard.resolve()} {state.st_size} {state.st_mtime_ns}".encode()).hexdigest()[:16]
    folder = (cache_folder() / "photos" if images is None else Path(images)) / identity
    if not folder.is_dir():
        check_room(folder, state.st_size)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{shard} cannot be unpacked into {folder} ({error}); give another folder with images="
            ) from error
    return folder


def _unpack_photo(member: TarMember, path: Path) -> Path:
    """One photo as a file, whole or not at all; one that is there already with the right size is left."""
    if path.is_file() and path.stat().st_size == member.size:
        return path
    with atomic_write(path, flush=False) as temporary:
        temporary.write_bytes(member.read())
    return path
