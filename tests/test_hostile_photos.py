"""Photos, and folders of them, as strangers send them: notes beside the picture, endless ones, names, links."""

import contextlib
import io
import itertools
import os
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from toys import ToyEncoder, make_captioner, run

from captioning_utils import InputError
from captioning_utils.commands.data import check_main
from captioning_utils.commands.generate import generate_main
from captioning_utils.commands.shell import OK, PARTLY, REFUSED
from captioning_utils.datasets import check_dataset, load_dataset
from captioning_utils.features import extract_features
from captioning_utils.images import find_images, load_image

PHOTO = Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
NOISE = np.random.default_rng(0).bytes(60_000)
BROKEN = {
    "exif": [
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12" * 9,
        b"Exif\0\0" + NOISE,
    ],
    "icc_profile": [b"no profile", b"\0" * 200, NOISE],
    "xmp": [b"<x:xmpmeta" + b"<a>" * 2000, b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>", NOISE],
}


def save(kind, **notes):
    """A photo as an open file."""
    if "xmp" in notes and kind == "TIFF":
        notes = {"tiffinfo": {700: notes["xmp"]}}
    elif "xmp" in notes and kind == "PNG":
        notes = {"pnginfo": add_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + notes["xmp"])}
    file = io.BytesIO()
    PHOTO.save(file, kind, **notes)
    return file


def add_chunk(name, content):
    chunks = PngInfo()
    chunks.add(name, content)
    return chunks


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    ("kind", "note"),
    [pair for pair in itertools.product(["JPEG", "PNG", "WEBP", "TIFF"], BROKEN) if pair != ("TIFF", "exif")],
)
def test_broken_notes_beside_the_picture_change_nothing(kind, note):
    plain = save(kind)
    for content in BROKEN[note]:
        photo = save(kind, **{note: content})
        assert len(photo.getvalue()) > len(plain.getvalue())
        assert np.array_equal(load_image(photo), load_image(plain))


@pytest.mark.parametrize("chunk", [(b"zTXt", b"a\0\0"), (b"iCCP", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0")])
def test_notes_that_unpack_to_a_hundred_megabytes_do_not(chunk):
    name, start = chunk
    photo = save("PNG", pnginfo=add_chunk(name, start + zlib.compress(bytes(10**8), 9)))
    tracemalloc.start()
    with contextlib.suppress(InputError):  # refused, or read without the note
        assert np.array_equal(load_image(photo), np.asarray(PHOTO))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**7


def test_of_an_endless_animation_the_first_picture_is_read(tmp_path):
    file = io.BytesIO()
    PHOTO.convert("P").save(file, "GIF", save_all=True, append_images=[PHOTO.rotate(90).convert("P")])
    whole = file.getvalue()
    picture = whole[whole.rindex(b"\x21\xf9") : -1]  # the second one; the last byte would be the end
    (tmp_path / "a.gif").write_bytes(whole[:-1] + picture * 50_000)
    with open(tmp_path / "a.gif", "rb") as opened:
        assert np.array_equal(load_image(opened), load_image(PHOTO.convert("P")))
        assert opened.tell() < 100_000 < os.path.getsize(opened.name)


# ---- names

NAMES = ["a\nb.jpg", "a\rb: a lie.jpg", "\x1b[2J.jpg", "a\u2028b.jpg", "a..b.jpg", "é犬.jpg", "x" * 251 + ".jpg"]
needs_such_names = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")


@pytest.fixture
def folder(tmp_path):
    """Photos with all of these names, one of which is none."""
    for name in NAMES:
        PHOTO.save(tmp_path / name, "JPEG")
    (tmp_path / "a\nb.jpg").write_text("no photo")
    return tmp_path


@needs_such_names
def test_any_name_is_read_and_told_in_one_line(folder, capsys):
    assert sorted(path.name for path in find_images(folder)) == sorted(NAMES)
    cache = extract_features({path.name: path for path in find_images(folder)}, ToyEncoder(), folder / "a.pkl")
    assert sorted(cache.image_ids) == sorted(set(NAMES) - {"a\nb.jpg"})
    told = capsys.readouterr().err
    assert "a\\nb.jpg is not a photo" in told
    for path in (folder / "a\nb.jpg", folder / "\x1b[2J\u2028.jpg"):
        with pytest.raises(InputError) as caught:
            load_image(path)
        assert str(caught.value).isprintable()


@needs_such_names
def test_no_name_can_write_lines_of_its_own_or_move_the_terminal(folder, capsys, monkeypatch):
    captioner = make_captioner(feature_shape=(3,))
    captioner.image_encoder = lambda weights_path=None: ToyEncoder()
    monkeypatch.setattr("captioning_utils.captioner.load_captioner", lambda name: captioner)
    assert run(generate_main, "--image_path", folder) == PARTLY
    shown = capsys.readouterr()
    lines = shown.out.splitlines() + shown.err.splitlines()
    assert len(shown.out.split("\n")) == len(NAMES)  # one a photo that can be read, and the end of the last
    assert not [line for line in lines if line.startswith("b")]
    assert "\x1b[2J" not in shown.out + shown.err.rpartition("\r")[2]


@needs_such_names
def test_any_name_may_stand_in_a_table(folder, capsys):
    rows = "".join(f'"{name}",a dog\n' for name in NAMES)
    (folder / "captions.csv").write_text(f"image,caption\n{rows}", encoding="utf-8", newline="")
    assert sorted(load_dataset(folder).image_paths) == sorted(NAMES)
    assert run(check_main, folder) in (OK, PARTLY, REFUSED)
    assert "\x1b" not in capsys.readouterr().out


# ---- links


@pytest.fixture
def linked(tmp_path):
    """A dataset whose photos are links: to a photo elsewhere, to a secret, to nothing, to itself."""
    outside, inside = tmp_path / "outside", tmp_path / "dataset"
    outside.mkdir()
    inside.mkdir()
    PHOTO.save(outside / "photo.png")
    (outside / "secret.txt").write_text("password: sesame")
    for name, target in (("a", "photo.png"), ("b", "secret.txt"), ("c", "missing.png")):
        (inside / f"{name}.png").symlink_to(outside / target)
    (inside / "d.png").symlink_to(inside / "d.png")
    (inside / "again").symlink_to(inside, target_is_directory=True)
    (inside / "captions.csv").write_text("image,caption\n" + "".join(f"{name}.png,a dog\n" for name in "abcd"))
    return inside


@pytest.mark.skipif(sys.platform == "win32", reason="Windows asks for a right to make links")
def test_links_are_followed_to_photos_and_tell_nothing_of_other_files(linked):
    dataset = load_dataset(linked)
    assert sorted(dataset.image_paths) == ["a.png", "b.png"]
    assert np.array_equal(load_image(dataset.image_paths["a.png"]), np.asarray(PHOTO))
    with pytest.raises(InputError, match=r"b\.png is not a photo") as caught:
        load_image(dataset.image_paths["b.png"])
    assert "sesame" not in str(caught.value)
    with pytest.raises(InputError, match="is not there"):
        load_image(linked / "c.png")
    assert [path.name for path in find_images(linked, recursive=True)] == ["a.png", "b.png"]  # no endless descent
    report = check_dataset(linked)
    assert "sesame" not in report.format()
    assert "2 photos are missing" in report.format()
