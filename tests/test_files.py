import os
import subprocess
import sys

import pytest

from captioning_utils import InputError
from captioning_utils.base.files import (
    atomic_write,
    check_writable,
    is_temporary,
    join_parts,
    read_json,
    write_json,
    write_parts,
    write_text,
)

KILLED = """
import os, signal, sys
from captioning_utils.base.files import atomic_write
with atomic_write(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_file_is_as_private_as_the_user_wants_it(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a.txt", "a")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_failure_leaves_the_file_as_it_was_and_nothing_beside_it(tmp_path):
    write_text(tmp_path / "a.txt", "before")

    def stop_half_way():
        with atomic_write(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stop_half_way()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "before")]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")
@pytest.mark.parametrize("name", ["a.txt", "a" * 255])
def test_what_a_killed_process_left_is_removed_by_the_next_write_of_the_same_file(tmp_path, name):
    write_text(tmp_path / name, "before")
    write_text(tmp_path / "other.txt", "another file")
    for _ in range(3):
        subprocess.run([sys.executable, "-c", KILLED, tmp_path / name], check=False)
    (left,) = [path for path in tmp_path.iterdir() if is_temporary(path)]
    assert left.read_text() == "half"
    assert (tmp_path / name).read_text() == "before"
    write_text(tmp_path / "other.txt", "another file")
    assert left.exists()
    write_text(tmp_path / name, "after")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: "after", "other.txt": "another file"}


def test_two_who_write_the_same_file_at_once_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_write(path) as first, atomic_write(path) as second:
        first.write_text("first")
        second.write_text("second")
        assert first != second
        assert not path.exists()
    assert path.read_text() == "first"  # the last to finish
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="its paths end earlier")
def test_a_name_that_is_too_long_is_refused_before_the_work(tmp_path):
    check_writable(tmp_path / "new" / ("a" * 255))
    for path in (tmp_path / ("a" * 256), tmp_path / "new" / ("a" * 256), tmp_path / ("a" * 256) / "model.h5"):
        with pytest.raises(InputError, match="File name too long"):
            check_writable(path)


def test_a_file_name_that_is_no_utf_8_does_not_lose_the_work(tmp_path):
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")  # as Linux gives a name in Latin-1
    write_json(tmp_path / "a.json", {name: "a dog"})
    assert read_json(tmp_path / "a.json") == {name: "a dog"}
    write_text(tmp_path / "a.csv", f"{name},é\n")
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == "caf\\udce9.jpg,é\n"


@pytest.mark.parametrize("size", [0, 1, 10, 11, 95])
def test_parts_are_the_file_cut(tmp_path, size):
    content = os.urandom(size)
    (tmp_path / "model.h5").write_bytes(content)
    parts = write_parts(tmp_path / "model.h5", most=10)
    assert len(parts) == max(1, -(-size // 10))
    assert b"".join(part.read_bytes() for part in parts) == content
    assert max(part.stat().st_size for part in parts) <= 10
    joined = join_parts(parts[-1], tmp_path / "joined.h5")
    assert joined.read_bytes() == content
    assert {path.name for path in tmp_path.iterdir()} == {"model.h5", "joined.h5", *(part.name for part in parts)}


def test_parts_that_are_not_the_file_are_refused(tmp_path):
    (tmp_path / "model.h5").write_bytes(bytes(25))
    first, second, third = write_parts(tmp_path / "model.h5", most=10)
    second.write_bytes(bytes(9) + b"x")
    with pytest.raises(InputError, match=r"the parts of model\.h5 are damaged"):
        join_parts(first, tmp_path / "joined.h5")
    third.unlink()
    with pytest.raises(InputError, match=r"3of3 is missing; put all 3 parts into one folder"):
        join_parts(first, tmp_path / "joined.h5")
    with pytest.raises(InputError, match="is no part of a file"):
        join_parts(tmp_path / "model.h5", tmp_path / "joined.h5")
    assert not (tmp_path / "joined.h5").exists()
