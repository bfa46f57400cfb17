"""Which encoder made some features, as a value and as the one line that files keep."""

from __future__ import annotations

import re
from dataclasses import dataclass

from captioning_utils.base.errors import InputError

_FINGERPRINT = re.compile(
    r"(?P<name>[\w-]+) (?P<layer>[\w-]+) (?P<dtype>\w+) (?P<height>[0-9]{1,5})x(?P<width>[0-9]{1,5}) bilinear "
    r"(?P<preprocessing>\w+) weights:(?P<weights>[0-9a-f]{16})"
    r"(?: tuned(?P<blocks>:[2-9])?(?P<tuned>))?(?: view(?P<view>[0-9]))?",
    re.ASCII,
)


@dataclass(frozen=True)
class EncoderId:
    """All that decides what features an encoder makes of a photo; those of equal encoders go together.

    Its text is the *fingerprint* that captioner files and feature caches keep. It does not depend on the Keras version
    or backend.

    Example:
        >>> one = EncoderId.parse("vgg16 grid float32 224x224 bilinear caffe weights:a0f3b31f611d6c7a")
        >>> one.layer, one.image_size, one.tuned
        ('grid', (224, 224), 0)
        >>> str(one)
        'vgg16 grid float32 224x224 bilinear caffe weights:a0f3b31f611d6c7a'
    """

    name: str  # of `ENCODERS`
    layer: str  # what is taken from the network
    dtype: str  # "float32" or "bfloat16", what it computes in
    image_size: tuple[int, int]  # (height, width) in pixels, to which photos are resized bilinearly
    preprocessing: str  # what is done to the pixels: "caffe", "tf" or "torch"
    weights: str  # the first 16 hexadecimal digits of the weights' SHA-256
    tuned: int = 0  # how many of the last blocks have learned, so that their weights are no longer the pretrained ones
    view: int | None = None  # the photos are seen augmented, in this one of several ways; None: as they are

    def __str__(self) -> str:
        height, width = self.image_size
        changes = f" tuned{f':{self.tuned}' if self.tuned > 1 else ''}" if self.tuned else ""
        changes += "" if self.view is None else f" view{self.view}"
        return (
            f"{self.name} {self.layer} {self.dtype} {height}x{width} bilinear {self.preprocessing} "
            f"weights:{self.weights}{changes}"
        )

    @classmethod
    def parse(cls, fingerprint: object) -> EncoderId:
        """Read a fingerprint.

        Args:
            fingerprint: str, from anywhere.

        Returns:
            `EncoderId`.

        Raises:
            InputError: for anything else than the text of an `EncoderId`.
        """
        found = _FINGERPRINT.fullmatch(fingerprint) if isinstance(fingerprint, str) else None
        if not found:
            raise InputError(
                f"{fingerprint!r:.80} is no encoder's fingerprint; give one such as "
                "'vgg16 grid float32 224x224 bilinear caffe weights:a0f3b31f611d6c7a'"
            )
        size = int(found["height"]), int(found["width"])
        name, layer, dtype, preprocessing, weights = found.group("name", "layer", "dtype", "preprocessing", "weights")
        tuned = int((found["blocks"] or ":1")[1:]) if found["tuned"] is not None else 0
        view = None if found["view"] is None else int(found["view"])
        return cls(name, layer, dtype, size, preprocessing, weights, tuned, view)
