import dataclasses
import hashlib
import io
import json
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from captioning_utils import InputError
from captioning_utils.__main__ import main
from captioning_utils.base import transfer
from captioning_utils.commands import data as data_commands
from captioning_utils.commands import shell
from captioning_utils.datasets import download_coco
from captioning_utils.datasets.download import (
    COCO_ARCHIVES,
    FLICKR8K_MD5,
    WITHOUT_DOWNLOAD,
    CocoArchive,
    download_flickr8k,
    find_dataset,
)


def zip_bytes(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def photo():
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), "navy").save(buffer, "JPEG")
    return buffer.getvalue()


def annotations(numbers):
    images = [{"id": number, "file_name": f"{number}.jpg"} for number in numbers]
    return json.dumps({"images": images, "annotations": [{"image_id": n, "caption": f"photo {n}"} for n in numbers]})


@pytest.fixture
def server(tmp_path, serve_folder, monkeypatch):
    """COCO in small on a server of our own: (base_url, archives, the server's folder)."""
    monkeypatch.setattr(transfer, "WAITS", ())
    names = ("annotations/captions_train2017.json", "annotations/captions_val2017.json")
    contents = {
        "annotations/both.zip": zip_bytes({names[0]: annotations([1, 2]), names[1]: annotations([3, 4]), "other": "x"}),
        "zips/val2017.zip": zip_bytes({f"val2017/{n}.jpg": photo() for n in (3, 4)}),
        "zips/train2017.zip": zip_bytes({f"train2017/{n}.jpg": photo() for n in (1, 2)}),
    }
    folder = tmp_path / "server"
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    facts = [(path, len(content), hashlib.sha256(content).hexdigest()) for path, content in contents.items()]
    archives = [CocoArchive(*facts[0], names, 0), *(CocoArchive(*each, (), 2) for each in facts[1:])]
    return serve_folder(folder), archives, folder


def files_in(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


COMPLETE = {"train2017/1.jpg", "train2017/2.jpg", "val2017/3.jpg", "val2017/4.jpg"} | {
    f"annotations/captions_{part}2017.json" for part in ("train", "val")
}


def test_coco_comes_whole_and_only_once_and_a_lost_photo_again(tmp_path, server):
    base_url, archives, _ = server
    dataset = download_coco(tmp_path / "coco", base_url, archives)
    assert {split: len(names) for split, names in dataset.splits.items()} == {"train": 2, "val": 1, "test": 1}
    assert files_in(tmp_path / "coco") == COMPLETE
    assert download_coco(tmp_path / "coco", "http://127.0.0.1:1/", archives) == dataset  # asks no server
    (tmp_path / "coco" / "val2017" / "3.jpg").unlink()
    download_coco(tmp_path / "coco", base_url, archives)
    assert files_in(tmp_path / "coco") == COMPLETE


def test_goes_on_after_a_stop(tmp_path, server):
    base_url, archives, folder = server
    train = (folder / "zips/train2017.zip").read_bytes()
    (folder / "zips/train2017.zip").unlink()
    with pytest.raises(InputError, match="404"):
        download_coco(tmp_path / "coco", base_url, archives)
    (tmp_path / "coco" / "train2017.zip.part").write_bytes(train[:100])
    (folder / "zips/train2017.zip").write_bytes(train)
    (folder / "zips/val2017.zip").unlink()  # is not needed any more
    download_coco(tmp_path / "coco", base_url, archives)
    assert files_in(tmp_path / "coco") == COMPLETE


def test_an_archive_that_a_stop_left_is_removed(tmp_path, server):
    base_url, archives, folder = server
    dataset = download_coco(tmp_path / "coco", base_url, archives)
    (tmp_path / "coco" / "val2017.zip").write_bytes((folder / "zips/val2017.zip").read_bytes())
    assert download_coco(tmp_path / "coco", base_url, archives) == dataset
    assert files_in(tmp_path / "coco") == COMPLETE


def test_another_content_of_the_same_size_is_not_kept(tmp_path, server):
    base_url, archives, folder = server
    content = bytearray((folder / "zips/val2017.zip").read_bytes())
    content[50] ^= 1
    (folder / "zips/val2017.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"val2017.zip.part is damaged or another file: its SHA-256 is"):
        download_coco(tmp_path / "coco", base_url, archives)
    assert not any("val2017.zip" in name for name in files_in(tmp_path / "coco"))


def test_an_archive_that_somebody_put_there_is_checked_and_used(tmp_path, server):
    base_url, archives, folder = server
    (tmp_path / "coco").mkdir()
    (folder / "zips/val2017.zip").rename(tmp_path / "coco" / "val2017.zip")
    (tmp_path / "coco" / "train2017.zip").write_bytes(b"another file")
    with pytest.raises(InputError, match=r"train2017.zip is damaged or another file"):
        download_coco(tmp_path / "coco", base_url, archives)
    (tmp_path / "coco" / "train2017.zip").unlink()
    download_coco(tmp_path / "coco", base_url, archives)
    assert files_in(tmp_path / "coco") == COMPLETE


def test_another_size_is_refused(tmp_path, server):
    base_url, archives, folder = server
    (folder / "annotations/both.zip").write_bytes(b"<html>sign in to this network</html>")
    with pytest.raises(InputError, match="it is another file"):
        download_coco(tmp_path / "coco", base_url, archives)


def test_a_small_disk_is_noticed_before_anything_is_fetched(tmp_path, server):
    base_url = server[0]
    huge = [CocoArchive("zips/train2017.zip", 10**18, "00")]
    with pytest.raises(InputError, match="GB are free; make room"):
        download_coco(tmp_path / "coco", base_url, huge)
    assert not (tmp_path / "coco").exists()


def test_the_published_facts_are_whole():
    assert [archive.size for archive in COCO_ARCHIVES] == [252907541, 815585330, 19336861798]
    for archive in COCO_ARCHIVES:
        assert len(bytes.fromhex(archive.sha256)) == 32
        assert bool(archive.names) != bool(archive.num_photos)


# ---- datasets that are fetched by hand


def run(*arguments):
    return main([str(argument) for argument in arguments])


@pytest.mark.parametrize("name", WITHOUT_DOWNLOAD)
def test_says_where_to_get_it_and_where_to_put_it(tmp_path, capsys, name):
    assert run("download", name, "--to", tmp_path) == shell.REFUSED
    captured = capsys.readouterr()
    assert captured.out.count("https://") >= 2
    assert f"Put the .zip files into {tmp_path / name}" in captured.out
    assert captured.err.startswith("error: ")
    assert len(captured.err.splitlines()) == 1


def put_archives(folder):
    """Flickr8k's two archives as its authors made them, in small."""
    folder.mkdir(parents=True)
    photos = {f"Flicker8k_Dataset/{n}.jpg": photo() for n in (1, 2, 3)} | {"__MACOSX/._1.jpg": b"x"}
    (folder / "Flickr8k_Dataset.zip").write_bytes(zip_bytes(photos))
    lines = "".join(f"{n}.jpg#0\tA dog number {n} .\n" for n in (1, 2, 3))
    lists = {f"Flickr_8k.{part}Images.txt": f"{n}.jpg\n" for n, part in ((1, "train"), (2, "dev"), (3, "test"))}
    (folder / "Flickr8k_text.zip").write_bytes(zip_bytes({"Flickr8k.token.txt": lines, **lists}))


def test_unpacks_what_was_put_there(tmp_path, capsys):
    put_archives(tmp_path / "flickr8k")
    assert run("download", "flickr8k", "--to", tmp_path) == shell.OK
    out = capsys.readouterr().out
    assert "train 1 photo, val 1 photo, test 1 photo" in out
    assert f"check {tmp_path / 'flickr8k'}" in out
    for archive in (tmp_path / "flickr8k").glob("*.zip"):
        archive.unlink()
    assert run("download", "flickr8k", "--to", tmp_path) == shell.OK  # already there


@pytest.fixture
def flickr8k_server(tmp_path, serve_folder, monkeypatch):
    """The copy of Flickr8k in small on a server of our own: (base_url, MD5 of the archives, the server's folder)."""
    monkeypatch.setattr(transfer, "WAITS", ())
    folder = tmp_path / "server"
    put_archives(folder)
    digests = {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in FLICKR8K_MD5}
    return serve_folder(folder), digests, folder


def test_flickr8k_is_fetched_once_and_only_what_is_missing(tmp_path, flickr8k_server):
    base_url, digests, folder = flickr8k_server
    place = tmp_path / "flickr8k"
    place.mkdir()
    (folder / "Flickr8k_text.zip").rename(place / "Flickr8k_text.zip")  # somebody put one of the two there
    dataset = download_flickr8k(place, base_url, digests)
    assert {split: len(names) for split, names in dataset.splits.items()} == {"train": 1, "val": 1, "test": 1}
    assert not list(place.glob("*.zip*"))
    assert download_flickr8k(place, "http://127.0.0.1:1/", digests) == dataset  # asks no server


def test_another_archive_in_flickr8ks_place_is_refused(tmp_path, flickr8k_server):
    base_url, digests, folder = flickr8k_server
    (folder / "Flickr8k_text.zip").write_bytes(zip_bytes({"captions.txt": "image,caption\n"}))
    with pytest.raises(InputError, match=r"Flickr8k_text.zip.part is damaged or another file: its MD5 is"):
        download_flickr8k(tmp_path / "flickr8k", base_url, digests)
    assert files_in(tmp_path / "flickr8k") == set()


def test_without_a_network_the_command_says_where_else_flickr8k_is(tmp_path, monkeypatch, capsys):
    def fail(folder):
        raise InputError("no network")

    monkeypatch.setattr(data_commands, "download_flickr8k", fail)
    assert run("download", "flickr8k", "--to", tmp_path) == shell.REFUSED
    captured = capsys.readouterr()
    assert "not for commerce" in captured.out
    assert "Flickr8k_Dataset.zip" in captured.out
    assert "no network" in captured.err


def test_a_hostile_archive_stays_packed(tmp_path):
    (tmp_path / "flickr8k").mkdir()
    (tmp_path / "flickr8k" / "a.zip").write_bytes(zip_bytes({"captions.txt": "image,caption", "../evil": "x"}))
    with pytest.raises(InputError, match="leads out of the folder"):
        find_dataset(tmp_path / "flickr8k")
    assert files_in(tmp_path) == {"flickr8k/a.zip"}


def test_the_command_names_terms_and_size_before_it_fetches(tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(data_commands, "download_coco", lambda folder: asked.append(folder) or find_dataset(folder))
    put_archives(tmp_path / "coco")
    assert run("download", "coco", "--to", tmp_path) == shell.OK
    assert asked == [Path(tmp_path) / "coco"]
    assert "CC BY 4.0" in capsys.readouterr().out

    def fail(folder):
        raise InputError("no network")

    monkeypatch.setattr(data_commands, "download_coco", fail)
    with pytest.raises(InputError, match="no network"):
        data_commands.download_main(["coco"])
    assert "cocodataset.org/#download" in capsys.readouterr().out


def test_an_unknown_dataset(capsys):
    with pytest.raises(SystemExit) as stop:
        run("download", "imagenet")
    assert stop.value.code == shell.REFUSED
    assert "flickr30k" in capsys.readouterr().err


def test_an_archive_with_too_few_photos_is_kept_and_told(tmp_path, server):
    base_url, archives, _ = server
    archives[1] = dataclasses.replace(archives[1], num_photos=3)
    with pytest.raises(InputError, match=r"val2017\.zip did not hold what it should; delete it"):
        download_coco(tmp_path / "coco", base_url, archives)
