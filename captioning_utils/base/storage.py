"""Arrays and JSON in one HDF5 file: the file format of captioners and checkpoints.

HDF5 can hold links to other files, arrays that unpack to a thousand times their size, and pickled objects. None of
them is written here and each is refused on reading, without the HDF5 library, which a damaged file can crash; so a file
from a stranger can do no more than be refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from captioning_utils.base.errors import InputError
from captioning_utils.base.files import atomic_write
from captioning_utils.base.plain_hdf5 import PlainFile, read_plain_hdf5
from captioning_utils.base.plain_json import parse_json
from captioning_utils.base.types import AnyPath

if TYPE_CHECKING:
    import keras


def write_storage(
    path: AnyPath, kind: str, format_version: int, documents: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Write arrays and JSON documents to an HDF5 file, whole or not at all.

    Example:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.h5"
        >>> write_storage(path, "demo", 1, {"words": ["a", "dog"]}, {"layer/bias": np.zeros(3, "float32")})
        >>> documents, arrays = read_storage(path, "demo", 1)
        >>> documents["words"], arrays["layer/bias"].shape
        (['a', 'dog'], (3,))
    """
    texts = {name: json.dumps(value, ensure_ascii=False).encode("utf-8") for name, value in documents.items()}
    # Documents are arrays of bytes, not attributes: HDF5 attributes end at 64 KB, a large vocabulary does not.
    parts = {("documents", *name.split("/")): np.frombuffer(text, "uint8") for name, text in texts.items()}
    parts |= {("arrays", *name.split("/")): np.asarray(array) for name, array in arrays.items()}
    with write_hdf5(path) as file:
        file.attrs["kind"] = kind
        file.attrs["format_version"] = format_version
        file.attrs["digest"] = compute_digest(parts)
        for place, array in parts.items():
            file.create_dataset("/".join(place), data=array)


def compute_digest(arrays: Mapping[tuple[str, ...], NDArray[Any]]) -> str:
    """SHA-256 of all names, shapes and numbers of a file, so that a changed bit is seen.

    Args:
        arrays: dict of place, such as `("arrays", "layer", "bias")`, to array.

    Returns:
        str, 64 hexadecimal digits.

    Example:
        >>> compute_digest({("arrays", "bias"): np.zeros(3, "float32")})[:8]
        'f78d7e01'
    """
    digest = hashlib.sha256()
    for place, array in sorted(arrays.items()):
        digest.update(f"{'/'.join(place)} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


@contextlib.contextmanager
def write_hdf5(path: AnyPath) -> Iterator[h5py.File]:
    """Give an HDF5 file in memory to fill, and write it to `path`, whole or not at all.

    HDF5 itself never writes to a disk: where one is full, it ends the process.

    Example:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.h5"
        >>> with write_hdf5(path) as file:
        ...     file["bias"] = np.zeros(3, "float32")
        >>> path.read_bytes()[1:4]
        b'HDF'
    """
    with h5py.File(secrets.token_hex(8), "w", driver="core", backing_store=False) as file:
        yield file
        file.flush()
        content = file.id.get_file_image()
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def read_storage(path: AnyPath, kind: str, format_version: int) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read a file that `write_storage` made; every part is checked before it is used.

    Returns:
        tuple `(documents, arrays)`: dict of name → value and dict of name → array in memory.

    Raises:
        FileNotFoundError: when there is no such file.
        InputError: when it is not HDF5, of another kind or format version, damaged, or holds what `write_storage`
            never writes (links, external or compressed data, objects).
    """
    file = _read(path)
    _check_header(path, file.attributes, kind, format_version)
    if file.attributes.get("digest", found := compute_digest(file.arrays)) != found:  # files from before have none
        raise InputError(f"{path} is damaged: its content was changed after it was written; copy or download it again")
    documents = {place[1:]: _parse(path, place, data) for place, data in file.arrays.items() if place[0] == "documents"}
    # copies, so that the file's content does not stay in memory as long as one of them
    arrays = {"/".join(place[1:]): array.copy() for place, array in file.arrays.items() if place[0] == "arrays"}
    return {"/".join(place): value for place, value in documents.items()}, arrays


def _read(path: AnyPath) -> PlainFile:
    content = Path(path).read_bytes()  # a missing or forbidden file is reported as such, not as damaged
    try:
        return read_plain_hdf5(content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except ValueError as error:
        raise InputError(
            f"{path} is no readable HDF5 file ({error}); it may be damaged or cut short: copy or download it again"
        ) from error


def _check_header(path: AnyPath, attributes: Mapping[str, Any], kind: str, format_version: int) -> None:
    if attributes.get("kind") != kind:
        raise InputError(f"{path} is not a {kind} of this project; give a file that its training wrote")
    version = attributes.get("format_version")
    if version != format_version:
        raise InputError(
            f"{path} has format version {version!s:.40}, this release reads {format_version}; "
            "install the release that wrote the file, or train again"
        )


def _parse(path: AnyPath, place: Sequence[str], data: NDArray[Any]) -> Any:
    try:
        return parse_json(data.tobytes().decode("utf-8"))
    except ValueError as error:
        raise InputError(
            f"{path}: the document {'/'.join(place)!r:.80} is damaged ({error}); copy or download the file again"
        ) from error


def collect_variables(variables: Sequence[keras.Variable]) -> dict[str, NDArray[Any]]:
    """Keras variables as arrays for `write_storage`, keyed by place and path so that order and name both count.

    Example:
        >>> import keras
        >>> layer = keras.layers.Dense(2, name="out")
        >>> layer.build((None, 3))
        >>> {name: array.shape for name, array in collect_variables(layer.weights).items()}
        {'000 out kernel': (3, 2), '001 out bias': (2,)}
    """
    return {_key(index, variable): variable.numpy() for index, variable in enumerate(variables)}


def _key(index: int, variable: keras.Variable) -> str:
    return f"{index:03d} " + " ".join(variable.path.split("/")[-2:])


def assign_variables(path: object, variables: Sequence[keras.Variable], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Put stored arrays into Keras variables."""
    values = []
    for index, variable in enumerate(variables):
        prefix = f"{index:03d} "
        found = [array for name, array in arrays.items() if name.startswith(prefix)]
        if len(found) != 1 or found[0].shape != tuple(variable.shape):
            shapes = [array.shape for array in found]
            raise InputError(
                f"{path}: {_key(index, variable)} has shape {shapes}, its model {tuple(variable.shape)}; "
                "give the file of this model"
            )
        if not np.isfinite(found[0]).all():
            raise InputError(f"{path}: {_key(index, variable)} holds NaN or infinite numbers; train again")
        values.append(found[0])
    if len(arrays) != len(values):
        raise InputError(f"{path} holds {len(arrays)} arrays, {len(values)} are wanted; give the file of this model")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
