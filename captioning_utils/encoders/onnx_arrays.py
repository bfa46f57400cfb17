"""Float arrays out of an ONNX file, read without the `onnx` package and without trust.

An ONNX file is one protobuf message, a sequence of fields: a varint key, `field number << 3 | wire type`, then a
varint (wire type 0), 8 bytes (1), a varint length and as many bytes (2), or 4 bytes (5). Of the fields in onnx.proto
these are read:

- `ModelProto`: 7 `graph`
- `GraphProto`: 5 `initializer`, repeated
- `TensorProto`: 1 `dims`, repeated, packed or not; 2 `data_type`, 1 for float32; 8 `name`; 9 `raw_data`, little-endian
"""

import math
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from captioning_utils.base.errors import InputError

Field: TypeAlias = tuple[int, int | memoryview]
"""Field number and value: an int of wire type 0, the bytes of any other."""
_VARINT_BYTES = 10  # 64 bits, 7 a byte
_FIXED_BYTES = {1: 8, 5: 4}  # by wire type
_FLOAT = 1
_AGAIN = "download it again"
_MAX_DIMS = 32  # NumPy 1's limit


def read_onnx_arrays(content: bytes) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Read the float32 initializers of an ONNX model that are stored as raw data; others are passed over.

    Args:
        content: bytes of the file.

    Yields:
        Name and array, float32, read-only, a view of `content`.

    Raises:
        InputError: where the bytes are no well-formed message, or a tensor's shape does not fit its data.

    Example:
        >>> tensor = b"\\x08\\x02\\x10\\x01\\x42\\x01w\\x4a\\x08" + np.array([1, 2], "<f4").tobytes()
        >>> graph = b"\\x2a" + bytes([len(tensor)]) + tensor
        >>> dict(read_onnx_arrays(b"\\x3a" + bytes([len(graph)]) + graph))
        {'w': array([1., 2.], dtype=float32)}
    """
    for graph in _messages(memoryview(content), 7):
        for tensor in _messages(graph, 5):
            fields = list(_fields(tensor))
            raw = [value for number, value in fields if number == 9]
            if (2, _FLOAT) in fields and len(raw) == 1 and isinstance(raw[0], memoryview):
                name = b"".join(value for number, value in fields if number == 8 and isinstance(value, memoryview))
                yield _to_array(name.decode(errors="replace"), list(_dims(fields)), raw[0])


def _to_array(name: str, dims: list[int], raw: memoryview) -> tuple[str, NDArray[np.float32]]:
    """A tensor's array, where `dims` and `raw` agree."""
    if len(dims) > _MAX_DIMS or any(dim >= 2**63 for dim in dims) or 4 * math.prod(dims) != len(raw):
        raise InputError(
            f"the ONNX file's array {name!r:.80} has {len(raw)} bytes, not those of its shape {dims!s:.80}; {_AGAIN}"
        )
    return name, np.frombuffer(raw, "<f4").reshape(dims)


def _messages(message: memoryview, wanted: int) -> Iterator[memoryview]:
    """The messages in the fields that bear the number `wanted`."""
    return (value for number, value in _fields(message) if number == wanted and isinstance(value, memoryview))


def _dims(fields: list[Field]) -> Iterator[int]:
    """A tensor's dimensions, one a field or several packed into one."""
    for number, value in fields:
        if number == 1 and isinstance(value, int):
            yield value
        elif number == 1 and isinstance(value, memoryview):
            position = 0
            while position < len(value):
                dim, position = _varint(value, position)
                yield dim


def _fields(message: memoryview) -> Iterator[Field]:
    """A message's fields in their order."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == 0:
            value, position = _varint(message, position)
            yield number, value
            continue
        if wire_type == 2:
            size, position = _varint(message, position)
        elif wire_type in _FIXED_BYTES:
            size = _FIXED_BYTES[wire_type]
        else:
            raise InputError(f"the ONNX file has a field of wire type {wire_type}; {_AGAIN}")
        if size > len(message) - position:
            raise InputError(
                f"the ONNX file has a field of {size} bytes where {len(message) - position} are left; {_AGAIN}"
            )
        yield number, message[position : position + size]
        position += size


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """The integer at `position`, in `[0, 2**64)`, and the position after it."""
    value = 0
    for index, byte in enumerate(message[position : position + _VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80 and value < 2**64:
            return value, position + index + 1
    raise InputError(f"the ONNX file has a number that is cut off or longer than 64 bits; {_AGAIN}")
