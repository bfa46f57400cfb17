import contextlib
import gzip
import io
import json
import shutil
import tarfile
import types

import numpy as np
import pytest
from PIL import Image
from toys import run, write_squares

from captioning_utils import InputError, load_dataset
from captioning_utils.base import archives
from captioning_utils.base.archives import read_tar
from captioning_utils.commands.data import check_main, pack_main
from captioning_utils.datasets import packing
from captioning_utils.images import load_image

SPLITS = ["train", "train", "train", "val", "test"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A dataset of five photos; what is unpacked goes into a cache of this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write_squares(tmp_path / "squares", SPLITS)


def write_tar(path, members, opener=open):
    """A tar archive of (name or `TarInfo`, content) pairs."""
    with opener(path, "wb") as file, tarfile.open(fileobj=file, mode="w") as archive:
        for member, content in members:
            member = tarfile.TarInfo(member) if isinstance(member, str) else member
            member.size = member.size or len(content)
            archive.addfile(member, io.BytesIO(content + bytes(member.size - len(content))))
    return path


def png(colour="red"):
    content = io.BytesIO()
    Image.new("RGB", (4, 4), colour).save(content, "PNG")
    return content.getvalue()


def pixels(dataset, size=None):
    return {image_id: load_image(path, size).tolist() for image_id, path in dataset.image_paths.items()}


@pytest.mark.parametrize("arguments", [[], ["--gzip"], ["--photos_per_shard", 2]])
def test_the_packed_dataset_is_the_dataset(folder, tmp_path, arguments):
    assert run(pack_main, folder, tmp_path / "out", *arguments) == 0
    before, after = load_dataset(folder), load_dataset(tmp_path / "out")
    assert (after.captions, after.splits, after.name) == (before.captions, before.splits, "squares")
    assert pixels(after) == pixels(before)
    assert after.problems == ()
    for image_id, path in after.image_paths.items():
        assert path.read_bytes() == before.image_paths[image_id].read_bytes()
    names = sorted(path.name for path in (tmp_path / "out").iterdir() if ".tar" in path.name)
    assert len(names) == (3 if "--photos_per_shard" in arguments else 1)
    assert load_dataset(tmp_path / "out" / "squares-*").captions == before.captions
    first = load_dataset(tmp_path / "out" / names[0])
    assert len(first.captions) == (2 if len(names) == 3 else 5)
    assert run(check_main, tmp_path / "out") in (0, 1)


@pytest.mark.parametrize(("photo_format", "ending"), [("jpeg", ".jpg"), ("webp", ".webp"), ("avif", ".avif")])
def test_photos_are_squashed_and_compressed(folder, tmp_path, photo_format, ending):
    out = tmp_path / "out"
    assert run(pack_main, folder, out, "--size", 16, "--format", photo_format, "--quality", 60) == 0
    before, after = load_dataset(folder), load_dataset(out)
    assert {path.suffix for path in after.image_paths.values()} == {ending}
    for image_id, expected in pixels(before, (16, 16)).items():
        assert np.abs(load_image(after.image_paths[image_id]).astype(int) - expected).max() < 12


def test_the_same_photos_give_the_same_bytes(folder, tmp_path):
    for place in ("a", "b"):
        packing.pack_dataset(load_dataset(folder), tmp_path / place, 16, "webp", compress=True)
    (first,), (second,) = (sorted((tmp_path / place).glob("*.gz")) for place in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def test_goes_on_after_the_last_whole_archive(folder, tmp_path, monkeypatch):
    dataset, whole, stopped = load_dataset(folder), tmp_path / "whole", tmp_path / "stopped"
    packing.pack_dataset(dataset, whole, photos_per_shard=2)
    read, opened = packing.encode_photo, []

    def encode(item, **settings):
        opened.append(item[0])
        if len(opened) == 4:
            raise KeyboardInterrupt
        return read(item, **settings)

    monkeypatch.setattr(packing, "encode_photo", encode)
    with pytest.raises(KeyboardInterrupt):
        packing.pack_dataset(dataset, stopped, photos_per_shard=2)
    assert sorted(path.name for path in stopped.iterdir()) == ["packing.json", "squares-000000.tar"]
    packing.pack_dataset(dataset, stopped, photos_per_shard=2)
    assert opened[4:] == ["2.png", "3.png", "4.png"]
    for path in whole.iterdir():
        assert (stopped / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("written", [0, 1])
def test_goes_on_after_a_stop_around_the_first_archive(folder, tmp_path, monkeypatch, written):
    left, write = [written], packing.write_json

    def stop(path, value):
        left[0] -= 1
        if left[0] >= 0:
            return write(path, value)
        path.parent.mkdir(exist_ok=True)
        path.with_name(f".{path.name}.00000000").write_text("ha")  # what a killed process leaves
        raise KeyboardInterrupt

    monkeypatch.setattr(packing, "write_json", stop)
    with contextlib.suppress(KeyboardInterrupt):
        packing.pack_dataset(load_dataset(folder), tmp_path / "out")
    monkeypatch.undo()
    packing.pack_dataset(load_dataset(folder), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["packing.json", "squares-000000.tar"]


def test_photos_that_cannot_be_read_are_left_out_and_told(folder, tmp_path, capsys):
    (folder / "Images" / "1.png").write_bytes(b"no photo")
    for _ in range(2):  # the second call finds all done, and tells it again
        assert run(pack_main, folder, tmp_path / "out", "--size", 8, "--format", "jpeg") == 1
        assert "left out: 1.png" in capsys.readouterr().out
    assert sorted(load_dataset(tmp_path / "out").captions) == ["0.png", "2.png", "3.png", "4.png"]


def test_other_settings_and_other_folders_are_refused(folder, tmp_path):
    dataset = load_dataset(folder)
    packing.pack_dataset(dataset, tmp_path / "out")
    with pytest.raises(InputError, match="packed with other settings; give a new folder"):
        packing.pack_dataset(dataset, tmp_path / "out", compress=True)
    with pytest.raises(InputError, match="not empty and holds no packed dataset"):
        packing.pack_dataset(dataset, folder)
    for settings, message in (
        ({"photo_format": "bmp"}, "there is no format 'bmp'"),
        ({"size": 8}, "cannot be stored as they are"),
        ({"size": 0, "photo_format": "jpeg"}, "size is 0"),
        ({"quality": 101}, "quality is 101"),
        ({"photos_per_shard": 0}, "photos_per_shard is 0"),
    ):
        with pytest.raises(InputError, match=message):
            packing.pack_dataset(dataset, tmp_path / "new", **settings)
    assert not (tmp_path / "new").exists()


def test_archives_of_other_programs(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    timed = tarfile.TarInfo("a/1.PNG")
    timed.mtime = 1.5  # Python then writes a note before the file
    members = [
        ("a", b""),
        (timed, png("red")),
        ("a/1.txt", "A café .".encode()),
        ("a/1.json", b'{"split": "train"}'),
        ("a/1.cls", b"7"),
        ("a/2.png", png("blue")),
        ("a/2.json", json.dumps({"caption": "A sea .", "split": "valid", "width": 4}).encode()),
        ("3.png", png()),
        ("4.json", b'{"captions": ["No photo ."]}'),
    ]
    members[0] = (tarfile.TarInfo("a"), b"")
    members[0][0].type = tarfile.DIRTYPE
    dataset = load_dataset(write_tar(tmp_path / "others.tar", members))
    assert dataset.name == "others"
    assert dataset.captions == {"a/1.png": ["A café ."], "a/2.png": ["A sea ."]}
    assert dataset.splits == {"train": ["a/1.png"], "val": ["a/2.png"], "test": []}
    assert load_image(dataset.image_paths["a/2.png"])[0, 0].tolist() == [0, 0, 255]
    assert dataset.notes["broken_entries"].count == 2


def test_photos_are_unpacked_once_where_they_are_wanted(folder, tmp_path):
    packing.pack_dataset(load_dataset(folder), tmp_path / "out")
    paths = load_dataset(tmp_path / "out", images=tmp_path / "fast").image_paths
    times = {path: path.stat().st_mtime_ns for path in paths.values()}
    assert all(path.is_relative_to(tmp_path / "fast") for path in times)
    cut = paths["0.png"]
    cut.write_bytes(b"cut short")
    again = load_dataset(tmp_path / "out", images=tmp_path / "fast").image_paths
    assert again == paths
    assert load_image(cut).shape == (40, 40, 3)
    assert all(path.stat().st_mtime_ns == time for path, time in times.items() if path != cut)
    assert not (tmp_path / "cache").exists()


def special(name, kind, linkname=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, linkname
    return member


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (special("1.png", tarfile.SYMTYPE, "/etc/passwd"), "no plain file"),
        (special("1.png", tarfile.LNKTYPE, "2.png"), "no plain file"),
        (special("1.png", tarfile.CHRTYPE), "no plain file"),
        (special("1.png", tarfile.FIFOTYPE), "no plain file"),
        (special("1.png", tarfile.GNUTYPE_SPARSE), "no plain file"),
        ("../1.png", "leads out"),
        ("/1.png", "leads out"),
        ("a\\..\\1.png", "leads out"),
        ("a" * 300 + ".png", "long names"),
        ("0.png", "twice"),
    ],
)
@pytest.mark.parametrize("opener", [open, gzip.open])
def test_hostile_members_are_refused(tmp_path, monkeypatch, member, message, opener):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = write_tar(tmp_path / "evil.tar", [("0.png", png()), (member, b"")], opener)
    with pytest.raises(InputError, match=message):
        load_dataset(path)
    assert {found.name for found in tmp_path.rglob("*") if found.is_file()} <= {"evil.tar", "000000.png"}


def test_a_member_that_claims_a_huge_size_and_a_bomb_are_refused(tmp_path, monkeypatch):
    header = tarfile.TarInfo("1.png")
    header.size = archives.MAX_MEMBER + 1
    path = tmp_path / "huge.tar"
    path.write_bytes(header.tobuf(tarfile.USTAR_FORMAT))
    with pytest.raises(InputError, match="more than is allowed"):
        list(read_tar(path))
    header.size = 10**6
    path.write_bytes(header.tobuf(tarfile.USTAR_FORMAT))
    with pytest.raises(InputError, match="ends too early"):
        [member.read() for member in read_tar(path)]
    monkeypatch.setattr(archives, "MAX_UNPACKED", 10**6)
    write_tar(path, [(f"{number}.png", bytes(10**5)) for number in range(20)], gzip.open)
    assert path.stat().st_size < 10**4
    with pytest.raises(InputError, match="more than is allowed"):
        list(read_tar(path))
    monkeypatch.setattr(archives, "MAX_MEMBERS", 3)
    with pytest.raises(InputError, match="too many files"):
        list(read_tar(path))


@pytest.mark.parametrize("opener", [open, gzip.open])
def test_cut_and_changed_archives_are_noticed(tmp_path, opener):
    path = write_tar(tmp_path / "a.tar", [(f"{number}.png", png()) for number in range(30)], opener)
    content = path.read_bytes()
    assert len(list(read_tar(path))) == 30
    for size in (0, 10, len(content) // 3, len(content) // 2 // 512 * 512):
        path.write_bytes(content[:size])
        with pytest.raises(InputError, match="no readable tar archive"):
            list(read_tar(path))
    place = 5 if opener is open else len(content) // 2  # a header, of which alone a tar archive has a checksum
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    with pytest.raises(InputError, match="no readable tar archive"):
        list(read_tar(path))
    path.write_bytes(content + bytes(archives.MAX_PADDING))
    if opener is open:  # behind the end of a gzipped file zeros mean nothing
        with pytest.raises(InputError, match="goes on after its end"):
            list(read_tar(path))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"[", "no JSON or text"),
        (b"\xff", "no JSON or text"),
        (b"[" * 100_000, "no JSON or text"),
        (b"7", "list of captions"),
        (b'{"captions": "A dog ."}', "list of captions"),
        (b'{"captions": [7]}', "7 where text is wanted"),
        (b'{"caption": null}', "no photo with a caption"),
        (b'{"captions": ["A dog ."], "split": "nowhere"}', "has the split 'nowhere'"),
        (b'{"captions": ["A dog ."], "image_id": "../../1.png"}', "without '..'"),
        (b'{"captions": ["A dog ."], "image_id": "0.png"}', "comes twice"),
        (b'{"captions": []}', "no photo with a caption"),
        (b" " * (10**6 + 1), "1,000,000 at most"),
    ],
)
def test_hostile_captions_are_refused(tmp_path, monkeypatch, record, message):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first = [("0.png", png()), ("0.txt", b"A cat .")] if "twice" in message else []
    path = write_tar(tmp_path / "evil.tar", [*first, ("1.png", png()), ("1.json", record)])
    with pytest.raises(InputError, match=message):
        load_dataset(path)


def test_what_is_no_packed_dataset(tmp_path):
    with pytest.raises(InputError, match="no file is named like"):
        load_dataset(tmp_path / "squares-*.tar")
    with pytest.raises(InputError, match="does not exist"):
        load_dataset(tmp_path / "squares-000000.tar")


def test_a_cache_without_room_is_told(folder, tmp_path, monkeypatch):
    packing.pack_dataset(load_dataset(folder), tmp_path / "out")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be unpacked into .* give another folder with images="):
        load_dataset(tmp_path / "out", images=tmp_path / "file")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: types.SimpleNamespace(free=10))
    with pytest.raises(InputError, match="make room"):
        load_dataset(tmp_path / "out", images=tmp_path / "empty")


def test_a_format_that_pillow_lacks_is_refused(tmp_path, monkeypatch):
    dataset = load_dataset(write_squares(tmp_path / "squares", ["train"] * 3))
    monkeypatch.setattr(packing.features, "check", lambda name: False)
    with pytest.raises(InputError, match="this installation of Pillow writes no webp; give another format"):
        packing.pack_dataset(dataset, tmp_path / "packed", photo_format="webp")
