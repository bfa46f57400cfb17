"""Reading HDF5 files of plain arrays, without the HDF5 library.

The library is written for files that one trusts: a captioner file with a few bytes changed makes it crash the process
or run for ever. This reader knows the part of the format that h5py writes by default for groups, contiguous arrays of
numbers, and attributes of text and whole numbers. Each place in the file is checked before it is read, arrays are views
of the content, and anything else, such as links, filters, chunks or virtual and external data, is refused.

Format: HDF5 File Format Specification 3.0, superblock version 0, object headers and B-trees of version 1
(https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from captioning_utils.base.errors import InputError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_STEPS = 100_000  # messages and nodes of trees in a file: far more than any decoder with its optimizer has
MAX_DEPTH = 8  # of groups in groups, and the axes of an array
MAX_NAME = 1_000  # bytes
_SPACE, _TYPE, _LAYOUT, _ATTRIBUTE, _CONTINUATION, _TABLE = 1, 3, 8, 12, 16, 17  # kinds of messages
_LINKS = (2, 6)  # of groups of a newer format, which can hold links to other files
_OF_ARRAYS = (_SPACE, _TYPE, _LAYOUT, _ATTRIBUTE, _CONTINUATION, 0, 4, 5, 10, 18)  # also padding, fill values, times
_SHARED = 2  # the flag of a message that lies elsewhere
_SOFT_LINK = 2  # the kind of a group's entry
# How h5py describes the numbers of each dtype: class and version, bits, size, and where in these bytes the bits lie.
_DTYPES = {
    bytes((0x10, 8 * (kind == "i"), 0, 0, size, 0, 0, 0, 0, 0, 8 * size, 0)): f"<{kind}{size}"
    for kind in "iu"
    for size in (1, 2, 4, 8)
} | {
    bytes.fromhex("11200f0002000000000010000a05000a0f000000"): "<f2",
    bytes.fromhex("11201f000400000000002000170800177f000000"): "<f4",
    bytes.fromhex("11203f000800000000004000340b0034ff030000"): "<f8",
}
_TEXT = b"\x19\x01\x01\x00"  # the beginning of the description of text in UTF-8 of any length

Path = tuple[str, ...]
Message = tuple[int, memoryview]  # its kind and its content


class PlainFile(NamedTuple):
    """What is in a file of plain arrays."""

    attributes: dict[str, str | int | None]  # of the whole file; None for one that is neither text nor a whole number
    arrays: dict[Path, NDArray[Any]]  # by their path, views of the content


def read_plain_hdf5(content: bytes) -> PlainFile:
    """The attributes and arrays of an HDF5 file of plain arrays.

    Raises:
        InputError: where it holds what h5py does not write for plain arrays; the message has its name.
        ValueError: where it is damaged or no HDF5 file.

    Example:
        >>> import io, h5py
        >>> with h5py.File(file := io.BytesIO(), "w") as opened:
        ...     opened.attrs["kind"], opened["layer/bias"] = "demo", np.zeros(3, "float32")
        >>> read_plain_hdf5(file.getvalue())
        PlainFile(attributes={'kind': 'demo'}, arrays={('layer', 'bias'): array([0., 0., 0.], dtype=float32)})
    """
    file = _File(content)
    root = file.read_messages(file.find_root())
    attributes = dict(file.read_attribute(data) for kind, data in root if kind == _ATTRIBUTE)
    arrays: dict[Path, NDArray[Any]] = {}
    groups: list[tuple[Path, list[Message]]] = [((), root)]
    while groups:
        path, messages = groups.pop()
        for name, address in file.list_group(path, messages):
            inside, place = file.read_messages(address), (*path, name)
            if len(place) > MAX_DEPTH:
                raise InputError("it holds a link that leads round in circles; give a file that this package wrote")
            if any(kind in (_TABLE, *_LINKS) for kind, _ in inside):
                groups.append((place, inside))
            else:
                arrays[place] = file.read_array(place, inside)
    if sum(array.nbytes for array in arrays.values()) > len(content):
        raise ValueError("it claims more data than it holds")
    return PlainFile(attributes, arrays)


class _File:
    """The content, of which no byte is read before its place is checked."""

    def __init__(self, content: bytes) -> None:
        self.content = memoryview(content)
        self.steps = 0  # messages and nodes of trees, read so far

    def take(self, start: int, size: int) -> memoryview:
        part = self.content[start : start + size]
        if len(part) != size:
            raise ValueError(f"{size:,} bytes are announced at {start:,}, where it has ended")
        return part

    def count_step(self) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise InputError(f"it holds more than {MAX_STEPS:,} parts; give a file that this package wrote")

    def check(self, start: int, wanted: bytes, reason: str) -> None:
        if self.take(start, len(wanted)).tobytes() != wanted:
            raise ValueError(reason)

    def number(self, start: int, size: int = 8) -> int:
        return int.from_bytes(self.take(start, size), "little")

    def find_root(self) -> int:
        """The address of the root group's header, from the superblock."""
        self.check(0, SIGNATURE, "it does not begin as HDF5 files do")
        self.check(8, bytes((0, 0, 0, 0, 0, 8, 8, 0)), "it is not as h5py writes it by default")
        self.check(24, bytes(8), "it is not as h5py writes it by default")
        if self.number(40) > len(self.content):
            raise ValueError(f"it has {len(self.content):,} of {self.number(40):,} bytes")
        return self.number(64)

    def read_messages(self, address: int) -> list[Message]:
        """The messages in an object's header."""
        self.check(address, b"\1", "an object has no header of version 1")
        count, blocks = self.number(address + 2, 2), [(address + 16, self.number(address + 8, 4))]
        messages: list[Message] = []
        while blocks and len(messages) < count:
            start, size = blocks.pop(0)
            end = start + size
            while start + 8 <= end and len(messages) < count:
                self.count_step()
                kind, length, flags = self.number(start, 2), self.number(start + 2, 2), self.number(start + 4, 1)
                data = self.take(start + 8, length)
                if flags & _SHARED:
                    raise ValueError("a message lies elsewhere")
                if kind == _CONTINUATION:
                    blocks.append((_number(data, 0), _number(data, 8)))
                messages.append((kind, data))
                start += 8 + length
        if len(messages) != count:
            raise ValueError(f"an object has {len(messages)} of {count} messages")
        return messages

    def list_group(self, path: Path, messages: list[Message]) -> Iterator[tuple[str, int]]:
        """Name and address of each member of a group."""
        table = [data for kind, data in messages if kind == _TABLE]
        if len(table) != 1:
            raise InputError(
                f"{'/'.join(path)!r:.80} holds links or is of a newer format; give a file that this package wrote"
            )
        tree, heap = _number(table[0], 0), _number(table[0], 8)
        self.check(heap, b"HEAP", "a group has no names")
        names = self.take(self.number(heap + 24), self.number(heap + 8))
        for leaf in self._list_leaves(tree):
            for entry in range(leaf + 8, leaf + 8 + 40 * self.number(leaf + 6, 2), 40):
                name = _name(names, self.number(entry))
                if self.number(entry + 16, 4) == _SOFT_LINK:
                    raise InputError(f"it holds a link ({name!r:.80}); give a file that this package wrote")
                self.count_step()
                yield name, self.number(entry + 8)

    def _list_leaves(self, address: int, level: int | None = None) -> Iterator[int]:
        """The addresses of a group's lists of members, from the tree that holds them."""
        self.count_step()
        self.check(address, b"TREE\0", "the tree of a group's members is damaged")
        found = self.number(address + 5, 1)
        if level not in (None, found):
            raise ValueError("the tree of a group's members is damaged")
        for index in range(self.number(address + 6, 2)):
            child = self.number(address + 32 + 16 * index)
            if found:
                yield from self._list_leaves(child, found - 1)
            else:
                self.check(child, b"SNOD", "the tree of a group's members is damaged")
                yield child

    def read_array(self, path: Path, messages: list[Message]) -> NDArray[Any]:
        """An array of numbers that lies in one piece."""
        content = dict(messages)
        dtype, shape = _read_dtype(content.get(_TYPE)), _read_shape(content.get(_SPACE))
        layout = content.get(_LAYOUT, memoryview(b""))
        unknown = [kind for kind, _ in messages if kind not in _OF_ARRAYS]
        if dtype is None or shape is None or unknown or layout[:2].tobytes() != b"\3\1":
            raise InputError(
                f"{'/'.join(path)!r:.80} is not a plain array of numbers; give a file that this package wrote"
            )
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if size != _number(layout, 10):
            raise ValueError(f"{'/'.join(path)!r:.80} has another size than its shape")
        data = self.take(_number(layout, 2), size) if size else b""
        return np.frombuffer(data, dtype).reshape(shape)

    def read_attribute(self, data: memoryview) -> tuple[str, str | int | None]:
        """Name and value of an attribute of one value."""
        sizes = [_number(data, place, 2) for place in (2, 4, 6)]
        starts = [8 + sum(-(-size // 8) * 8 for size in sizes[:index]) for index in range(4)]
        name = bytes(data[8 : 8 + sizes[0]]).split(b"\0")[0].decode("utf-8", "replace")
        kind, value = data[starts[1] : starts[1] + sizes[1]], data[starts[3] :]
        dtype = _read_dtype(kind)
        if _number(data, 0, 1) != 1 or _read_shape(data[starts[2] : starts[2] + sizes[2]]) != ():
            return name, None
        if kind[:4].tobytes() == _TEXT:
            return name, self._find_text(_number(value, 4), _number(value, 12, 4))
        is_whole = dtype is not None and dtype[1] in "iu"
        return name, int(np.frombuffer(value, dtype, count=1)[0]) if is_whole else None

    def _find_text(self, address: int, wanted: int) -> str:
        """A text in a collection of values of any length."""
        self.check(address, b"GCOL", "an attribute has no text")
        start, end = address + 16, address + self.number(address + 8)
        while start + 16 <= end:
            self.count_step()
            index, size = self.number(start, 2), self.number(start + 8)
            if index == wanted and index and size <= MAX_NAME:
                return str(self.take(start + 16, size), "utf-8")
            start += 16 + -(-size // 8) * 8
        raise ValueError("an attribute has no text")


def _number(data: memoryview, start: int, size: int = 8) -> int:
    if start + size > len(data):
        raise ValueError("a message is too short")
    return int.from_bytes(data[start : start + size], "little")


def _name(names: memoryview, start: int) -> str:
    name, end, _ = bytes(names[start : start + MAX_NAME]).partition(b"\0")
    if not end:
        raise ValueError("a name has no end")
    return name.decode("utf-8")


def _read_dtype(data: memoryview | None) -> str | None:
    """The dtype that a message describes, None where it is no plain number."""
    return None if data is None else _DTYPES.get(bytes(data[:20]), _DTYPES.get(bytes(data[:12])))


def _read_shape(data: memoryview | None) -> Sequence[int] | None:
    """The shape that a message describes, None where it is another space than that of an array."""
    if data is None or _number(data, 0, 1) != 1 or (rank := _number(data, 1, 1)) > MAX_DEPTH:
        return None
    return tuple(_number(data, 8 + 8 * axis) for axis in range(rank))
