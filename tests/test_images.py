import io
import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioning_utils import InputError, images
from captioning_utils.app.page import photo_extensions
from captioning_utils.images import MAX_PIXELS, find_images, load_image, resize_image

SHARED = Path(__file__).parents[2] / "shared"

# Four quarters, so that a rotation or a swap of channels shows: red, green over blue, white.
QUARTERS = np.zeros((16, 16, 3), np.uint8)
QUARTERS[:8, :8] = (255, 0, 0)
QUARTERS[:8, 8:] = (0, 255, 0)
QUARTERS[8:, :8] = (0, 0, 255)
QUARTERS[8:, 8:] = (255, 255, 255)


@pytest.mark.parametrize("extension", ["png", "bmp", "tif", "ppm", "tga"])
def test_lossless_formats_come_back_exactly(tmp_path, extension):
    Image.fromarray(QUARTERS).save(tmp_path / f"a.{extension}")
    assert np.array_equal(load_image(tmp_path / f"a.{extension}"), QUARTERS)


def test_jpeg_and_webp_come_back_nearly(tmp_path):
    for name in ("a.jpg", "a.webp"):
        Image.fromarray(QUARTERS).save(tmp_path / name, quality=95, subsampling=0)
        centres = (slice(4, None, 8), slice(4, None, 8))
        assert np.abs(load_image(tmp_path / name)[centres].astype(int) - QUARTERS[centres]).max() < 16


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_camera_rotation_is_undone(tmp_path, orientation, ending):
    # What a camera stores for each orientation tag, written as array operations, independently of Pillow.
    stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation](QUARTERS[:, :12])
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / f"a.{ending}", exif=exif)
    assert np.array_equal(load_image(tmp_path / f"a.{ending}"), QUARTERS[:, :12])


def test_damaged_camera_notes_do_not_spoil_the_photo(tmp_path):
    Image.fromarray(QUARTERS).save(tmp_path / "a.png", exif=b"Exif\0\0no such header")
    assert np.array_equal(load_image(tmp_path / "a.png"), QUARTERS)


def test_grey_bilevel_palette_and_cmyk(tmp_path):
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert np.array_equal(load_image(tmp_path / "grey.png"), np.stack([grey] * 3, axis=-1))
    Image.fromarray(grey).convert("1", dither=0).save(tmp_path / "bits.png")
    assert set(load_image(tmp_path / "bits.png").ravel()) == {0, 255}
    Image.fromarray(QUARTERS).quantize(8).save(tmp_path / "palette.png")
    assert np.array_equal(load_image(tmp_path / "palette.png"), QUARTERS)
    Image.fromarray(QUARTERS).convert("CMYK").save(tmp_path / "cmyk.tif")
    assert np.array_equal(load_image(tmp_path / "cmyk.tif"), QUARTERS)


def test_transparency_is_laid_on_white(tmp_path):
    rgba = np.dstack([QUARTERS, np.full((16, 16), 255, np.uint8)])
    rgba[:8, :8, 3] = 0
    rgba[8:, :8, 3] = 128
    Image.fromarray(rgba).save(tmp_path / "a.png")
    image = load_image(tmp_path / "a.png")
    assert image[0, 0].tolist() == [255, 255, 255]
    assert image[0, 15].tolist() == [0, 255, 0]
    assert image[15, 0].tolist() == [127, 127, 255]
    palette = Image.fromarray(QUARTERS).quantize(8)
    palette.save(tmp_path / "p.png", transparency=palette.getpixel((0, 0)))
    assert load_image(tmp_path / "p.png")[0, 0].tolist() == [255, 255, 255]


def test_sixteen_bits_are_scaled_not_cut():
    values = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    expected = [0, 0, 1, 1, 128, 255]  # round(value / 257)
    assert load_image(values)[0, :, 0].tolist() == expected
    for mode_name in ("png", "tiff"):
        file = io.BytesIO()
        Image.fromarray(values).save(file, mode_name)
        file.seek(0)
        assert load_image(file)[0, :, 0].tolist() == expected
    assert load_image(Image.fromarray(values.astype(np.int32)))[0, :, 0].tolist() == expected
    assert load_image(Image.fromarray(np.array([[0, 0.5, 1]], np.float32)))[0, :, 0].tolist() == [0, 128, 255]


def write_tiff(values, tags=None):
    file = io.BytesIO()
    Image.fromarray(values).save(file, "TIFF", tiffinfo=tags or {})
    return file


GREYS = np.array([[0, 1024, 2048, 4095]])


@pytest.mark.parametrize(
    ("values", "tags", "expected", "assumed"),
    [
        (GREYS.astype(np.uint16), {}, [0, 64, 128, 255], "4095"),  # 12 bits in 16
        (GREYS.astype(np.int32), {}, [0, 64, 128, 255], "4095"),
        (GREYS.astype(np.float32), {}, [0, 64, 128, 255], "4095"),
        ((GREYS // 16).astype(np.int32), {}, [0, 64, 128, 255], "255"),  # 8 bits in 32, black before
        ((GREYS * 16).astype(np.int32), {}, [0, 64, 128, 255], None),
        ((GREYS * 16).astype(np.float32), {}, [0, 64, 128, 255], "65535"),
        ((GREYS / 4095).astype(np.float32), {}, [0, 64, 128, 255], None),
        ((GREYS / 2047.5 - 1).astype(np.float32), {}, [0, 64, 128, 255], "-1 was taken as black, 1"),
        ((GREYS // 16).astype(np.float32), {}, [0, 64, 128, 255], "255"),
        ((GREYS * 1000).astype(np.int32), {}, [0, 64, 128, 255], "4.095e+06"),
        (GREYS.astype(np.int32) - 1024, {}, [0, 64, 128, 255], "-1024"),
        (GREYS.astype(np.uint16), {281: 8190}, [0, 32, 64, 128], None),  # the file says its maximum
        (GREYS.astype(np.float32), {340: 0.0, 341: 8190.0}, [0, 32, 64, 128], None),
        (np.array([[0, np.nan, np.inf, 0.5]], np.float32), {}, [0, 0, 255, 128], None),
        (np.full((1, 4), 0, np.int32), {}, [0, 0, 0, 0], "255"),
        (np.array([[0, 0.25, 0.5, 1.02]], np.float32), {}, [0, 62, 125, 255], "1.02"),  # resampled
        (np.array([[-0.03, 0.25, 0.5, 1]], np.float32), {}, [0, 64, 128, 255], "0 was taken as black, 1"),
        (np.array([[0, 0.00025, 0.0005, 0.001]], np.float32), {}, [0, 64, 128, 255], "0.001"),
        (np.array([[-9999, 0.25, 0.5, 1]], np.float32), {42113: "-9999"}, [0, 64, 128, 255], None),  # no value there
        (np.array([[-9999, 0, 2048, 4095]], np.int32), {42113: "-9999"}, [0, 0, 128, 255], "4095"),
    ],
)
def test_the_range_is_what_the_file_says_or_the_least_usual_one(values, tags, expected, assumed):
    notes = []
    found = load_image(write_tiff(values, tags), notes=notes)[0, :, 0].astype(int)
    assert np.abs(found - expected).max() <= 1
    assert len(notes) == (assumed is not None)
    if assumed:
        assert assumed in notes[0]


@pytest.mark.parametrize("values", [np.array([[0, 65535]], np.uint16), np.array([[0, 1]], np.float32)])
def test_a_negative_is_told_by_its_file(values):
    zero_is_black, zero_is_white = (struct.pack("<HHII", 262, 3, 1, sense) for sense in (1, 0))
    content = write_tiff(values).getvalue()
    assert load_image(io.BytesIO(content))[0, :, 0].tolist() == [0, 255]
    assert load_image(io.BytesIO(content.replace(zero_is_black, zero_is_white)))[0, :, 0].tolist() == [255, 0]


def write_deep_png(pixels):
    """A PNG of 16 bits a channel, which Pillow reads and does not write."""
    height, width, _ = pixels.shape
    rows = zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels))
    file = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    file.seek(0, io.SEEK_END)
    for chunk in (b"IHDR" + struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0), b"IDAT" + rows, b"IEND"):
        file.write(struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)))
    return file


@pytest.mark.parametrize("white", [1023, 4095, 16383, 65535])
def test_colours_of_fewer_bits_than_sixteen_are_not_black(white):
    notes = []
    found = load_image(write_deep_png(np.array([[[0, 0, 0], [0.5, 0.25, 1]]]) * white), notes=notes).astype(int)
    steps = white // 256  # that are left of the upper 8 bits
    assert np.abs(found - [[[0, 0, 0], [128, 64, 255]]]).max() <= 255 / steps
    assert [f"0 was taken as black, {white} as white" in note for note in notes] == [True] * (white < 65535)


def test_heic_is_read_with_its_package_and_named_without(tmp_path, monkeypatch):
    start = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    (tmp_path / "a.heic").write_bytes(start + b"\0" * 100)
    monkeypatch.setattr(images, "find_formats", lambda: ("JPEG",))
    for source in (tmp_path / "a.heic", io.BytesIO(start + b"\0" * 100)):
        with pytest.raises(InputError, match="is a HEIC photo, which needs the package pillow-heif"):
            load_image(source)
    monkeypatch.undo()
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    Image.fromarray(np.repeat(np.repeat(QUARTERS, 8, 0), 8, 1)).save(tmp_path / "b.heic", quality=95)
    image = load_image(tmp_path / "b.heic")
    assert image.shape == (128, 128, 3)
    assert np.abs(image[32::64, 32::64].astype(int) - QUARTERS[4::8, 4::8]).max() < 24
    assert ".heic" in photo_extensions()


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert load_image(tmp_path / "a.gif")[0, 0].tolist() == [255, 0, 0]


def test_every_kind_of_source_gives_the_same(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(QUARTERS).save(path)
    with open(path, "rb") as file:
        sources = [path, str(path), file, Image.fromarray(QUARTERS), QUARTERS, np.asfortranarray(QUARTERS)]
        for source in sources:
            assert np.array_equal(load_image(source), QUARTERS)


def write_png_claiming(path, width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_hostile_files_are_refused_in_one_line(tmp_path):
    Image.effect_noise((200, 200), 90).save(tmp_path / "whole.jpg")
    whole = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpg").write_text("a dog runs")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "drawing.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    write_png_claiming(tmp_path / "large.png", 10_000, 9_000)
    write_png_claiming(tmp_path / "bomb.png", 60_000, 60_000)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 50)
    reasons = {
        "cut.jpg": "cut short",
        "text.jpg": "not a photo",
        "empty.jpg": "0 bytes",
        "drawing.eps": "not a photo",
        "large.png": f"limit is {MAX_PIXELS}",
        "bomb.png": f"limit is {MAX_PIXELS}",
        "broken.png": "broken.png is",
        "missing.jpg": "not there",
        "": "is a folder",
    }
    for name, reason in reasons.items():
        with pytest.raises(InputError, match=reason) as caught:
            load_image(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert name in str(caught.value)


def test_a_photo_is_in_memory_once_besides_its_decoder(tmp_path, monkeypatch):
    """What Pillow keeps is outside; it has the photo in the file's mode, and at first had it in RGB and RGBA, too."""
    monkeypatch.setattr(images, "STRIP_PIXELS", 2**16)
    for mode in ("1", "RGBA", "P", "I;16", "F"):
        Image.new(mode, (2000, 1500), 1).save(tmp_path / "a.tif")
        tracemalloc.start()
        assert load_image(tmp_path / "a.tif").shape == (1500, 2000, 3)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found < 1.3 * 3 * 1500 * 2000, mode


def test_strips_are_no_seams(monkeypatch):
    generator = np.random.default_rng(0)
    colours = Image.fromarray(generator.integers(0, 256, (41, 30, 4), np.uint8))
    photos = [colours.convert(mode) for mode in ("RGBA", "RGB", "CMYK", "L", "1", "LA", "YCbCr")]
    photos += [Image.fromarray(generator.integers(0, 4000, (41, 30)).astype(kind)) for kind in ("uint16", "float32")]
    whole = [load_image(photo) for photo in photos]
    monkeypatch.setattr(images, "STRIP_PIXELS", 100)
    for photo, expected in zip(photos, whole, strict=True):
        assert np.array_equal(load_image(photo), expected)


def test_a_jpeg_of_endless_scans_is_refused(tmp_path):
    Image.effect_noise((64, 64), 90).save(tmp_path / "a.jpg", progressive=True)
    whole = (tmp_path / "a.jpg").read_bytes()
    assert load_image(tmp_path / "a.jpg").shape == (64, 64, 3)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    (tmp_path / "a.jpg").write_bytes(whole[:-2] + 200 * last + whole[-2:])
    with pytest.raises(InputError, match=r"a\.jpg is drawn in 2\d\d scans; the limit is 100"):
        load_image(tmp_path / "a.jpg")


@pytest.mark.filterwarnings("ignore:Image was not the expected size")
def test_an_icon_with_a_large_picture_in_it_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 90_000)
    picture = io.BytesIO()
    Image.new("RGB", (400, 300)).save(picture, "PNG")
    header = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 24, len(picture.getvalue()), 22)
    (tmp_path / "a.ico").write_bytes(header + picture.getvalue())
    with pytest.raises(InputError, match=r"a\.ico has 400×300 pixels; the limit is 90000"):
        load_image(tmp_path / "a.ico")


def test_large_photos_of_slow_formats_are_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(images.MAX_PIXELS_OF, "JPEG2000", 1000)
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jp2")
    with pytest.raises(InputError, match=r"a\.jp2 has 40×30 pixels; the limit is 1000"):
        load_image(tmp_path / "a.jp2")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with a name")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(InputError, match=r"a\.jpg is not a regular file; give a photo"):
        load_image(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    "source",
    [3, None, np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4), np.uint8), np.zeros(4, np.uint8)],
)
def test_wrong_sources_are_refused(source):
    with pytest.raises(InputError, match="a photo cannot be"):
        load_image(source)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_cut_file_at_any_byte_never_escapes_as_another_error(tmp_path):
    Image.effect_noise((40, 40), 90).save(tmp_path / "a.tif")
    Image.effect_noise((40, 40), 90).convert("P").save(tmp_path / "a.gif")
    for path in (tmp_path / "a.tif", tmp_path / "a.gif"):
        whole = path.read_bytes()
        for length in range(1, len(whole), 97):
            try:
                image = load_image(io.BytesIO(whole[:length]))
            except InputError:
                continue
            assert image.shape == (40, 40, 3)


def test_resize_squashes_to_the_size_and_keeps_equal_sizes():
    assert resize_image(QUARTERS, (16, 16)) is QUARTERS
    tall = resize_image(QUARTERS, (64, 8))
    assert tall.shape == (64, 8, 3)
    assert tall[0, 0].tolist() == [255, 0, 0]
    assert tall[-1, -1].tolist() == [255, 255, 255]
    assert np.array_equal(load_image(QUARTERS, size=(64, 8)), tall)
    ramp = np.zeros((1, 2, 3), np.uint8)
    ramp[0, 1] = 200
    assert resize_image(ramp, (1, 4))[0, :, 0].tolist() == [0, 50, 150, 200]  # bilinear, pixel centres


@pytest.mark.parametrize(
    ("image", "size"), [(QUARTERS, (0, 4)), (QUARTERS.astype(float), (4, 4)), (QUARTERS[..., 0], (4, 4)), ([1], (4, 4))]
)
def test_resize_refuses(image, size):
    with pytest.raises(InputError):
        resize_image(image, size)


def test_find_images(tmp_path):
    for name in ("b.jpeg", "a.JPG", ".hidden.jpg", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "c.png").mkdir()
    assert [path.name for path in find_images(str(tmp_path))] == ["a.JPG", "b.jpeg"]
    assert find_images(tmp_path / "notes.txt") == [tmp_path / "notes.txt"]
    with pytest.raises(InputError, match="holds no photo"):
        find_images(tmp_path / "c.png")
    with pytest.raises(InputError, match="not there"):
        find_images(tmp_path / "d")
    for name in ("c.png/z.jpg", "c.png/e/y.jpg", ".thumbnails/x.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert len(find_images(tmp_path)) == 2
    found = find_images(tmp_path, recursive=True)
    assert [path.name for path in found] == ["a.JPG", "b.jpeg", "y.jpg", "z.jpg"]


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared photographs")
def test_real_photographs():
    photos = find_images(SHARED / "flickr8k" / "Images")
    assert len(photos) == 8000
    image = load_image(photos[0])
    assert image.shape == (224, 224, 3)
    assert image.std() > 10
