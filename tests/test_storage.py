import contextlib

import numpy as np
import pytest

from captioning_utils.base.storage import read_storage, write_hdf5, write_storage
from captioning_utils.encoders.vgg16_arrays import write_arrays

ARRAYS = {f"{number:03d} layer kernel": np.full(5000, number, np.float32) for number in range(8)}


@contextlib.contextmanager
def full_disk(room):
    """No file grows beyond `room` bytes."""
    resource = pytest.importorskip("resource", reason="Windows has no such limits")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [0, 1000, 20_000, 100_000])
@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_storage(path, "toy", 1, {"words": ["a", "dog"] * 500}, ARRAYS),
        lambda path: write_arrays({name: (array, array[:3]) for name, array in ARRAYS.items()}, path),
    ],
    ids=["captioner", "weights"],
)
def test_a_full_disk_is_an_oserror_and_the_file_stays_as_it_was(tmp_path, write, room):
    path = tmp_path / "model.h5"
    write_storage(path, "toy", 1, {"words": []}, {})
    before = path.read_bytes()
    with full_disk(room), pytest.raises(OSError, match="File too large"):
        write(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_contents_are_the_same_bytes_also_while_another_file_is_made(tmp_path):
    for name in ("a.h5", "b.h5"):
        with write_hdf5(tmp_path / "other.h5") as other:
            other["x"] = np.zeros(3)
            write_storage(tmp_path / name, "toy", 1, {"words": ["naïve"]}, ARRAYS)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    documents, arrays = read_storage(tmp_path / "a.h5", "toy", 1)
    assert documents == {"words": ["naïve"]}
    assert all(np.array_equal(arrays[name], array) for name, array in ARRAYS.items())
