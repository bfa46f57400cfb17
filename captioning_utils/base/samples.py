"""From samples of many bits or with a point to the 8 bits of a photo."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# TIFF's tags BitsPerSample, PhotometricInterpretation, Min- and MaxSampleValue with SMin-, and GDAL's for no value
_BITS, _SENSE, _MINIMA, _MAXIMA, _NO_VALUE = 258, 262, (280, 340), (281, 341), 42113
_WHITE_IS_ZERO = 0
_USUAL = (255, 1023, 4095, 16383, 65535)  # the most that 8, 10, 12, 14 and 16 bits hold


class SampleRange(NamedTuple):
    """What is black and what is white in a picture, and from where that is known."""

    low: float  # black, more than white in a negative
    high: float
    assumed: bool  # the file does not say it

    def scale(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Samples of any type to 0–255."""
        if values.dtype == np.uint16 and values.size > 2**16:  # each value is computed once
            return self.scale(np.arange(2**16, dtype=np.uint16))[values]
        finite = np.nan_to_num(values.astype(np.float64), nan=self.low, posinf=self.high, neginf=self.low)
        parts = (finite - self.low) * (255.0 / (self.high - self.low))
        return np.clip(np.rint(parts), 0, 255).astype(np.uint8)


def find_range(image: Image.Image, parts: Iterable[NDArray[Any]]) -> SampleRange:
    """The range of a grey picture of Pillow's mode I, I;16 or F: what its file states, else the least usual one.

    Args:
        image: `PIL.Image.Image`, for its TIFF tags.
        parts: its samples, integers or float, in any number of arrays.

    Returns:
        `SampleRange`.

    Example:
        >>> values = np.array([[0, 4000]], np.uint16)
        >>> find_range(Image.fromarray(values), [values])
        SampleRange(low=0.0, high=4095.0, assumed=True)
    """
    tags = getattr(image, "tag_v2", {})
    samples = _find_range(tags, parts)
    return SampleRange(samples.high, samples.low, samples.assumed) if tags.get(_SENSE) == _WHITE_IS_ZERO else samples


def find_colour_range(image: Image.Image) -> SampleRange | None:
    """The range of what Pillow keeps of a colour picture of 16 bits, the upper 8, where fewer of the 16 are used."""
    most = int(np.max(image.getextrema()))
    high = next((usual // 256 for usual in _USUAL[1:] if most <= usual // 256), 255)
    return SampleRange(0, high, True) if high < 255 else None


def _find_range(tags: Mapping[int, Any], parts: Iterable[NDArray[Any]]) -> SampleRange:
    no_value = _number(tags.get(_NO_VALUE))
    extremes, is_float = [], False
    for values in parts:
        is_float = values.dtype.kind == "f"
        finite = values[np.isfinite(values) & (values != no_value)] if is_float or no_value is not None else values
        extremes += [float(finite.min()), float(finite.max())] if finite.size else []
    least, most = (min(extremes), max(extremes)) if extremes else (0.0, 0.0)
    stated = [next((_number(tags.get(tag)) for tag in pair if tag in tags), None) for pair in (_MINIMA, _MAXIMA)]
    low, high = stated[0] or 0.0, stated[1]
    if high is not None and low < high and low <= least and most <= high:
        return SampleRange(low, high, False)
    bits = _number(tags.get(_BITS))
    if bits is not None and 8 < bits < 16 and not is_float and most < 2**bits:
        return SampleRange(0.0, 2.0**bits - 1, False)
    if is_float and least >= -1 and most < 2:  # from 0 or -1 to 1, give or take what resampling adds
        low = -1.0 if least < -0.5 else 0.0
        high = most if most > 1 or low == 0 < most < 1 / 255 else 1.0
        return SampleRange(low, high, least < 0 or high != 1)
    if least < 0:
        return SampleRange(least, max(most, least + 1), True)
    high = float(next((usual for usual in _USUAL if most <= usual), most))
    return SampleRange(0.0, high, is_float or high != _USUAL[-1])


def _number(value: Any) -> float | None:
    """A tag's value, of several the first, also as text; None where it is no finite number."""
    first = value[0] if isinstance(value, tuple) and value else value
    try:
        return float(first) if np.isfinite(float(first)) else None
    except (TypeError, ValueError, ZeroDivisionError):
        return None
