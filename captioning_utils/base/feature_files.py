"""Reading files of features that anyone may have made: nothing in them is trusted, and no code in them runs."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from captioning_utils.base.errors import InputError
from captioning_utils.base.files import read_json
from captioning_utils.base.plain_pickle import is_shape, read_plain_pickle
from captioning_utils.base.wording import one_line

FORMAT_VERSION = 1
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


def read_folder(folder: Path) -> FeatureFile:
    """Read a folder of shards; the arrays stay on disk, memory-mapped."""
    index = _checked(read_json(_existing(folder / INDEX)), folder)
    shards = index.get("shards")
    if not isinstance(shards, list) or not all(isinstance(shard, dict) for shard in shards):
        raise _damaged(folder, "it has no list of shards")
    arrays: list[NDArray[np.float16]] = []
    image_ids: list[str | None] = []
    identities: list[str] = []
    for number, shard in enumerate(shards):
        if shard.get("file") != shard_name(number):  # a name of its own could lead out of the folder
            raise _damaged(folder, f"shard {number} is named {shard.get('file')!r:.80}")
        names = _checked_ids(shard.get("image_ids"), folder)
        identities += _checked_identities(shard, names, folder)
        arrays.append(_open_shard(folder / shard["file"], (len(names), *index["output_shape"])))
        image_ids += names
    return _complete(index, image_ids, arrays, identities, folder)


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
    return _complete(contents, image_ids, [features], _checked_identities(contents, image_ids, path), path)


def _checked(contents: Any, path: Path) -> dict[str, Any]:
    """Check what pickle and index have in common: dict with format_version, fingerprint, output_shape, skipped."""
    if not isinstance(contents, dict) or "format_version" not in contents:
        raise InputError(f"{path} is no feature cache; give a file or folder that extract_features made")
    version = contents["format_version"]
    if type(version) is not int or version != FORMAT_VERSION:
        raise InputError(
            f"{path} has format version {version!r:.20}, this package reads {FORMAT_VERSION}; extract again"
        )
    shape, skipped = contents.get("output_shape"), contents.get("skipped")
    if not isinstance(contents.get("fingerprint"), str):
        raise _damaged(path, "it has no fingerprint")
    if not is_shape(shape) or 0 in shape:
        raise _damaged(path, "its output_shape is not a list of positive numbers")
    if not isinstance(skipped, dict) or not all(isinstance(text, str) for pair in skipped.items() for text in pair):
        raise _damaged(path, "its list of skipped photos is not text")
    return contents


def _checked_ids(image_ids: Any, path: Path) -> list[str | None]:
    if not isinstance(image_ids, list) or not all(
        image_id is None or isinstance(image_id, str) for image_id in image_ids
    ):
        raise _damaged(path, "its image_ids are not a list of text")
    return image_ids


def _checked_identities(contents: dict[str, Any], image_ids: list[str | None], path: Path) -> list[str]:
    identities = contents.get("identities", [""] * len(image_ids))
    if not isinstance(identities, list) or not all(isinstance(identity, str) for identity in identities):
        raise _damaged(path, "its identities are not a list of text")
    if len(identities) != len(image_ids):
        raise _damaged(path, f"it has {len(identities)} identities of {len(image_ids)} photos")
    return identities


def _complete(
    contents: dict[str, Any],
    image_ids: list[str | None],
    arrays: list[NDArray[np.float16]],
    identities: list[str],
    path: Path,
) -> FeatureFile:
    named = [image_id for image_id in image_ids if image_id is not None]
    if len(set(named)) != len(named):
        raise _damaged(path, "an image_id comes twice")
    shape = contents["output_shape"]
    return FeatureFile(contents["fingerprint"], shape, image_ids, contents["skipped"], arrays, identities)


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(f"{path} is damaged ({reason}); delete it and extract the features again")
