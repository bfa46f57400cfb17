"""The reader of ONNX's wire format: the arrays that `onnx` itself writes, and hostile bytes."""

import numpy as np
import pytest

from captioning_utils import InputError
from captioning_utils.encoders.onnx_arrays import read_onnx_arrays

FLOATS = np.arange(6, dtype="<f4").reshape(2, 3)
RAW = FLOATS.tobytes()


def varint(value):
    more = [value >> shift & 0x7F | 0x80 for shift in range(0, max(1, value.bit_length()), 7)]
    return bytes([*more[:-1], more[-1] & 0x7F])


def number_field(number, value):
    return varint(number << 3) + varint(value)


def bytes_field(number, value):
    return varint(number << 3 | 2) + varint(len(value)) + value


def model(tensor):
    """A model with one initializer."""
    return bytes_field(7, bytes_field(5, tensor))


def tensor(dims=(2, 3), data_type=1, raw=RAW, name=b"w"):
    fields = [number_field(1, dim) for dim in dims]
    return b"".join([*fields, number_field(2, data_type), bytes_field(8, name), bytes_field(9, raw)])


def test_what_onnx_writes_is_read():
    onnx = pytest.importorskip("onnx")
    arrays = {
        "kernel": np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32),
        "bias": np.zeros(200, np.float32),
        "scalar": np.float32(3.5).reshape(()),
        "empty": np.zeros((0, 7), np.float32),
    }
    initializers = [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()]
    initializers.append(onnx.numpy_helper.from_array(np.arange(3), "integers"))
    initializers.append(onnx.helper.make_tensor("not raw", onnx.TensorProto.FLOAT, [1], [2.5]))
    node = onnx.helper.make_node("Relu", ["kernel"], ["out"], name="a node")
    graph = onnx.helper.make_graph([node], "toy", [], [], initializers, doc_string="text")
    found = dict(read_onnx_arrays(onnx.helper.make_model(graph, producer_name="test").SerializeToString()))
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], array, strict=True)


def test_packed_dims_and_unknown_fields_are_read():
    packed = bytes_field(1, b"\x02\x03") + tensor(dims=())
    extra = number_field(99, 2**64 - 1) + varint(98 << 3 | 1) + bytes(8) + varint(97 << 3 | 5) + bytes(4)
    ((name, array),) = read_onnx_arrays(extra + model(extra + packed))
    assert name == "w"
    np.testing.assert_array_equal(array, FLOATS)


@pytest.mark.parametrize("content", [b"", model(tensor(data_type=7)), model(b""), number_field(7, 5)])
def test_files_without_float_arrays_give_none(content):
    assert list(read_onnx_arrays(content)) == []


def test_a_file_cut_anywhere_is_refused():
    content = model(tensor())
    for size in range(1, len(content)):
        with pytest.raises(InputError, match="the ONNX file has a"):
            list(read_onnx_arrays(content[:size]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff" * 11, "longer than 64 bits"),
        (b"\x80" * 1_000_000, "longer than 64 bits"),
        (b"\x38" + b"\xff" * 9 + b"\x02", "longer than 64 bits"),
        (model(b"\x80" * 20), "longer than 64 bits"),
        (bytes_field(7, varint(5 << 3 | 2) + varint(2**64 - 1)), "18446744073709551615 bytes where 0 are left"),
        (varint(7 << 3 | 2) + varint(2**40) + bytes(8), "1099511627776 bytes where 8 are left"),
        (varint(1 << 3 | 1) + bytes(7), "8 bytes where 7 are left"),
        (varint(1 << 3 | 3), "wire type 3"),
        (varint(1 << 3 | 7), "wire type 7"),
        (model(tensor(dims=(2, 4))), r"'w' has 24 bytes, not those of its shape \[2, 4\]"),
        (model(tensor(dims=())), "has 24 bytes"),
        (model(tensor(raw=bytes(23))), "has 23 bytes"),
        (model(tensor(dims=(2**32, 2**32), raw=b"")), "has 0 bytes"),  # 2**64, which is 0 in 64 bits
        (model(tensor(dims=(2**63, 0), raw=b"")), "has 0 bytes"),  # a negative dimension
        (model(tensor(dims=(1,) * 100 + (6,))), "has 24 bytes"),
    ],
)
def test_hostile_bytes_are_refused(content, message):
    with pytest.raises(InputError, match=message):
        list(read_onnx_arrays(content))


def test_noise_is_refused_or_holds_nothing():
    generator = np.random.default_rng(0)
    good = model(tensor())
    for _ in range(2000):
        noisy = bytearray(good)
        for position in generator.integers(len(good), size=3):
            noisy[position] = generator.integers(256)
        try:
            for _, array in read_onnx_arrays(bytes(noisy)):
                assert array.nbytes <= len(good)
        except InputError:
            pass
