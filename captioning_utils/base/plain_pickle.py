"""Reading pickles of plain values and a float16 array, without Python's unpickler.

Python's own can be asked for any memory before a name is looked up: a file of nine bytes makes it take gigabytes for
its memo, and values that hold one another several times grow without end as soon as they are printed or compared. This
reader knows the few opcodes that `pickle.dump` writes for the values that a feature cache has, and takes no more memory
than some times the file's size. Opcodes: Lib/pickletools.py, protocols 3 and 4 (PEP 3154).
"""

from __future__ import annotations

import math
import pickle
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray

from captioning_utils.base.errors import InputError

MAX_OPCODES = 4_000_000  # four for a photo
MAX_DIMENSIONS = 8
_NAME_BYTES = 200  # of a module or a name
_SMALL = 1000  # bytes
_NESTED = "it holds values inside one another as no feature cache does"
_SCALARS = (str, int, float, bool, type(None))
_NAMES = {  # all that a file may name, and what it stands for; nothing is looked up
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("numpy.core.multiarray", "_reconstruct"): "array",  # numpy 1
    ("numpy._core.multiarray", "_reconstruct"): "array",  # numpy 2
}


class PickledArray:
    """A numpy array in a pickle: no numpy code meets what a stranger put there before it is checked.

    Attributes:
        array: float16 array, read-only; None where the pickle gave it no content.
    """

    array: NDArray[np.float16] | None = None

    def fill(self, state: Any) -> None:
        """Take up the state that numpy's arrays are pickled with: (version, shape, dtype, is_fortran, data)."""
        _, shape, dtype, is_fortran, data = state
        if not isinstance(dtype, _Dtype) or is_fortran or not isinstance(data, bytes | memoryview):
            raise ValueError("its array is not a plain float16 array")
        if not is_shape(shape) or len(data) != 2 * math.prod(shape):
            raise ValueError("its array is not a plain float16 array: its shape is not that of its data")
        self.array = np.frombuffer(data, "<f2").reshape(shape)


class _Dtype:
    """Stands for float16, the only dtype that comes through."""


class _Name(NamedTuple):
    """Stands for one of `_NAMES`."""

    known: str


_MARK = object()  # stands on the stack where the items of a list, dict or tuple begin


def _is_flat(items: tuple[Any, ...]) -> bool:
    return len(items) <= MAX_DIMENSIONS and all(isinstance(item, _SCALARS) for item in items)


def is_shape(shape: object) -> TypeGuard[Sequence[int]]:
    """Whether a stranger's value can be an array's shape: a list or tuple of few whole numbers, none negative.

    Example:
        >>> is_shape((49, 512)), is_shape((10**5000,)), is_shape([2.0])
        (True, False, False)
    """
    return (
        isinstance(shape, list | tuple)
        and len(shape) <= MAX_DIMENSIONS
        and all(type(size) is int and 0 <= size < 2**31 for size in shape)
    )


def read_plain_pickle(content: bytes) -> Any:
    """The value of a pickle of plain values.

    Args:
        content: bytes of the file, of protocol 3 or 4.

    Returns:
        A value of text, numbers, booleans and None, lists and tuples of them, dicts of text to them, `PickledArray`,
        or a dict of text to all of these.

    Raises:
        InputError: where it asks to run code.
        ValueError: for anything else; of damaged files also `IndexError` and `TypeError`.

    Example:
        >>> read_plain_pickle(pickle.dumps({"words": ["a", "dog"], "size": 2}))
        {'words': ['a', 'dog'], 'size': 2}
    """
    return _Reader(content).read()


class _Reader:
    """The machine that a pickle is a program for, of few opcodes: a stack of values, and a memo of those used again."""

    def __init__(self, content: bytes) -> None:
        self.content = memoryview(content)
        self.position = 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.root: dict[str, Any] | None = None  # the first dict, the only one that holds other containers

    def read(self) -> Any:
        for _ in range(MAX_OPCODES):
            opcode = self.content[self.position : self.position + 1].tobytes()
            self.position += 1
            if opcode == pickle.STOP:
                return self.stack.pop()
            if opcode not in _OPCODES:
                raise ValueError(f"it holds the opcode {opcode!r}, which no feature cache has")
            _OPCODES[opcode](self)
        raise ValueError(f"it holds more than {MAX_OPCODES:,} opcodes, which no feature cache has")

    def take(self, size: int) -> memoryview:
        """The next bytes."""
        part = self.content[self.position : self.position + size]
        if len(part) != size:
            raise ValueError(f"it ends where {size:,} more bytes are announced")
        self.position += size
        return part

    def take_data(self, size: int) -> bytes | memoryview:
        """The next bytes; many of them are not copied."""
        return self.take(size) if size > _SMALL else self.take(size).tobytes()

    def take_number(self, size: int, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "little", signed=signed)

    def take_line(self) -> str:
        line, end, _ = self.content[self.position : self.position + _NAME_BYTES].tobytes().partition(b"\n")
        if not end:
            raise ValueError("it holds a name that is cut short or too long")
        self.position += len(line) + 1
        return line.decode("utf-8")

    def push_long(self) -> None:
        size = self.take_number(1)
        if size > 8:
            raise ValueError("it holds a whole number of more than 64 bits")
        self.stack.append(self.take_number(size, signed=True))

    def push_dict(self) -> None:
        self.stack.append({})
        self.root = self.stack[-1] if self.root is None else self.root

    def push_name(self, module: Any, name: Any) -> None:
        known = _NAMES.get((module, name)) if isinstance(module, str) and isinstance(name, str) else None
        if known is None:
            asked = f"{module!s:.80}.{name!s:.80}" if isinstance(name, str) else "something"
            raise InputError(f"it asks to run {asked!r:.80}; this is no feature cache, do not open it elsewhere")
        self.stack.append(_Name(known))

    def push_found(self, key: int) -> None:
        if key not in self.memo:
            raise ValueError("it uses a value that it has not defined")
        self.stack.append(self.memo[key])

    def pop_items(self) -> list[Any]:
        """The values above the last mark."""
        place = len(self.stack) - 1
        while self.stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise ValueError("it ends a list that it has not begun")
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return items

    def pop(self, number: int) -> list[Any]:
        if len(self.stack) < number:
            raise ValueError("it uses a value that it has not defined")
        items = self.stack[len(self.stack) - number :]
        del self.stack[len(self.stack) - number :]
        return items

    def push_tuple(self, items: list[Any]) -> None:
        for item in items:
            if isinstance(item, list | dict | PickledArray) or (isinstance(item, tuple) and not _is_flat(item)):
                raise ValueError(_NESTED)
        self.stack.append(tuple(items))

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list) or not all(isinstance(item, _SCALARS) for item in items):
            raise ValueError(_NESTED)
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        target, keys, values = self.stack[-1], items[::2], items[1::2]
        allowed = (*_SCALARS, list, tuple, dict, PickledArray) if target is self.root else _SCALARS
        plain = all(isinstance(value, allowed) and value is not self.root for value in values)
        if not isinstance(target, dict) or not plain or not all(isinstance(key, str) for key in keys):
            raise ValueError(_NESTED)
        target.update(zip(keys, values, strict=True))

    def call(self) -> None:
        """What a name and its arguments stand for; nothing is called."""
        name, arguments = self.pop(2)
        if name == _Name("array"):
            self.stack.append(PickledArray())
        elif name == _Name("dtype") and isinstance(arguments, tuple) and arguments[:1] == ("f2",):
            self.stack.append(_Dtype())
        elif name == _Name("dtype"):
            raise ValueError(f"its array is {arguments[0]!r:.40}, not float16")
        else:
            raise InputError("it asks to run something that is no name; do not open it elsewhere")

    def build(self) -> None:
        target, state = self.pop(2)
        if isinstance(target, PickledArray):
            target.fill(state)
        elif not isinstance(target, _Dtype) or state[1] != "<":
            raise ValueError("its array is not little-endian")
        self.stack.append(target)


_Action: TypeAlias = Callable[[_Reader], Any]


def _pushes(make: Callable[[_Reader], Any]) -> _Action:
    return lambda reader: reader.stack.append(make(reader))


def _text(size_bytes: int) -> _Action:
    return _pushes(lambda reader: str(reader.take(reader.take_number(size_bytes)), "utf-8", "surrogatepass"))


def _data(size_bytes: int) -> _Action:
    return _pushes(lambda reader: reader.take_data(reader.take_number(size_bytes)))


def _memoize(make_key: Callable[[_Reader], int]) -> _Action:
    def memoize(reader: _Reader) -> None:
        reader.memo[make_key(reader)] = reader.stack[-1]

    return memoize


_OPCODES: dict[bytes, _Action] = {
    pickle.PROTO: lambda reader: reader.take(1),
    pickle.FRAME: lambda reader: reader.take(8),
    pickle.NONE: _pushes(lambda reader: None),
    pickle.NEWTRUE: _pushes(lambda reader: True),
    pickle.NEWFALSE: _pushes(lambda reader: False),
    pickle.BININT1: _pushes(lambda reader: reader.take_number(1)),
    pickle.BININT2: _pushes(lambda reader: reader.take_number(2)),
    pickle.BININT: _pushes(lambda reader: reader.take_number(4, signed=True)),
    pickle.LONG1: _Reader.push_long,
    pickle.BINFLOAT: _pushes(lambda reader: struct.unpack(">d", reader.take(8))[0]),
    pickle.SHORT_BINUNICODE: _text(1),
    pickle.BINUNICODE: _text(4),
    pickle.SHORT_BINBYTES: _data(1),
    pickle.BINBYTES: _data(4),
    pickle.BINBYTES8: _data(8),
    pickle.EMPTY_LIST: _pushes(lambda reader: []),
    pickle.EMPTY_DICT: _Reader.push_dict,
    pickle.EMPTY_TUPLE: _pushes(lambda reader: ()),
    pickle.MARK: _pushes(lambda reader: _MARK),
    pickle.TUPLE: lambda reader: reader.push_tuple(reader.pop_items()),
    pickle.TUPLE1: lambda reader: reader.push_tuple(reader.pop(1)),
    pickle.TUPLE2: lambda reader: reader.push_tuple(reader.pop(2)),
    pickle.TUPLE3: lambda reader: reader.push_tuple(reader.pop(3)),
    pickle.APPEND: lambda reader: reader.append(reader.pop(1)),
    pickle.APPENDS: lambda reader: reader.append(reader.pop_items()),
    pickle.SETITEM: lambda reader: reader.set_items(reader.pop(2)),
    pickle.SETITEMS: lambda reader: reader.set_items(reader.pop_items()),
    pickle.BINGET: lambda reader: reader.push_found(reader.take_number(1)),
    pickle.LONG_BINGET: lambda reader: reader.push_found(reader.take_number(4)),
    pickle.BINPUT: _memoize(lambda reader: reader.take_number(1)),
    pickle.LONG_BINPUT: _memoize(lambda reader: reader.take_number(4)),
    pickle.MEMOIZE: _memoize(lambda reader: len(reader.memo)),
    pickle.GLOBAL: lambda reader: reader.push_name(reader.take_line(), reader.take_line()),
    pickle.STACK_GLOBAL: lambda reader: reader.push_name(*reader.pop(2)),
    pickle.REDUCE: _Reader.call,
    pickle.BUILD: _Reader.build,
}
