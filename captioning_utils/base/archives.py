"""Reading zip and tar archives that anyone may have made: nothing lands outside the folder, and the disk stays free."""

import contextlib
import functools
import gzip
import re
import shutil
import stat
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from lzma import LZMAError
from pathlib import Path
from typing import IO, NamedTuple, cast

from tqdm import tqdm

from captioning_utils.base.errors import InputError
from captioning_utils.base.files import atomic_write
from captioning_utils.base.types import AnyPath
from captioning_utils.base.wording import one_line

MAX_UNPACKED = 40 * 10**9  # bytes; the largest dataset archive that is known here, COCO's, unpacks to 19
MAX_MEMBER = 10**8  # bytes of one file in a tar archive, which is read as a whole
MAX_MEMBERS = 10**6  # files in a tar archive
MAX_PADDING = 2**20  # bytes after the end of a tar archive; GNU tar fills up 10 kB
SPARE_ROOM = 10**9  # bytes that stay free on the disk


def check_room(folder: Path, num_bytes: int) -> None:
    """Refuse work that the disk has no room for, before it begins.

    Example:
        >>> from pathlib import Path
        >>> check_room(Path("."), 10**18)
        Traceback (most recent call last):
        captioning_utils.InputError: 1,000,000,001.0 GB are needed in . and ... GB are free; make room or ...
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    if free < num_bytes + SPARE_ROOM:
        needed = f"{(num_bytes + SPARE_ROOM) / 1e9:,.1f} GB are needed in {folder}"
        raise InputError(f"{needed} and {free / 1e9:,.1f} GB are free; make room or choose another disk")


def unpack_zip(
    archive: Path, folder: Path, names: Collection[str] | None = None, max_bytes: int = MAX_UNPACKED
) -> list[Path]:
    """Unpack a zip archive. What is there already with the right size is left, so a stopped run goes on.

    Names that lead out of the folder, links and special files are refused before anything is written. The Finder's
    `__MACOSX` folder is left out.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> place = Path(tempfile.mkdtemp())
        >>> with zipfile.ZipFile(place / "a.zip", "w") as file:
        ...     file.writestr("photos/a.txt", "a dog")
        >>> [path.relative_to(place).as_posix() for path in unpack_zip(place / "a.zip", place)]
        ['photos/a.txt']
    """
    try:
        with zipfile.ZipFile(archive) as source:
            members = _plain_members(source, archive)
            if names is not None:
                members = {name: member for name, member in members.items() if name in names}
                _check_complete(members, names, archive)
            _check_size(members, archive, folder, max_bytes)
            for name, member in tqdm(members.items(), f"unpacking {archive.name}", unit="files", file=sys.stderr):
                _unpack(source, member, folder / name)
    except (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, RuntimeError, NotImplementedError) as error:
        reason = one_line(error)
        raise InputError(f"{archive} cannot be unpacked ({reason}); it may be damaged: download it again") from error
    return [folder / name for name in members]


def _plain_members(source: zipfile.ZipFile, archive: Path) -> dict[str, zipfile.ZipInfo]:
    """The files of an archive by name; refuses it as a whole where one of them is not plain."""
    members = {}
    for member in source.infolist():
        name = member.filename
        kind = stat.S_IFMT(member.external_attr >> 16)
        if not _is_inside(name) or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise InputError(f"{archive} holds {name!r:.120}, which leads out of the folder or is a link; get it again")
        if not member.is_dir() and not name.startswith("__MACOSX/"):
            members[name] = member
    return members


def _is_inside(name: str) -> bool:
    parts = name.rstrip("/").split("/")
    return not re.search(r"[\\:\x00-\x1f]", name) and not {"", ".", ".."} & set(parts)


def _check_complete(members: Iterable[str], names: Iterable[str], archive: Path) -> None:
    missing = sorted(set(names) - set(members))
    if missing:
        raise InputError(f"{archive} has no {missing[0]}; delete it and get the right archive")


def _check_size(members: Mapping[str, zipfile.ZipInfo], archive: Path, folder: Path, max_bytes: int) -> None:
    size = sum(member.file_size for member in members.values())
    if size > max_bytes:
        raise InputError(f"{archive} unpacks to {size:,} bytes, more than the {max_bytes:,} allowed; get it again")
    check_room(folder, size)


def _unpack(source: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    """One file, whole or not at all. Not flushed one by one: for 118,287 photos that would take an hour."""
    if path.is_file() and path.stat().st_size == member.file_size:
        return
    with source.open(member) as content, atomic_write(path, flush=False) as temporary, open(temporary, "wb") as file:
        shutil.copyfileobj(content, file)  # zipfile reads no more than the size it announced, and checks the CRC


class TarMember(NamedTuple):
    """A file in a tar archive."""

    name: str
    size: int  # bytes
    read: Callable[[], bytes]  # the content; to be called before the next member is asked for


def read_tar(archive: AnyPath, open_file: Callable[[], IO[bytes]] | None = None) -> Iterator[TarMember]:
    """The files of a tar archive, gzipped or not, one after the other; nothing is unpacked.

    Links, devices, names that lead out of a folder or come twice, long names, sparse and huge files are refused.

    Args:
        archive: str or `Path`; with `open_file` only its name, for messages.
        open_file: function that opens it, where it is no file of this machine.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.tar"
        >>> with tarfile.open(path, "w") as file:
        ...     file.add(__file__, "a.txt")
        >>> [member.name for member in read_tar(path)]
        ['a.txt']
    """
    names: set[str] = set()
    with _told(archive), open_file() if open_file else Path(archive).open("rb") as stored, _unzipped(stored) as file:
        while (header := _read_header(file, archive)) is not None:
            if header.name in names or len(names) == MAX_MEMBERS:
                raise InputError(f"{archive} holds {header.name!r:.120} twice or too many files; pack it again")
            start = file.tell()
            if not header.isdir():
                names.add(header.name)
                yield TarMember(header.name, header.size, functools.partial(_read_member, file, header.size, archive))
            file.seek(start + _padded(header.size))


@contextlib.contextmanager
def _told(archive: AnyPath) -> Iterator[None]:
    """Turn the ways in which reading a tar archive can fail into an `InputError` that names it."""
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        reason = one_line(error)
        raise InputError(f"{archive} is no readable tar archive ({reason}); it may be damaged, get it again") from error


def _unzipped(file: IO[bytes]) -> IO[bytes]:
    """The file itself, or what is gzipped in it."""
    is_gzipped = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    return cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if is_gzipped else file


def _read_member(file: IO[bytes], size: int, archive: AnyPath) -> bytes:
    with _told(archive):
        return _read_exactly(file, size)


def _read_header(file: IO[bytes], archive: AnyPath) -> tarfile.TarInfo | None:
    """The next file or folder, None at the end of the archive."""
    while (block := _read_exactly(file, tarfile.BLOCKSIZE)).strip(b"\0"):
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        plain = header.type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE)
        note = header.type in (tarfile.XHDTYPE, tarfile.XGLTYPE)
        if not ((plain and _is_inside(header.name)) or note):
            raise InputError(
                f"{archive} holds {header.name!r:.120}, which leads out of the folder, has a long name or is no plain "
                "file; pack it again"
            )
        if not 0 <= header.size <= MAX_MEMBER or file.tell() > MAX_UNPACKED:
            raise InputError(
                f"{archive} holds {header.name!r:.120} of {header.size:,} bytes, more than is allowed; pack it again"
            )
        if plain:
            return header
        # What a note may tell (times, owners) matters nothing here, but for another name or size of the next file.
        if re.search(rb"(?m)^\d+ (path|size|GNU\.sparse[.\w]*)=", _read_exactly(file, _padded(header.size))):
            raise InputError(f"{archive} has long names or sparse files; pack it again with shorter names")
    if len(file.read(MAX_PADDING)) == MAX_PADDING:  # up to the end, where gzip's checksum is
        raise EOFError("it goes on after its end")
    return None


def _padded(size: int) -> int:
    """The bytes that so many take in a tar archive: whole blocks."""
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _read_exactly(file: IO[bytes], size: int) -> bytes:
    content = file.read(size)
    if len(content) != size:
        raise EOFError("it ends too early")
    return content
