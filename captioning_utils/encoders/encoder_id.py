"""Which encoder made some features, as a value and as the one line that files keep."""

from __future__ import annotations

import re
from dataclasses import dataclass

from captioning_utils.base.errors import InputError

_FINGERPRINT = re.compile(
    r"(?P<name>[\w-]+) (?P<layer>[\w-]+) (?P<dtype>\w+) (?P<height>[0-9]{1,5})x(?P<width>[0-9]{1,5}) bilinear "
    r"(?P<preprocessing>\w+) weights:(?P<weights>[0-9a-f]{16})(?P<tuned> tuned)?(?P<mirrored> mirrored)?",
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
        ('grid', (224, 224), False)
        >>> str(one)
        'vgg16 grid float32 224x224 bilinear caffe weights:a0f3b31f611d6c7a'
    """

    name: str  # of `ENCODERS`
    layer: str  # what is taken from the network
    dtype: str  # "float32" or "bfloat16", what it computes in
    image_size: tuple[int, int]  # (height, width) in pixels, to which photos are resized bilinearly
    preprocessing: str  # what is done to the pixels: "caffe", "tf" or "torch"
    weights: str  # the first 16 hexadecimal digits of the weights' SHA-256
    tuned: bool = False  # the weights are no longer the pretrained ones
    mirrored: bool = False  # the photos are seen with left and right exchanged

    def __str__(self) -> str:
        height, width = self.image_size
        changes = f"{' tuned' if self.tuned else ''}{' mirrored' if self.mirrored else ''}"
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
        return cls(name, layer, dtype, size, preprocessing, weights, bool(found["tuned"]), bool(found["mirrored"]))
