"""Photos of any kind to plain RGB arrays: one path, used for training and for captioning alike."""

import contextlib
import functools
import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from captioning_utils.base.errors import InputError
from captioning_utils.base.samples import SampleRange, find_colour_range, find_range
from captioning_utils.base.types import AnyPath
from captioning_utils.base.wording import one_line

ImageSource: TypeAlias = str | os.PathLike[str] | BinaryIO | Image.Image | NDArray[Any]
"""A photo as `load_image` takes it: a path, an open binary file, a Pillow image or an array."""
# Raster formats only: EPS, for one, would start Ghostscript on a stranger's file. HEIF and AVIF are used where
# a Pillow plug-in for them is there.
PHOTO_FORMATS = (
    *("AVIF", "BMP", "DIB", "GIF", "HEIF", "ICO", "JPEG", "JPEG2000"),
    *("MPO", "PCX", "PNG", "PPM", "TGA", "TIFF", "WEBP"),
)
PHOTO_EXTENSIONS = (
    *(".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpeg", ".jpg", ".jpe"),
    *(".pgm", ".png", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
)
SAMPLES = Path(__file__).parents[1] / "data" / "samples"  # of a clone; an installed package has none
MAX_PIXELS = 89_478_485  # Pillow's own warning limit: 256 MiB as RGB. A small file can claim to be far larger.
MAX_PIXELS_OF = {"JPEG2000": 25_000_000}  # its decoder takes half a second for a million
MAX_SCANS = 100  # of a JPEG file, thumbnails included; a progressive one has ten
STRIP_PIXELS = 2**20  # that are converted at once
_ORIENTATION_TAG = 0x0112
_Box: TypeAlias = tuple[int, int, int, int]  # left, top, right, bottom
_Conversion: TypeAlias = Callable[[_Box], Image.Image | NDArray[np.uint8]]
_TURNS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "mirror": lambda pixels: pixels[:, ::-1],
    "flip": lambda pixels: pixels[::-1],
    "swap": lambda pixels: pixels.swapaxes(0, 1),
}
_ORIENTATIONS = {  # of the camera -> the turns that lead from the upright photo to the one in the file
    2: ("mirror",),
    3: ("mirror", "flip"),
    4: ("flip",),
    5: ("swap",),
    6: ("mirror", "swap"),
    7: ("mirror", "flip", "swap"),
    8: ("flip", "swap"),
}


def load_image(
    source: ImageSource, size: tuple[int, int] | None = None, notes: list[str] | None = None
) -> NDArray[np.uint8]:
    """Read a photo as RGB, whatever its format and colour mode.

    The camera's rotation (EXIF) is applied, transparency is laid on white, samples of more bits or with a point are
    scaled to 8 bits, and of an animation the first frame is taken. HEIC is read where pillow-heif is installed.

    Args:
        source: str or `Path` of a file, an open binary file, a `PIL.Image.Image`, or an array: uint8
            `(height, width)`, `(height, width, 3)` RGB or `(height, width, 4)` RGBA in 0–255, or uint16
            `(height, width)` in 0–65535.
        size: `(height, width)` in pixels to squash the photo to, see `resize_image`; None keeps its own size.
        notes: list that gets a sentence where a file does not say what is black and what is white in it, so that it
            had to be assumed; or None.

    Returns:
        uint8 `(height, width, 3)`, RGB, 0–255.

    Raises:
        InputError: for a missing, empty, truncated or damaged file, one that is no photo (see `PHOTO_FORMATS`),
            or one of more than `MAX_PIXELS` pixels.

    Example:
        >>> load_image(np.full((2, 3), 255, np.uint8)).shape
        (2, 3, 3)
        >>> load_image("no_such_photo.jpg")
        Traceback (most recent call last):
        captioning_utils.InputError: no_such_photo.jpg is not there; check the path of the photo
    """
    image = _load(source, notes)
    return image if size is None else resize_image(image, size)


def resize_image(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Squash or stretch a photo to `size`, bilinear; the shape of things changes, nothing is cut off.

    This is what `target_size` does in the Keras tutorials, and how the Flickr8k features are made.

    Args:
        image: uint8 `(height, width, 3)`, as `load_image` gives it.
        size: `(height, width)` in pixels, both at least 1.

    Returns:
        uint8 `(size[0], size[1], 3)`; the same array when it has that size already.

    Raises:
        InputError: when `image` is not such an array, or `size` not two positive whole numbers.

    Example:
        >>> resize_image(np.zeros((40, 30, 3), np.uint8), (224, 224)).shape
        (224, 224, 3)
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape[2:] != (3,):
        raise InputError(f"a photo must be uint8 (height, width, 3), got {_describe(image)}; use load_image")
    height, width = size
    if min(height, width) < 1:
        raise InputError(f"the size to resize to is {tuple(size)}; give (height, width), each 1 or more")
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def find_images(path: AnyPath, recursive: bool = False) -> list[Path]:
    """List the photos of a folder by their file extensions, in the order of their names.

    Hidden files and folders are left out.

    Args:
        path: str or `Path` of a folder; of a file: that file alone is the list.
        recursive: bool, whether to list the photos of its sub-folders, too.

    Returns:
        list of `Path`, sorted, never empty.

    Raises:
        InputError: when there is nothing at `path`, or no photo in it.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("b.PNG", "a.jpg", "notes.txt"):
        ...     (folder / name).touch()
        >>> [photo.name for photo in find_images(folder)]
        ['a.jpg', 'b.PNG']
    """
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"{path} is not there; give a photo or a folder of photos")
    photos = []
    for folder, folders, names in os.walk(path):
        folders[:] = [name for name in folders if recursive and not name.startswith(".")]
        photos += [Path(folder, name) for name in names if is_photo_name(name) and Path(folder, name).is_file()]
    if not photos:
        advice = "" if recursive else "; sub-folders are looked into with recursive="
        raise InputError(f"{path} holds no photo; looked for files ending in {', '.join(PHOTO_EXTENSIONS)}{advice}")
    return sorted(photos)


def list_samples() -> dict[Path, str]:
    """List the free photographs that a clone has in `data/samples`, as the table of their README does.

    Returns:
        dict of `Path` to str, what the photo shows in a person's words; empty where the package is installed
        without a clone.

    Example:
        >>> all(is_photo_name(path.name) and text for path, text in list_samples().items())
        True
    """
    page = SAMPLES / "README.md"
    table = page.read_text(encoding="utf-8") if page.is_file() else ""
    return {SAMPLES / name: text for name, text in re.findall(r"^\| \[(\S+)\]\(\1\) \| (.+?) \|", table, re.MULTILINE)}


def is_photo_name(name: str) -> bool:
    """Whether a file's name (str) is that of a photo: a known ending, and not hidden.

    Example:
        >>> is_photo_name("a.JPG"), is_photo_name(".a.jpg"), is_photo_name("a.txt")
        (True, False, False)
    """
    return name.lower().endswith(PHOTO_EXTENSIONS) and not name.startswith(".")


@functools.cache
def find_formats() -> tuple[str, ...]:
    """Those of `PHOTO_FORMATS` that can be read here, after making Pillow know the plug-ins; tuple of str."""
    Image.init()
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    return tuple(known for known in PHOTO_FORMATS if known in Image.OPEN)


def _load(source: ImageSource, notes: list[str] | None) -> NDArray[np.uint8]:
    if isinstance(source, np.ndarray):
        source = _array_to_image(source)
    if isinstance(source, Image.Image):
        return _decode(lambda: contextlib.nullcontext(source), "the image", notes)
    name = getattr(source, "name", "the file") if hasattr(source, "read") else source
    file = source if hasattr(source, "read") else _checked_path(source)
    try:
        return _decode(lambda: Image.open(file, formats=find_formats()), name, notes)
    except InputError:
        if "HEIF" not in find_formats() and _is_heic(file):
            raise InputError(
                f"{name} is a HEIC photo, which needs the package pillow-heif (pip install pillow-heif); install it, "
                "or save the photo as JPEG"
            ) from None
        raise


def _is_heic(file: str | os.PathLike[str] | BinaryIO) -> bool:
    if isinstance(file, str | os.PathLike):
        with open(file, "rb") as opened:
            start = opened.read(12)
    else:
        file.seek(0)
        start = file.read(12)
    return start[4:8] == b"ftyp" and start[8:12] in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")


def _describe(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    return type(value).__name__


def _checked_path(source: object) -> Path:
    if not isinstance(source, str | os.PathLike):
        raise InputError(f"a photo cannot be {_describe(source)}; give a path, an open file, a PIL image or an array")
    path = Path(source)
    if path.is_dir():
        raise InputError(f"{path} is a folder; give one photo, or list the folder's photos with find_images")
    if not path.exists():
        raise InputError(f"{path} is not there; check the path of the photo")
    if not path.is_file():  # a pipe or a device would be read for ever
        raise InputError(f"{path} is not a regular file; give a photo")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes); copy or download the photo again")
    return path


def _decode(
    open_image: Callable[[], AbstractContextManager[Image.Image]], name: object, notes: list[str] | None
) -> NDArray[np.uint8]:
    """Turn every way in which a decoder can fail into an `InputError` that names the photo."""
    try:
        with open_image() as image:
            return _to_rgb(image, name, notes)
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"{name} is too large ({error}); the limit is {MAX_PIXELS} pixels") from error
    except UnidentifiedImageError as error:
        raise InputError(
            f"{name} is not a photo that can be read here; give a JPEG, PNG, WebP, TIFF, GIF or BMP file"
        ) from error
    except Exception as error:  # decoders meet damaged files with many kinds of errors, struct.error to SyntaxError
        reason = one_line(error)
        raise InputError(f"{name} is damaged or cut short ({reason}); copy or download it again") from error


def _array_to_image(array: NDArray[Any]) -> Image.Image:
    is_colour = array.ndim == 3 and array.shape[2] in (3, 4) and array.dtype == np.uint8
    is_grey = array.ndim == 2 and array.dtype in (np.uint8, np.uint16)
    if not (is_colour or is_grey) or array.size == 0:
        raise InputError(
            f"a photo cannot be {_describe(array)}; give uint8 (height, width[, 3 or 4]) or uint16 (height, width)"
        )
    if array.dtype == np.uint16:
        array = SampleRange(0, 65535, False).scale(array)
    return Image.fromarray(np.ascontiguousarray(array))


def _to_rgb(image: Image.Image, name: object, notes: list[str] | None) -> NDArray[np.uint8]:
    _check_pixels(image, name)
    _check_scans(image, name)
    is_deep = any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))
    image.load()
    _check_pixels(image, name)  # an icon has the size of the picture in it, which only loading tells
    width, height = image.size
    rows = max(1, STRIP_PIXELS // width)
    boxes = [(0, top, width, min(top + rows, height)) for top in range(0, height, rows)]
    convert = _find_conversion(image, boxes, is_deep, name, notes)
    turns = _ORIENTATIONS.get(_orientation(image), ())  # after loading, which turns a TIFF as it says
    upright = np.empty((width, height, 3) if "swap" in turns else (height, width, 3), np.uint8)
    # The photo as it lies in the file is a view of the upright one, and filled a strip at a time: in the file's mode,
    # in RGB, and with what is in between, a large photo would be in memory several times.
    as_stored = upright
    for turn in turns:
        as_stored = _TURNS[turn](as_stored)
    for box in boxes:
        as_stored[box[1] : box[3]] = np.asarray(convert(box))
    return upright


def _check_pixels(image: Image.Image, name: object) -> None:
    width, height = image.size
    limit = min(MAX_PIXELS, MAX_PIXELS_OF.get(image.format or "", MAX_PIXELS))
    if width * height > limit:
        raise InputError(f"{name} has {width}×{height} pixels; the limit is {limit}; make it smaller first")


def _check_scans(image: Image.Image, name: object) -> None:
    """Refuse a JPEG file that draws over the whole photo again and again: a small one could do so for an hour."""
    file = getattr(image, "fp", None)
    if image.format not in ("JPEG", "MPO") or file is None:
        return
    place, scans, last = file.tell(), 0, b""
    file.seek(0)
    while chunk := file.read(2**20):
        scans += (last + chunk).count(b"\xff\xda")
        last = chunk[-1:]
    file.seek(place)
    if scans > MAX_SCANS:
        raise InputError(f"{name} is drawn in {scans} scans; the limit is {MAX_SCANS}; save it anew")


def _find_conversion(
    image: Image.Image, boxes: list[_Box], is_deep: bool, name: object, notes: list[str] | None
) -> _Conversion:
    """What makes RGB of a part of the photo; `boxes` are all parts, and `is_deep` photos have 16 bits a channel."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        deep = image if image.mode in ("I", "F", "I;16") else Image.fromarray(np.asarray(image).astype(np.uint16))
        samples = find_range(image, (np.asarray(deep.crop(box)) for box in boxes))
        _note_range(samples, name, notes)
        return lambda box: samples.scale(np.asarray(deep.crop(box)))[:, :, None]
    colours = find_colour_range(image) if is_deep and image.mode == "RGB" else None
    if colours is not None:
        _note_range(SampleRange(0, 256 * (colours.high + 1) - 1, True), name, notes)
        return lambda box: colours.scale(np.asarray(image.crop(box)))
    if image.has_transparency_data:
        return lambda box: _on_white(image.crop(box)).convert("RGB")
    return lambda box: image.crop(box).convert("RGB")


def _note_range(samples: SampleRange, name: object, notes: list[str] | None) -> None:
    if samples.assumed and notes is not None:
        notes.append(f"{name} does not say its range; {samples.low:g} was taken as black, {samples.high:g} as white")


def _orientation(image: Image.Image) -> Any:
    try:
        return image.getexif().get(_ORIENTATION_TAG)
    except Exception:  # a photo with a damaged note about the camera is still a photo
        return None


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
