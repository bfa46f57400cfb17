"""Arrays of weights in fewer bits, so that files are small; what a file gives back is known exactly beforehand."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from captioning_utils.base.errors import InputError

SCALE = " scale"  # the name of a matrix's scales ends so
SMALLEST = 1e-30  # a channel with no larger number is zero
BITS = {8: np.int8, 16: np.float16, 32: np.float32}
LARGEST = 127  # of the whole numbers; -128 is left out, so that what is stored is symmetric


def quantize(arrays: Mapping[str, NDArray[Any]], bits: int) -> dict[str, NDArray[Any]]:
    """Round arrays to fewer bits a number.

    With 8 bits a matrix or kernel becomes int8 with one float32 scale an output channel (its last axis; in depthwise
    kernels the last but one), named like it with " scale" behind. Arrays of one axis, such as biases, are few and keep
    16 bits.

    Args:
        arrays: dict of name to float array of finite numbers.
        bits: int, 8, 16 or 32.

    Returns:
        dict of name to int8, float16 or float32 array. `quantize` of what `dequantize` makes of it is the same again.

    Raises:
        InputError: for other bits, or numbers that are not finite or too large for 16 bits.

    Example:
        >>> stored = quantize({"kernel": np.array([[0.5, 2.0], [-1.0, 1.0]])}, bits=8)
        >>> stored["kernel"].tolist(), stored["kernel scale"].tolist()
        ([[64, 127], [-127, 64]], [0.0078..., 0.0157...])

    References:
        Jacob et al. 2018, Quantization and training of neural networks (arXiv:1712.05877), section 2; symmetric, per
        channel as in Krishnamoorthi 2018 (arXiv:1806.08342), section 3.
    """
    if bits not in BITS:
        raise InputError(f"bits is {bits!r:.40}; give 8, 16 or 32")
    stored: dict[str, NDArray[Any]] = {}
    for name, array in arrays.items():
        with np.errstate(over="ignore"):
            rounded = array.astype(BITS[max(bits, 16)])
        if not np.isfinite(array if bits == 8 and array.ndim > 1 else rounded).all():
            raise InputError(f"{name!r:.80} holds numbers that are not finite or too large; train at a lower rate")
        if bits == 8 and array.ndim > 1:
            stored[name], stored[f"{name}{SCALE}"] = _to_int8(array.astype(np.float32))
        else:
            stored[name] = rounded
    return stored


def quantize_exactly(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """As `quantize`, with the fewest bits that give float32 arrays back exactly.

    Example:
        >>> quantize_exactly({"bias": np.array([0.5, 0.1], "float32")})["bias"].dtype
        dtype('float32')
    """
    for bits in (8, 16):
        with contextlib.suppress(InputError):  # too large for so few bits
            stored = quantize(arrays, bits)
            back = dequantize(stored)
            if all(np.array_equal(back[name], array) for name, array in arrays.items()):
                return stored
    return quantize(arrays, 32)


def dequantize(stored: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
    """The arrays of which `quantize` made `stored`, rounded.

    Args:
        stored: dict of name to array, from anywhere.

    Returns:
        dict of name to float32 array.

    Raises:
        InputError: where a scale is missing, superfluous or of another shape than its matrix needs, or a number is none
            that `quantize` writes.

    Example:
        >>> dequantize({"kernel": np.array([[127], [-1]], "int8"), "kernel scale": np.array([0.5], "float32")})
        {'kernel': array([[63.5],
            [-0.5]], dtype=float32)}
    """
    arrays = {}
    scales = {name for name, array in stored.items() if name.endswith(SCALE) and name.removesuffix(SCALE) in stored}
    for name, array in stored.items():
        scale = stored.get(f"{name}{SCALE}")
        if name in scales:
            continue
        if (scale is not None) != (array.dtype == np.int8) or array.dtype not in BITS.values():
            scales_there = "with" if scale is not None else "without"
            raise InputError(
                f"{name!r:.80} is {array.dtype} {scales_there} scales; copy or download the damaged file again"
            )
        if scale is not None:
            array = _from_int8(name, array, scale)
        arrays[name] = array.astype(np.float32)
    return arrays


def _to_int8(array: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A matrix → whole numbers and a scale a channel.

    A scale has 16 significant bits: its products with the whole numbers are exact, and rounding again changes nothing.
    """
    largest = np.abs(array).max(axis=tuple(range(array.ndim - _scale_axes(array))), initial=0.0)
    fraction, exponent = np.frexp(np.where(largest > SMALLEST, largest, 0) / np.float32(LARGEST))
    scale = np.ldexp(np.rint(fraction * 2**16) / 2**16, exponent).astype(np.float32)
    whole = np.divide(array, scale, out=np.zeros_like(array), where=scale > 0)
    return np.clip(np.rint(whole), -LARGEST, LARGEST).astype(np.int8), scale


def _scale_axes(array: NDArray[Any]) -> int:
    """How many of the last axes the scales have."""
    return 2 if array.ndim > 2 and array.shape[-1] == 1 else 1


def _from_int8(name: str, array: NDArray[np.int8], scale: NDArray[Any]) -> NDArray[np.float32]:
    if array.ndim < 2 or scale.dtype != np.float32 or scale.shape != array.shape[-_scale_axes(array) :]:
        raise InputError(
            f"{name!r:.80} has scales {scale.dtype} {scale.shape} for {array.shape}; copy or download the damaged file "
            "again"
        )
    if (array < -LARGEST).any() or not (scale >= 0).all() or not np.isfinite(scale).all():
        raise InputError(f"{name!r:.80} or its scales are out of range; copy or download the damaged file again")
    return array * scale
