"""Reading files of features that anyone may have made: nothing in them is trusted, and no code in them runs."""

import itertools
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from captioning_utils.base.errors import InputError
from captioning_utils.base.files import read_json
from captioning_utils.base.plain_pickle import is_shape, read_plain_pickle
from captioning_utils.base.wording import one_line

FORMAT_VERSION = 1  # of a pickle
FOLDER_VERSION = 2  # of a folder of shards; in one of version 1 the index has the shards' lists in it
INDEX = "index.json"  # of a folder of shards
MAX_HEADER = 1000  # bytes of a shard before its numbers; ours have 128
# numpy.lib.format, version 1.0: magic, the description's length, and the description of an array in C order
_NPY_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(..)"
    rb"\{'descr': '([!-&(-~]{1,9})', 'fortran_order': False, 'shape': \(([0-9]{1,9}(?:, ?[0-9]{1,9}){0,8}),?\), \} *\n",
    re.DOTALL,
)


class FeatureFile(NamedTuple):
    """What a pickle or a folder of shards holds, checked."""

    fingerprint: str  # the encoder's
    output_shape: tuple[int, ...]  # of one photo's features
    image_ids: list[str | None]  # in the order of the arrays; None where a later row or nothing took the photo's place
    skipped: dict[str, str]  # image_id -> why its photo could not be read
    arrays: list[NDArray[np.float16]]  # one after the other the rows of `image_ids`
    identities: list[str]  # of the photo of each row, see `base.identity`; "" where unknown, as in older files


def shard_name(number: int) -> str:
    """The file name of a shard: a folder names no others."""
    return f"shard-{number:05d}.npy"


def list_path(folder: Path, number: int) -> Path:
    """Where the list beside a shard is."""
    return (folder / shard_name(number)).with_suffix(".json")


def find_lists(folder: Path, first: int) -> list[Path]:
    """The lists beside the shards of a folder, in order, from the shard `first` to the last."""
    paths = (list_path(folder, number) for number in itertools.count(first))
    return list(itertools.takewhile(Path.is_file, paths))


def read_folder(folder: Path) -> FeatureFile:
    """Read a folder of shards; the arrays stay on disk, memory-mapped.

    Beside each shard is a list: whose rows it holds, and which photos could not be read meanwhile. What a later list
    says of a photo counts.
    """
    index = _checked(read_json(_existing(folder / INDEX)), folder, (1, FOLDER_VERSION))
    shards = index.get("shards")
    if not isinstance(shards, list):
        raise _damaged(folder, "it has no list of shards")
    arrays: list[NDArray[np.float16]] = []
    image_ids: list[str | None] = []
    identities: list[str] = []
    rows: dict[str, int] = {}
    for number, shard in enumerate([*shards, *map(read_json, find_lists(folder, len(shards)))]):
        names = _checked_shard(shard, number, folder)
        identities += _checked_identities(shard, names, folder)
        if names:  # otherwise there is no shard: the last photos could not be read
            arrays.append(_open_shard(folder / shard_name(number), (len(names), *index["output_shape"])))
        own = {name: row for row, name in enumerate(names, len(image_ids)) if name is not None}
        image_ids += names
        failed = shard.get("skipped", {})
        for name in [name for name in (*own, *failed) if name in rows]:
            image_ids[rows.pop(name)] = None
        rows |= own
        for name in own:
            index["skipped"].pop(name, None)
        index["skipped"] |= failed
    return FeatureFile(index["fingerprint"], index["output_shape"], image_ids, index["skipped"], arrays, identities)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path} is not there, so its folder is no feature cache; extract the features first")
    return path


def _open_shard(path: Path, shape: tuple[int, ...]) -> NDArray[np.float16]:
    """A shard's array, memory-mapped. numpy would parse its header as Python: here it must be what `np.save` writes."""
    try:
        with open(path, "rb") as file:
            start = file.read(MAX_HEADER)
        header = _NPY_HEADER.match(start)
        if not header or int.from_bytes(header[1], "little") != header.end() - 10:
            raise _damaged(path, "it is no array as np.save writes it")
        found = tuple(int(size) for size in re.findall(rb"[0-9]+", header[3]))
        if (header[2], found) != (b"<f2", shape):
            raise _damaged(path, f"it is {header[2].decode()!r} {found}, the index says float16 {shape}")
        return np.memmap(path, "<f2", "r", header.end(), shape)
    except (OSError, ValueError, OverflowError) as error:
        raise error if isinstance(error, InputError) else _damaged(path, one_line(error)) from error


def read_pickle(path: Path) -> FeatureFile:
    """Read a pickle: plain values and one float16 array come through, and no code in it runs."""
    try:
        contents = read_plain_pickle(path.read_bytes())
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:  # a damaged pickle ends in any kind of error, from IndexError to TypeError
        raise _damaged(path, one_line(error)) from error
    contents = _checked(contents, path)
    image_ids = _checked_ids(contents.get("image_ids"), path)
    features = getattr(contents.get("features"), "array", None)
    shape = (len(image_ids), *contents["output_shape"])
    if features is None or features.shape != shape:
        raise _damaged(path, f"it has no float16 features of shape {shape}")
    identities = _checked_identities(contents, image_ids, path)
    return FeatureFile(contents["fingerprint"], shape[1:], image_ids, contents["skipped"], [features], identities)


def _checked(contents: Any, path: Path, versions: tuple[int, ...] = (FORMAT_VERSION,)) -> dict[str, Any]:
    """Check what pickle and index have in common: dict with format_version, fingerprint, output_shape, skipped."""
    if not isinstance(contents, dict) or "format_version" not in contents:
        raise InputError(f"{path} is no feature cache; give a file or folder that extract_features made")
    version = contents["format_version"]
    if type(version) is not int or version not in versions:
        known = " and ".join(map(str, versions))
        raise InputError(f"{path} has format version {version!r:.20}, this package reads {known}; extract again")
    shape = contents.get("output_shape")
    if not isinstance(contents.get("fingerprint"), str):
        raise _damaged(path, "it has no fingerprint")
    if not is_shape(shape) or 0 in shape:
        raise _damaged(path, "its output_shape is not a list of positive numbers")
    _check_skipped(contents.get("skipped"), path)
    return contents


def _checked_shard(shard: Any, number: int, folder: Path) -> list[str | None]:
    """Check the list of a shard; gives its image_ids."""
    if not isinstance(shard, dict):
        raise _damaged(folder, f"what it says of shard {number} is not a list of photos")
    name = shard.get("file", shard_name(number))
    if name != shard_name(number):  # a name of its own could lead out of the folder
        raise _damaged(folder, f"shard {number} is named {name!r:.80}")
    _check_skipped(shard.get("skipped", {}), folder)
    return _checked_ids(shard.get("image_ids"), folder)


def _check_skipped(skipped: Any, path: Path) -> None:
    if not isinstance(skipped, dict) or not all(isinstance(text, str) for pair in skipped.items() for text in pair):
        raise _damaged(path, "its list of skipped photos is not text")


def _checked_ids(image_ids: Any, path: Path) -> list[str | None]:
    if not isinstance(image_ids, list) or not all(
        image_id is None or isinstance(image_id, str) for image_id in image_ids
    ):
        raise _damaged(path, "its image_ids are not a list of text")
    named = [image_id for image_id in image_ids if image_id is not None]
    if len(set(named)) != len(named):
        raise _damaged(path, "an image_id comes twice")
    return image_ids


def _checked_identities(contents: dict[str, Any], image_ids: list[str | None], path: Path) -> list[str]:
    identities = contents.get("identities", [""] * len(image_ids))
    if not isinstance(identities, list) or not all(isinstance(identity, str) for identity in identities):
        raise _damaged(path, "its identities are not a list of text")
    if len(identities) != len(image_ids):
        raise _damaged(path, f"it has {len(identities)} identities of {len(image_ids)} photos")
    return identities


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(f"{path} is damaged ({reason}); delete it and extract the features again")
