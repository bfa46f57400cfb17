import numpy as np
import pytest

from captioning_utils import InputError
from captioning_utils.base.quantization import dequantize, quantize, quantize_exactly


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    channels = np.float32([1e-40, 1e-3, 0, 1, 1e3])
    kernels = {
        "kernel": rng.normal(size=(3, 3, 8, 5)) * channels,
        "dense": rng.normal(size=(7, 5)) * channels,
        "depthwise": rng.normal(size=(3, 3, 5, 1)) * channels[:, None],
        "column": rng.normal(size=(9, 1)),
        "empty": np.zeros((0, 5)),
        "bias": rng.normal(size=5),
    }
    return {name: array.astype(np.float32) for name, array in kernels.items()}


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_rounding_again_changes_nothing(arrays, bits):
    stored = quantize(arrays, bits)
    once = dequantize(stored)
    again = quantize(once, bits)
    assert again.keys() == stored.keys()
    for name, array in again.items():
        np.testing.assert_array_equal(array, stored[name])
    for name, array in dequantize(again).items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, once[name])


def test_rounding_to_8_bits_stays_within_half_a_step_of_each_channel(arrays):
    back = dequantize(quantize(arrays, 8))
    for name, axes in (("kernel", (0, 1, 2)), ("dense", 0), ("depthwise", (0, 1)), ("column", 0)):
        step = np.abs(arrays[name]).max(axis=axes) / 127
        assert (np.abs(back[name] - arrays[name]) <= 0.501 * step + 1e-30).all(), name
    assert np.array_equal(back["bias"], arrays["bias"].astype("float16").astype("float32"))


def test_numbers_too_large_for_16_bits_keep_32():
    assert quantize_exactly({"bias": np.float32([1e6, 0.1])})["bias"].dtype == "float32"


def test_8_bits_take_a_quarter(arrays):
    arrays = {"kernel": np.tile(arrays["kernel"], (1, 1, 8, 1))}
    size = sum(array.nbytes for array in quantize(arrays, 8).values())
    assert size == arrays["kernel"].nbytes / 4 + 5 * 4


@pytest.mark.parametrize(("bits", "dtype"), [(8, "int8"), (16, "float16"), (32, "float32")])
def test_the_fewest_bits_that_give_the_arrays_back_exactly(arrays, bits, dtype):
    rounded = dequantize(quantize(arrays, bits))
    stored = quantize_exactly(rounded)
    assert stored["kernel"].dtype == dtype
    for name, array in dequantize(stored).items():
        np.testing.assert_array_equal(array, rounded[name])


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_numbers_that_cannot_be_stored_are_refused(value):
    with pytest.raises(InputError, match="'bias' holds numbers that are not finite or too large"):
        quantize({"bias": np.float32([0, value])}, 8)
    if not np.isfinite(value):
        with pytest.raises(InputError, match="'kernel' holds numbers"):
            quantize({"kernel": np.full((2, 2), value, np.float32)}, 8)
    with pytest.raises(InputError, match="bits is 4"):
        quantize({}, 4)


GOOD = {"kernel": np.ones((3, 2), np.int8), "kernel scale": np.ones(2, np.float32)}


@pytest.mark.parametrize(
    "change",
    [
        {"kernel scale": None},
        {"kernel": np.ones((3, 2), np.float16)},
        {"kernel": np.full((3, 2), -128, np.int8)},
        {"kernel": np.ones(2, np.int8)},
        {"kernel": np.ones((3, 2), np.int16)},
        {"kernel": np.ones((3, 2), np.int64)},
        {"kernel scale": np.ones(3, np.float32)},
        {"kernel scale": np.ones((1, 2), np.float32)},
        {"kernel scale": np.ones(2, np.float16)},
        {"kernel scale": np.ones(2, np.float64)},
        {"kernel scale": -np.ones(2, np.float32)},
        {"kernel scale": np.full(2, np.nan, np.float32)},
        {"kernel scale": np.full(2, np.inf, np.float32)},
        {"bias": np.ones(3, np.uint8)},
        {"bias": np.ones(3, np.float64)},
    ],
)
def test_damaged_arrays_are_refused(change):
    assert dequantize(GOOD)["kernel"].tolist() == [[1, 1]] * 3
    with pytest.raises(InputError, match="damaged"):
        dequantize({name: array for name, array in (GOOD | change).items() if array is not None})


def test_a_scale_alone_is_an_array_like_others():
    assert dequantize({"layer scale": np.ones(2, np.float32)})["layer scale"].tolist() == [1, 1]
