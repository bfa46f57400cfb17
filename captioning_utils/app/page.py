"""The logic behind streamlit_app.py, without Streamlit: photos made ready, sentences as rows, maps laid over photos.

`streamlit_app.py` shows what these functions give. They need no Streamlit, and only `open_captioner` loads Keras.
"""

from __future__ import annotations

import io
import re
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from captioning_utils.base.errors import InputError
from captioning_utils.images import (
    PHOTO_EXTENSIONS,
    ImageSource,
    find_formats,
    list_samples,
    load_image,
    resize_image,
)
from captioning_utils.scenes.dataset import draw_scene
from captioning_utils.scenes.scene import generate_scene
from captioning_utils.scenes.wording import describe_scene
from captioning_utils.scenes.words import OBJECT_WORDS

if TYPE_CHECKING:
    from captioning_utils.captioner import Captioner, ScoredCaption


MAX_PHOTOS = 50  # described at once
MAX_PHOTO_MEGABYTES = 25  # of a photo's file
MAX_CAPTIONER_MEGABYTES = 100  # of a captioner's file; what ships is about 10
PREVIEW_SIDE = 1024  # pixels; the page shows photos at most this wide
PREVIEW_QUALITY = 88  # JPEG
TILE_SIDE = 208  # pixels of a sample's little picture; the page shows it half as wide
DIMMED = 0.25  # the light that is left where the captioner did not look

_one_at_a_time = threading.Lock()  # for who opens a photo


class Source(NamedTuple):
    """A photo that somebody gave, not yet opened."""

    key: str  # tells it from all others
    name: str
    file: ImageSource  # whatever `load_image` takes
    description: str = ""  # what it shows, where that is known


class Photo(NamedTuple):
    """A decoded photo: preview and encoder inputs, not the full-size pixels."""

    key: str
    name: str
    width: int  # pixels of the original
    height: int
    preview: bytes  # JPEG, at most `PREVIEW_SIDE` pixels wide and high
    # (height, width) -> uint8 (height, width, 3): what encoders of that size see
    inputs: dict[tuple[int, int], NDArray[np.uint8]]


def open_photo(source: Source, sizes: Iterable[tuple[int, int]]) -> Photo:
    """Read a photo once and keep what the page needs of it: a preview and the encoders' inputs.

    Of all threads, one at a time: a large photo takes 0.6 GB meanwhile.

    Example:
        >>> photo = open_photo(Source("1", "grey.png", Image.new("L", (400, 300), 99)), [(224, 224)])
        >>> photo.width, photo.height, photo.inputs[224, 224].shape
        (400, 300, (224, 224, 3))
    """
    _check_size(source.name, source.file, MAX_PHOTO_MEGABYTES)
    with _one_at_a_time:
        image = load_image(source.file)
        height, width = image.shape[:2]
        inputs = {(rows, columns): resize_image(image, (rows, columns)) for rows, columns in sizes}
        preview = Image.fromarray(image)
        preview.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE), reducing_gap=2)
    return Photo(source.key, source.name, width, height, _encode_jpeg(preview), inputs)


def _check_size(name: str, file: object, megabytes: int) -> None:
    size = getattr(file, "size", 0)  # of uploads, in bytes; of a Pillow image it is (width, height)
    if isinstance(size, int) and size > megabytes * 2**20:
        raise InputError(f"{name} has {size / 2**20:.0f} MB; the limit is {megabytes} MB; make it smaller first")


def _encode_jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=PREVIEW_QUALITY)
    return file.getvalue()


def photo_extensions() -> list[str]:
    """The endings of the photos that can be read here: those whose Pillow plug-in is installed; list of str.

    A phone that is not offered HEIC sends a JPEG instead.

    Example:
        >>> ".jpg" in photo_extensions()
        True
    """
    formats = find_formats()
    return [ending for ending in PHOTO_EXTENSIONS if Image.EXTENSION.get(ending) in formats]


def sample_photos() -> dict[str, tuple[str, Source]]:
    """The photographs to try: {key: (label, source)}; empty outside a clone.

    Example:
        >>> all(source.description for label, source in sample_photos().values())
        True
    """
    return {
        path.name: (path.stem.replace("_", " ").capitalize(), Source(f"sample {path.name}", path.name, path, text))
        for path, text in list_samples().items()
    }


def crop_square(photo: ImageSource) -> Image.Image:
    """The middle of a photo as a little square picture.

    Example:
        >>> crop_square(Image.new("RGB", (480, 320))).size
        (208, 208)
    """
    return ImageOps.fit(Image.fromarray(load_image(photo)), (TILE_SIDE, TILE_SIDE))


def sample_scene(seed: int) -> tuple[str, Source]:
    """A drawn scene as a photo to try.

    Example:
        >>> label, source = sample_scene(23)
        >>> label, source.file.size, source.description
        ('Man', (224, 224), 'There is a man riding a blue bicycle on the street.')
    """
    scene = generate_scene(seed)
    subject = scene.objects[0]
    label = OBJECT_WORDS[subject.name][0][subject.count > 1].capitalize()
    source = Source(f"scene {seed}", f"scene_{seed}.png", draw_scene(scene), describe_scene(scene)[0])
    return label, source


def open_captioner(content: bytes, name: str) -> Captioner:
    """Open a captioner from the bytes of a file that somebody sent.

    Example:
        >>> open_captioner(b"hello", "model.h5")
        Traceback (most recent call last):
        captioning_utils.InputError: model.h5 is no readable HDF5 file ...
    """
    from captioning_utils.captioner import load_captioner

    if len(content) > MAX_CAPTIONER_MEGABYTES * 2**20:
        raise InputError(
            f"{name} has {len(content) / 2**20:.0f} MB; the limit is {MAX_CAPTIONER_MEGABYTES} MB; give a smaller one"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "captioner.h5"
        path.write_bytes(content)
        try:
            return load_captioner(path)
        except InputError as error:
            raise InputError(str(error).replace(str(path), name)) from error


def caption_rows(photo_name: str, captioner_name: str, alternatives: Iterable[ScoredCaption]) -> list[dict[str, Any]]:
    """Sentences as rows of a table: those of `generate.py --out`, and which captioner wrote them.

    Example:
        >>> from captioning_utils.captioner import ScoredCaption
        >>> caption_rows("a.jpg", "mine", [ScoredCaption("a dog", -0.51239, -1.5)])
        [{'image': 'a.jpg', 'captioner': 'mine', 'caption': 'a dog', 'score': -0.5124}]
    """
    return [
        {"image": photo_name, "captioner": captioner_name, "caption": each.caption, "score": round(each.score, 4)}
        for each in alternatives
    ]


def light_attention(preview: bytes, weights: NDArray[Any]) -> bytes:
    """A photo, bright where the captioner looked and dark elsewhere.

    Args:
        preview: bytes, `Photo.preview`.
        weights: float `(rows, columns)`, not negative: a word's attention over the regions of the squashed photo.

    Returns:
        bytes, a JPEG of the same size. Where all weights are equal, nothing is dimmed.

    Example:
        >>> preview = _encode_jpeg(Image.new("RGB", (90, 60), "white"))
        >>> lit = Image.open(io.BytesIO(light_attention(preview, np.eye(3))))
        >>> lit.getpixel((5, 5))[0] > 200, lit.getpixel((85, 5))[0] < 80
        (True, True)

    References:
        Xu et al. 2015, Show, Attend and Tell, figure 3 (arXiv:1502.03044).
    """
    image = Image.open(io.BytesIO(preview)).convert("RGB")
    weights = np.asarray(weights, "float32")
    light = Image.fromarray(weights / max(weights.max(), 1e-12)).resize(image.size, Image.Resampling.BICUBIC)
    share = DIMMED + (1 - DIMMED) * np.clip(np.asarray(light), 0, 1)
    return _encode_jpeg(Image.fromarray(np.rint(np.asarray(image) * share[:, :, None]).astype("uint8")))


def name_place(weights: NDArray[Any]) -> str:
    """Where most of the attention lies, in words, for those who do not see the picture.

    Args:
        weights: float `(rows, columns)`, not negative.

    Returns:
        str, such as "the upper left" or "the centre".

    Example:
        >>> name_place([[1, 0, 0], [0, 0, 0], [0, 0, 0]]), name_place([[0, 0, 0], [0, 9, 0], [0, 0, 1]])
        ('the upper left', 'the centre')
    """
    weights = np.asarray(weights, "float64")
    row, column = np.unravel_index(np.argmax(weights), weights.shape)
    vertical = ("upper", "", "lower")[int((row + 0.5) * 3 / weights.shape[0])]
    horizontal = ("left", "", "right")[int((column + 0.5) * 3 / weights.shape[1])]
    if vertical and horizontal:
        return f"the {vertical} {horizontal}"
    return f"the {vertical} middle" if vertical else f"the {horizontal} side" if horizontal else "the centre"


def escape_markdown(text: str) -> str:
    """Text as Markdown that shows it as it is: a name or a stranger's vocabulary must not become a link or a picture.

    Example:
        >>> print(escape_markdown("![a](b_c) $1"))
        \\!\\[a\\]\\(b\\_c\\) \\$1
    """
    return re.sub(r"([!-/:-@\\[-`{-~])", r"\\\1", " ".join(text.split()))
