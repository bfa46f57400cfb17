"""Writing files so that a crash, a full disk or a pulled plug never leaves half a file behind."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from captioning_utils.base.errors import InputError
from captioning_utils.base.plain_json import parse_json
from captioning_utils.base.types import AnyPath

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

MAX_PART = 16_000_000  # bytes
MAX_NAME = 255  # bytes of a file's name, on nearly every file system
SLOTS = 4  # processes that write one file at the same time, each with a temporary name that others can find
_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{8}")


@contextlib.contextmanager
def atomic_write(path: AnyPath, flush: bool = True) -> Iterator[Path]:
    """Give a temporary path to write to; put it in the place of `path` only once all is on disk.

    The temporary file is locked while it is written. A killed process leaves its own behind, without the lock: whoever
    writes `path` next removes it. Where there are no locks (Windows, some network disks) it stays.

    Args:
        path: str or `Path`; folders above it are made.
        flush: bool, False for many small files that can be made again: they need not be on disk before the next one.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with atomic_write(folder / "note.txt") as temporary:
        ...     _ = temporary.write_text("done")
        >>> (folder / "note.txt").read_text()
        'done'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, descriptor = _open_temporary(path)
    try:
        with os.fdopen(descriptor, "rb") as held:
            yield temporary
            if flush:
                os.fsync(descriptor)
            if fcntl is None:
                held.close()  # Windows does not rename an open file
            os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):  # else the next write of this file removes it
            temporary.unlink(missing_ok=True)
        raise


def _open_temporary(path: Path) -> tuple[Path, int]:
    """A new temporary file beside `path`, locked, and its descriptor; removes those that killed processes left."""
    names = [_temporary_name(path.name, f"{slot:08x}") for slot in range(SLOTS)]
    if fcntl is not None:
        for name in names:
            _remove_unlocked(path.with_name(name))
    for name in (*names, *(_temporary_name(path.name, secrets.token_hex(4)) for _ in names)):
        temporary = path.with_name(name)
        with contextlib.suppress(FileExistsError):
            # As open() would make it: tempfile's files are for their owner alone.
            descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
            if fcntl is None or _lock(descriptor, temporary):
                return temporary, descriptor
            os.close(descriptor)
    raise FileExistsError(errno.EEXIST, "all temporary names are taken", str(path))


def _temporary_name(name: str, mark: str) -> str:
    """`.NAME.<8 hexadecimal digits>`, with a hash of a name for which this would be too long."""
    found, length = f".{name}.{mark}", len(os.fsencode(name))
    is_short = len(os.fsencode(found)) <= MAX_NAME or length > MAX_NAME  # which is refused now, not after the work
    return found if is_short else f".{_hash(os.fsencode(name))}.{mark}"


def _lock(descriptor: int, path: Path) -> bool:
    """Lock a new file; False where another process took it for a killed one's and removed it before."""
    with contextlib.suppress(OSError):  # a file system without locks: nobody removes it then
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return _is_at(path, descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def _remove_unlocked(path: Path) -> None:
    """Remove a temporary file unless a process holds its lock."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # most often there is none
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(path, descriptor):
            path.unlink()
    except OSError:  # another process writes it, or it is another user's
        return
    finally:
        os.close(descriptor)


def remove_left_over(folder: AnyPath) -> None:
    """Remove the temporary files of killed processes from a folder, for files that may never be written again.

    Those that another process writes at this moment stay, and all where there are no locks.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / ".note.txt.00000000").touch()
        >>> remove_left_over(folder)
        >>> list(folder.iterdir())
        []
    """
    if fcntl is not None:
        for path in filter(is_temporary, Path(folder).glob(".*")):
            _remove_unlocked(path)


def is_temporary(path: Path) -> bool:
    """Whether a path is one of those that `atomic_write` gives.

    Example:
        >>> is_temporary(Path("data/.index.json.00000000")), is_temporary(Path("index.json"))
        (True, False)
    """
    return _TEMPORARY.fullmatch(path.name) is not None


def write_text(path: AnyPath, text: str) -> None:
    """Write `text` (str) as UTF-8 to `path`, whole or not at all.

    What UTF-8 cannot hold, such as the bytes of a file name in Latin-1, becomes a backslash and a number, which in a
    JSON file reads back as it was: a strange name must not cost the work that is being written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.txt"
        >>> write_text(path, "a man on a horse")
        >>> path.read_text(encoding="utf-8")
        'a man on a horse'
    """
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def write_json(path: AnyPath, value: Any, indent: int = 1) -> None:
    """Write a JSON-serialisable `value` to `path`, whole or not at all.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.json"
        >>> write_json(path, {"bleu": 0.25})
        >>> read_json(path)
        {'bleu': 0.25}
    """
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False) + "\n")


def read_json(path: AnyPath) -> Any:
    """Read a JSON file."""
    try:
        return parse_json(Path(path).read_text(encoding="utf-8-sig"))  # -sig: editors on Windows add a mark
    except ValueError as error:  # no UTF-8, no JSON, or a number of 4,300 digits
        raise InputError(f"{path} is not valid JSON ({error}); give a JSON file in UTF-8") from error


def write_parts(path: AnyPath, most: int = MAX_PART) -> list[Path]:
    """Cut a file into parts beside it, `NAME.<hash>.1of2` and so on, for places that take small files only.

    Args:
        path: str or `Path`; the file stays.
        most: int, bytes of a part at most.

    Returns:
        list of `Path`. The parts one after the other are the file.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.txt"
        >>> write_text(path, "a dog")
        >>> parts = write_parts(path, most=3)
        >>> [part.name.rpartition(".")[2] for part in parts]
        ['1of2', '2of2']
        >>> join_parts(parts[0], path.with_name("b.txt")).read_text()
        'a dog'
    """
    content = Path(path).read_bytes()
    number = max(1, -(-len(content) // most))
    parts = [Path(f"{path}.{_hash(content)}.{part}of{number}") for part in range(1, number + 1)]
    for index, part in enumerate(parts):
        with atomic_write(part) as temporary:
            temporary.write_bytes(content[index * most : (index + 1) * most])
    return parts


def join_parts(part: AnyPath, path: AnyPath) -> Path:
    """Put together a file of which `write_parts` made parts.

    Args:
        part: str or `Path`, any of the parts; the others lie beside it.
        path: str or `Path` of the file to write.

    Returns:
        `Path` of the file.

    Raises:
        InputError: where a part is missing, or they are not the file that was cut.
    """
    part = Path(part)
    found = re.fullmatch(r"(.+\.)([0-9a-f]{16})\.[0-9]{1,4}of([0-9]{1,4})", part.name)
    if not found:
        raise InputError(f"{part} is no part of a file; give one such as model.h5.0123456789abcdef.1of3")
    parts = [part.with_name(f"{found[1]}{found[2]}.{number + 1}of{found[3]}") for number in range(int(found[3]))]
    missing = [each.name for each in parts if not each.is_file()]
    if missing:
        raise InputError(f"{missing[0]} is missing; put all {len(parts)} parts into one folder")
    content = b"".join(each.read_bytes() for each in parts)
    if _hash(content) != found[2]:
        raise InputError(f"the parts of {found[1][:-1]} are damaged: together they have another hash; copy them again")
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
    return Path(path)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def check_writable(path: AnyPath) -> None:
    """Raise `InputError` if `path` cannot be written; nothing is made, not even its folder."""
    path = Path(path)
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder; give the name of a file")
        existing = next(folder for folder in (path.parent, *path.parent.parents) if folder.exists())
        with tempfile.TemporaryFile(dir=existing), contextlib.suppress(FileNotFoundError):
            os.lstat(existing / path.name)  # names that are too long
    except OSError as error:
        raise InputError(f"cannot write to {path.parent} ({error.strerror}); give another place") from error


def short_name(name: str, most: int = 64) -> str:
    """A name as part of a file's name: of a long one only the beginning, and a hash.

    Example:
        >>> short_name("flickr8k"), len(short_name("flickr8k" * 30))
        ('flickr8k', 64)
    """
    content = os.fsencode(name)
    return name if len(content) <= most else f"{content[: most - 17].decode('utf-8', 'ignore')}-{_hash(content)}"


def cache_folder() -> Path:
    """The folder for what can be had again: `$XDG_CACHE_HOME/captioning_utils`, by default in `~/.cache`."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home).expanduser() / "captioning_utils"


def path_text(path: AnyPath) -> str:
    """A path as text that every file and terminal takes: on Linux a name can be any bytes.

    Example:
        >>> path_text(Path("a.jpg"))
        'a.jpg'
    """
    return os.fsencode(path).decode("utf-8", "replace")
