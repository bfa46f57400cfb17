"""The tables of a run: one row a photo, in many Parquet files of one folder, and what can be told from them.

OUT/photos/*.parquet has the photos, OUT/failed/*.parquet those that could not be read, OUT/settings.json what made
them.
A file is named after the photos in it, so that one that is written twice is there once.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import posixpath
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from captioning_utils.base.errors import InputError
from captioning_utils.base.files import atomic_write, remove_left_over
from captioning_utils.base.wording import one_line

if TYPE_CHECKING:
    import pyarrow

PHOTOS, FAILED, SETTINGS = "photos", "failed", "settings.json"
KEYS = ("file", "row", "last", "image")  # of both tables; see `sources.Entry`


class Progress(NamedTuple):
    """What a folder of tables holds."""

    photos: int  # rows with a result
    failed: int  # rows of photos that could not be read
    done: dict[str, list[int] | None]  # by file the rows that are there; None where that is all of them


def open_out(out: str, settings: Mapping[str, Any]) -> None:
    """Begin the folder of a run, or go on with it.

    Args:
        out: str, a path or an address of fsspec.
        settings: dict, what the results depend on; JSON-serialisable.

    Raises:
        InputError: where the folder was made with other settings, holds something else, or cannot be written.
    """
    files, folder = _connect(out)
    path = f"{folder}/{SETTINGS}"
    names: set[str] = set()
    with contextlib.suppress(FileNotFoundError):
        names = {posixpath.basename(each.rstrip("/")) for each in files.ls(folder, detail=False)}
    if SETTINGS not in names:
        if any(not name.startswith(".") for name in names):  # hidden: of a killed run, or of a shard that begins now
            raise InputError(f"{out} holds something else; give a new folder")
        _write(out, SETTINGS, json.dumps(settings, indent=1).encode())
        return
    try:
        found = json.loads(files.cat_file(path))
        different = [name for name, value in settings.items() if found.get(name) != value]
    except (ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({one_line(error)}); give a new folder") from error
    if different:
        name = different[0]
        raise InputError(
            f"{out} was made with {name} {found.get(name)!r:.200}, this run has {settings[name]!r:.200}; give a new "
            "folder, or the same settings"
        )
    if "file" in files.protocol:  # parts are named after their photos; this run may make other parts than a killed one
        for name in (PHOTOS, FAILED):
            remove_left_over(f"{folder}/{name}")


def write_rows(out: str, rows: pyarrow.Table) -> None:
    """Put rows of results into the tables, whole files or none.

    Args:
        out: str, folder.
        rows: table with `KEYS`, the columns of the results, and `reason`, which is empty where there is a result.
    """
    import pyarrow
    import pyarrow.compute
    import pyarrow.parquet

    is_photo = pyarrow.compute.equal(rows["reason"], "")
    failed = rows.filter(pyarrow.compute.invert(is_photo)).select([*KEYS, "reason"])
    for name, part in ((PHOTOS, rows.filter(is_photo).drop_columns(["reason"])), (FAILED, failed)):
        if part.num_rows:
            keys = json.dumps([part["file"].to_pylist(), part["row"].to_pylist()])
            content = pyarrow.BufferOutputStream()
            pyarrow.parquet.write_table(part, content, compression="zstd")
            digest = hashlib.sha256(keys.encode()).hexdigest()[:20]
            _write(out, f"{name}/{digest}.parquet", content.getvalue().to_pybytes())


def read_progress(out: str) -> Progress:
    """Count the rows in a folder of tables, and find the photos that need no second look.

    Args:
        out: str, a path or an address of fsspec; one that is not there yet is empty.

    Returns:
        `Progress`.

    Raises:
        InputError: where a file is damaged, or a photo is there twice.
    """
    import pyarrow
    import pyarrow.compute

    tables = {name: _read_keys(out, name) for name in (PHOTOS, FAILED)}
    rows = pyarrow.concat_tables(tables.values())
    wanted = [("row", "count"), ("row", "count_distinct"), ("row", "max"), ("last", "any")]
    columns = rows.group_by("file").aggregate(wanted).to_pydict()
    done: dict[str, list[int] | None] = {}
    for file, *numbers in zip(columns["file"], *(columns["_".join(name)] for name in wanted), strict=True):
        count, distinct, highest, last = numbers
        if count != distinct:
            raise InputError(f"{out} holds photos of {file} twice; put together shards of one run only")
        done[file] = None if last and count == highest + 1 else []
    begun = pyarrow.array([file for file, known in done.items() if known is not None], pyarrow.string())
    partly = rows.filter(pyarrow.compute.is_in(rows["file"], begun))
    for file, row in zip(partly["file"].to_pylist(), partly["row"].to_pylist(), strict=True):
        done[file].append(row)  # type: ignore[union-attr]
    return Progress(tables[PHOTOS].num_rows, tables[FAILED].num_rows, done)


def _read_keys(out: str, name: str) -> pyarrow.Table:
    """`KEYS` but the image of all rows of a table."""
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema({"file": pyarrow.string(), "row": pyarrow.int32(), "last": pyarrow.bool_()})
    files, folder = _connect(out)
    with contextlib.suppress(FileNotFoundError):
        parts = []
        for path in sorted(files.ls(f"{folder}/{name}", detail=False)):
            if path.endswith(".parquet") and not posixpath.basename(path).startswith("."):
                try:
                    with files.open(path, "rb") as file:
                        parts.append(pyarrow.parquet.read_table(file, columns=schema.names).cast(schema))
                except (OSError, ValueError, KeyError) as error:
                    raise InputError(f"{path} is no part of such a table ({one_line(error)}); delete it") from error
        return pyarrow.concat_tables(parts or [schema.empty_table()])
    return schema.empty_table()


def _connect(out: str) -> tuple[Any, str]:
    """The file system of an address, and the path there."""
    import fsspec

    try:
        return fsspec.url_to_fs(out)
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"{out} cannot be used ({one_line(error)}); give a folder or an address of fsspec") from error


def _write(out: str, name: str, content: bytes) -> None:
    """One file, whole or not at all: object stores put a file as a whole, other places rename it."""
    files, folder = _connect(out)
    path = f"{folder}/{name}"
    if "file" in files.protocol:
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)
        return
    files.makedirs(posixpath.dirname(path), exist_ok=True)
    hidden = f"{posixpath.dirname(path)}/.{posixpath.basename(path)}"
    files.pipe_file(hidden, content)
    files.mv(hidden, path)
