"""Where the photos come from: folders, Parquet tables and WebDataset's tar archives, here or at an fsspec address."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from captioning_utils.base.archives import MAX_MEMBER, read_tar
from captioning_utils.base.errors import InputError
from captioning_utils.base.parallel import map_ahead
from captioning_utils.base.tables import IMAGE_COLUMNS
from captioning_utils.base.wording import name_some, one_line
from captioning_utils.images import is_photo_name, load_image

if TYPE_CHECKING:
    import pyarrow

TARS, TABLES = (".tar", ".tar.gz", ".tgz"), (".parquet",)
FILES_A_PIECE = 64  # photo files that are read one after the other; of archives and tables each is a piece
ROWS_READ = 16  # of a Parquet table at once


class Piece(NamedTuple):
    """A share of the photos that is read by one worker: some photo files, or one archive or table."""

    files: list[str]  # addresses
    done: list[list[int]]  # of each file the rows that are not wanted again


class Entry(NamedTuple):
    """One photo as it is stored, or why it is not there."""

    file: str  # address of the photo, or of the archive or table that holds it
    row: int  # its number there, from 0
    last: bool  # whether it is the last there
    image: str  # its name: the address, with what it is called in the archive or table
    content: bytes = b""
    reason: str = ""


class Photo(NamedTuple):
    """One photo decoded to the size that the encoder takes, or why it cannot be."""

    entry: Entry
    pixels: NDArray[np.uint8] | None
    reason: str


def find_files(address: str) -> list[str]:
    """The photo files, archives and tables at an address, in the order of their names.

    Args:
        address: str, a path or an address of fsspec such as "s3://bucket/photos": a file, a name with `*`, or a folder,
            of which everything is taken, that in folders inside included. Hidden files are left out.

    Returns:
        list of str, addresses, never empty.

    Raises:
        InputError: where nothing is there, or the address cannot be read.
    """
    import fsspec

    try:
        files, path = fsspec.url_to_fs(address)
        found = files.glob(path) if "*" in path else files.find(path)
        protocol = files.unstrip_protocol("").partition("://")[0]
    except (OSError, ValueError, ImportError) as error:
        raise InputError(
            f"{address} cannot be read ({one_line(error)}); give a folder, a file or a name with *"
        ) from error
    wanted = sorted(name for name in found if _is_wanted(name.rpartition("/")[2]))
    if not wanted:
        raise InputError(f"{address} holds no photo; looked for photos, {', '.join((*TARS, *TABLES))}")
    return wanted if protocol in ("file", "local") else [files.unstrip_protocol(name) for name in wanted]


def _is_wanted(name: str) -> bool:
    return is_photo_name(name) or (name.lower().endswith((*TARS, *TABLES)) and not name.startswith("."))


def cut_pieces(files: Sequence[str], done: Mapping[str, Sequence[int] | None]) -> list[Piece]:
    """Cut files into pieces; a file whose `done` is None is wholly done and left out, its piece stays, if empty.

    Example:
        >>> cut_pieces(["a.jpg", "b.jpg", "c.tar"], {"a.jpg": None, "c.tar": [0, 1]})
        [Piece(files=['b.jpg'], done=[[]]), Piece(files=['c.tar'], done=[[0, 1]])]
    """
    photos = [file for file in files if is_photo_name(file)]
    groups = [photos[start : start + FILES_A_PIECE] for start in range(0, len(photos), FILES_A_PIECE)]
    groups += [[file] for file in files if not is_photo_name(file)]
    pieces = []
    for group in groups:
        left = [file for file in group if done.get(file, ()) is not None]
        pieces.append(Piece(left, [list(done.get(file) or ()) for file in left]))
    return pieces


def read_photos(piece: Piece, size: tuple[int, int], ahead: int = 64) -> Iterator[Photo]:
    """Read and decode the photos of a piece that are not done, in threads, `ahead` of them in advance.

    Args:
        piece: `Piece`.
        size: (height, width) in pixels that the encoder takes.
        ahead: int.

    Yields:
        `Photo`; one that cannot be read has a reason. An archive or table that breaks off gives the photos before.
    """
    return map_ahead(lambda entry: _decode(entry, size), _read_piece(piece), ahead)


class _Named(io.BytesIO):
    """A photo's bytes, with the name that messages give it."""

    name = ""


def _decode(entry: Entry, size: tuple[int, int]) -> Photo:
    if entry.reason:
        return Photo(entry, None, entry.reason)
    source = _Named(entry.content)
    source.name = entry.image
    entry = entry._replace(content=b"")  # of what waits for the encoder the pixels are in memory, no more
    try:
        return Photo(entry, load_image(source, size), "")
    except InputError as error:
        return Photo(entry, None, str(error))


def _read_piece(piece: Piece) -> Iterator[Entry]:
    for file, done in zip(piece.files, piece.done, strict=True):
        known = set(done)
        yield from (entry for entry in _read_file(file) if entry.row not in known)


def _read_file(file: str) -> Iterator[Entry]:
    """All that a file holds, one entry late, since the last one is marked; where reading fails it says why."""
    held, count = None, 0
    try:
        for name, content in _read_contents(file):
            if held:
                yield held
            reason = "" if len(content) <= MAX_MEMBER else f"{name} has more than {MAX_MEMBER:,} bytes; not read"
            held = Entry(file, count, False, name, b"" if reason else content, reason)
            count += 1
    except (InputError, OSError, ValueError) as error:  # pyarrow's errors are among these, too
        if held:
            yield held
        held = Entry(file, count, False, file, reason=one_line(error))
    yield (held or Entry(file, 0, True, file, reason=f"{file} holds no photo"))._replace(last=True)


def _read_contents(file: str) -> Iterator[tuple[str, bytes]]:
    """(name, content) of every photo in a file."""
    import fsspec

    if file.lower().endswith(TARS):
        for member in read_tar(file, lambda: fsspec.open(file, "rb").open()):
            if is_photo_name(member.name.rpartition("/")[2]):
                yield f"{file}#{member.name}", member.read()
        return
    with fsspec.open(file, "rb") as opened:
        if file.lower().endswith(TABLES):
            yield from _read_table(file, opened)
        else:
            yield file, opened.read(MAX_MEMBER + 1)


def _read_table(file: str, opened: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    """The photos of a Parquet table: of its first column with bytes, or with bytes and a path as `datasets` writes."""
    import pyarrow.parquet

    table = pyarrow.parquet.ParquetFile(opened)
    column, name_column = _find_columns(file, table.schema_arrow)
    columns = [name for name in (column, name_column) if name]
    batches = table.iter_batches(ROWS_READ, columns=columns)
    for number, row in enumerate(row for batch in batches for row in batch.to_pylist()):
        stored = row[column]
        photo = stored if isinstance(stored, dict) else {"bytes": stored}
        name = (row[name_column] if name_column else None) or photo.get("path") or number
        yield f"{file}#{name}", photo["bytes"] or b""


def _find_columns(file: str, schema: pyarrow.Schema) -> tuple[str, str | None]:
    """The columns with the photos and with their names."""
    from pyarrow import types

    def holds_bytes(kind: pyarrow.DataType) -> bool:
        return types.is_binary(kind) or types.is_large_binary(kind)

    for field in schema:
        inner = dict(zip(field.type.names, field.type.fields, strict=True)) if types.is_struct(field.type) else {}
        if holds_bytes(field.type) or ("bytes" in inner and holds_bytes(inner["bytes"].type)):
            texts = [each.name for each in schema if types.is_string(each.type) or types.is_large_string(each.type)]
            return field.name, next((name for name in IMAGE_COLUMNS if name in texts), None)
    raise InputError(
        f"{file} has no column with the bytes of photos, only {name_some(schema.names)}; put the photos' files into one"
    )
