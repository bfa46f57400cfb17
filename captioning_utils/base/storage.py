"""Arrays and JSON in one HDF5 file: the file format of captioners and checkpoints.

HDF5 can hold links to other files, arrays that unpack to a thousand times their size, and pickled objects. None of
them is written here and each is refused on reading, so a file from a stranger can do no more than be refused.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from captioning_utils.base.errors import InputError
from captioning_utils.base.files import atomic_write
from captioning_utils.base.types import AnyPath

if TYPE_CHECKING:
    import keras


MAX_ARRAYS = 10_000  # far more than any decoder with its optimizer has


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
    with atomic_write(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["kind"] = kind
        file.attrs["format_version"] = format_version
        for name, value in documents.items():
            text = json.dumps(value, ensure_ascii=False).encode("utf-8")
            # A dataset, not an attribute: HDF5 attributes end at 64 KB, a large vocabulary does not.
            file.create_dataset(f"documents/{name}", data=np.frombuffer(text, "uint8"))
        for name, array in arrays.items():
            file.create_dataset(f"arrays/{name}", data=np.asarray(array))


def read_storage(path: AnyPath, kind: str, format_version: int) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read a file that `write_storage` made; every part is checked before it is used.

    Returns:
        tuple `(documents, arrays)`: dict of name → value and dict of name → array in memory.

    Raises:
        FileNotFoundError: when there is no such file.
        InputError: when it is not HDF5, of another kind or format version, damaged, or holds what `write_storage`
            never writes (links, external or compressed data, objects).
    """
    with _open(path) as file:
        _check_header(path, file, kind, format_version)
        datasets = _plain_datasets(path, file)
        documents = {name: _parse(path, name, data) for name, data in datasets.items() if name[0] == "documents"}
        arrays = {"/".join(name[1:]): data[()] for name, data in datasets.items() if name[0] == "arrays"}
    return {"/".join(name[1:]): value for name, value in documents.items()}, arrays


@contextlib.contextmanager
def _open(path: AnyPath) -> Iterator[h5py.File]:
    with open(path, "rb"):  # a missing or forbidden file is reported as such, not as damaged
        pass
    try:
        with h5py.File(path, "r") as file:
            yield file
    except InputError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, UnicodeError) as error:
        raise InputError(f"{path} is no readable HDF5 file ({error}); it may be damaged or cut short") from error


def _check_header(path: AnyPath, file: h5py.File, kind: str, format_version: int) -> None:
    found = file.attrs.get("kind")
    if found != kind:
        raise InputError(f"{path} is not a {kind} of this project; give a file that its training wrote")
    version = file.attrs.get("format_version")
    if version != format_version:
        raise InputError(
            f"{path} has format version {version}, this release reads {format_version}; "
            "install the release that wrote the file, or train again"
        )


def _plain_datasets(path: AnyPath, file: h5py.File) -> dict[tuple[str, ...], h5py.Dataset]:
    """Every dataset by its path in the file, as a tuple; refuses what could reach outside the file or blow up."""
    found: dict[tuple[str, ...], h5py.Dataset] = {}
    groups: list[tuple[tuple[str, ...], h5py.Group]] = [((), file)]
    while groups:
        prefix, group = groups.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink) or len(prefix) > 8:
                raise InputError(f"{path} holds a link ({name!r:.80}); such files are refused")
            item = group[name]
            if isinstance(item, h5py.Group):
                groups.append(((*prefix, name), item))
            else:
                _check_plain(path, name, item)
                found[(*prefix, name)] = item
            if len(found) + len(groups) > MAX_ARRAYS:
                raise InputError(f"{path} holds more than {MAX_ARRAYS} arrays; such files are refused")
    if sum(item.nbytes for item in found.values()) > file.id.get_filesize():
        raise InputError(f"{path} claims more data than it holds; it is damaged or cut short")
    return found


def _check_plain(path: AnyPath, name: str, item: h5py.Dataset) -> None:
    plain = isinstance(item, h5py.Dataset) and item.dtype.kind in "fiu" and item.dtype.hasobject is False
    if not plain or item.chunks is not None or item.is_virtual or item.external is not None:
        raise InputError(f"{path}: {name!r:.80} is not a plain array of numbers; such files are refused")


def _parse(path: AnyPath, name: tuple[str, ...], data: h5py.Dataset) -> Any:
    try:
        return json.loads(data[()].tobytes().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: the document {'/'.join(name)!r:.80} is damaged ({error})") from error


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
            raise InputError(f"{path}: {_key(index, variable)} should have shape {tuple(variable.shape)}; got {shapes}")
        if not np.isfinite(found[0]).all():
            raise InputError(f"{path}: {_key(index, variable)} holds NaN or infinite numbers; train again")
        values.append(found[0])
    if len(arrays) != len(values):
        raise InputError(f"{path} holds {len(arrays)} arrays, {len(values)} are wanted; it is another model's")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
