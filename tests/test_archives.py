import shutil
import stat
import zipfile
from types import SimpleNamespace

import pytest

from captioning_utils import InputError
from captioning_utils.base.archives import check_room, unpack_zip


def write_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def everything_in(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_unpacks_all_but_the_finders_folder(tmp_path):
    members = {
        "Images/": "",
        "Images/a.jpg": "photo a",
        "captions.txt": "image,caption",
        "__MACOSX/Images/._a.jpg": "x",
    }
    paths = unpack_zip(write_zip(tmp_path / "a.zip", members), tmp_path / "out")
    assert everything_in(tmp_path / "out") == {"Images/a.jpg", "captions.txt"}
    assert {path.read_text() for path in paths} == {"photo a", "image,caption"}


def test_only_what_is_wanted(tmp_path):
    archive = write_zip(tmp_path / "a.zip", {"a/1.json": "1", "a/2.json": "2"})
    unpack_zip(archive, tmp_path / "out", {"a/2.json"})
    assert everything_in(tmp_path / "out") == {"a/2.json"}
    with pytest.raises(InputError, match=r"has no a/3\.json; delete it and get the right archive"):
        unpack_zip(archive, tmp_path / "out", {"a/3.json"})


def test_goes_on_where_it_stopped(tmp_path):
    archive = write_zip(tmp_path / "a.zip", {"1": "one", "2": "two", "3": "three"})
    out = tmp_path / "out"
    out.mkdir()
    (out / "1").write_text("ONE")  # the right size: taken as done
    (out / "2").write_text("t")  # cut short
    unpack_zip(archive, out)
    assert [(out / name).read_text() for name in "123"] == ["ONE", "two", "three"]
    assert everything_in(out) == {"1", "2", "3"}


@pytest.mark.parametrize(
    "name",
    ["../a.jpg", "/etc/a.jpg", "a/../../b.jpg", "..\\a.jpg", "C:/a.jpg", "a//b.jpg", "./a.jpg", "a\nb.jpg", ".."],
)
def test_a_name_that_leads_out_stops_it_all(tmp_path, name):
    archive = write_zip(tmp_path / "a.zip", {"good.jpg": "photo", name: "bad"})
    with pytest.raises(InputError, match="leads out of the folder or is a link"):
        unpack_zip(archive, tmp_path / "deep" / "out")
    assert everything_in(tmp_path) == {"a.zip"}


def test_links_are_refused(tmp_path):
    link = zipfile.ZipInfo("photos")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    write_zip(tmp_path / "a.zip", {link: "/etc", "photos/passwd": "mine"})
    with pytest.raises(InputError, match="is a link"):
        unpack_zip(tmp_path / "a.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_bomb_is_refused_by_the_size_it_announces(tmp_path):
    archive = write_zip(tmp_path / "a.zip", {"zeros": bytes(5_000_000)})
    assert archive.stat().st_size < 10_000
    with pytest.raises(InputError, match=r"unpacks to 5,000,000 bytes, more than the 1,000,000 allowed"):
        unpack_zip(archive, tmp_path / "out", max_bytes=1_000_000)
    assert not (tmp_path / "out").exists()


def test_a_bomb_that_lies_about_its_size_gives_no_more_than_it_said(tmp_path):
    archive = write_zip(tmp_path / "a.zip", {"zeros": bytes(5_000_000)})
    lie = archive.read_bytes().replace((5_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    archive.write_bytes(lie)
    with pytest.raises(InputError, match="cannot be unpacked"):
        unpack_zip(archive, tmp_path / "out", max_bytes=1_000_000)
    assert everything_in(tmp_path / "out") == set()


def test_a_flipped_bit_or_no_zip_is_noticed_and_leaves_nothing(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jpg", b"photo" * 1000)
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="CRC"):
        unpack_zip(path, tmp_path / "out")
    assert everything_in(tmp_path / "out") == set()
    for content in (b"", b"<html>sign in</html>"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"cannot be unpacked .* download it again"):
            unpack_zip(path, tmp_path / "out")


def test_a_full_disk_is_noticed_before(tmp_path, monkeypatch):
    archive = write_zip(tmp_path / "a.zip", {"a": "x" * 1000})
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=500))
    with pytest.raises(InputError, match=r"1\.0 GB are needed in .*out and 0\.0 GB are free"):
        unpack_zip(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    monkeypatch.undo()
    check_room(tmp_path / "not" / "there" / "yet", 1)
