"""The reader of HDF5 files: what h5py writes comes back, and what it does not write by default is refused."""

import io
import random
import re
import tracemalloc

import h5py
import numpy as np
import pytest

from captioning_utils import InputError
from captioning_utils.base import plain_hdf5
from captioning_utils.base.plain_hdf5 import read_plain_hdf5
from captioning_utils.base.storage import read_storage, write_storage


def write(fill, **options):
    file = io.BytesIO()
    with h5py.File(file, "w", **options) as opened:
        fill(opened)
    return file.getvalue()


def write_arrays(arrays):
    return write(lambda file: [file.create_dataset(name, data=array) for name, array in arrays.items()])


def test_what_h5py_writes_is_read():
    generator = np.random.default_rng(0)
    arrays = {f"numbers/{kind}": (100 * generator.random((3, 4))).astype(kind) for kind in "f2 f4 f8 i1 u1 i8".split()}
    arrays |= {f"many/{number:04}": np.full(number % 3, number, "float32") for number in range(2000)}
    arrays |= {"deep/" + "a/" * 6 + "b": np.float32(7), "Wörter/日本": np.zeros((2, 0, 3), "float16")}
    found = read_plain_hdf5(write_arrays(arrays)).arrays
    assert {"/".join(path) for path in found} == set(arrays)
    for name, array in arrays.items():
        ours = found[tuple(name.split("/"))]
        assert (ours.dtype, ours.shape) == (array.dtype, array.shape)
        assert np.array_equal(ours, array)


def test_attributes_of_text_and_whole_numbers_are_read_and_others_passed_over():
    values = {"kind": "captioner – größer", "version": 3, "share": 0.5, "shape": [1, 2], "names": [b"a"]}
    values |= {f"filler {number}": "x" * number for number in range(50)}
    found = read_plain_hdf5(write(lambda file: file.attrs.update(values))).attributes
    assert found == values | {"share": None, "shape": None, "names": None}


HOSTILE = {
    "an external link": (
        lambda file: file.__setitem__("a/b", h5py.ExternalLink("/etc/passwd", "/")),
        "'a' holds links",
    ),
    "a soft link": (lambda file: file.__setitem__("a", h5py.SoftLink("/b")), "link .'a'"),
    "a circle": (lambda file: file.create_group("a").__setitem__("b", file), "circles"),
    "chunks": (lambda file: file.create_dataset("a", (2**40,), "f4", chunks=(2**10,)), "'a' is not a plain array"),
    "a filter": (lambda file: file.create_dataset("a", data=np.zeros(9), compression="gzip"), "'a' is not a plain"),
    "text": (lambda file: file.create_dataset("a/b", data=[b"text"]), "'a/b' is not a plain array"),
    "objects": (lambda file: file.create_dataset("a", (2,), h5py.string_dtype()), "'a' is not a plain array"),
    "another byte order": (lambda file: file.create_dataset("a", data=np.zeros(2, ">f4")), "'a' is not a plain array"),
    "truth values": (lambda file: file.create_dataset("a", data=[True]), "'a' is not a plain array"),
    "nothing": (lambda file: file.create_dataset("a", data=h5py.Empty("f4")), "'a' is not a plain array"),
    "many axes": (lambda file: file.create_dataset("a", data=np.zeros((1,) * 9)), "'a' is not a plain array"),
    "other files' data": (
        lambda file: file.create_dataset("a", (9,), "u1", external=[("/etc/passwd", 0, 9)]),
        "'a' is not a plain array",
    ),
    "data of another array": (
        lambda file: file.create_virtual_dataset("a", make_layout()),
        "'a' is not a plain array",
    ),
}


def make_layout():
    layout = h5py.VirtualLayout((9,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "data", (9,))
    return layout


@pytest.mark.parametrize("name", HOSTILE)
def test_what_could_reach_out_or_blow_up_is_refused(name):
    fill, message = HOSTILE[name]
    with pytest.raises(InputError, match=message):
        read_plain_hdf5(write(fill))


def test_files_of_the_newer_format_and_of_other_programs_are_refused():
    newer = write(lambda file: file.__setitem__("a", np.zeros(3)), libver="latest")
    for content in (b"", b"\x89HDF\r\n\x1a\n", b"\x93NUMPY", newer):
        with pytest.raises(ValueError, match=r"ended|begin|default"):
            read_plain_hdf5(content)


def test_groups_that_share_groups_end_soon(monkeypatch):
    def fill(file):
        below = file.create_group("0")
        for level in range(1, 7):
            group = file.create_group(f"{level}")
            for number in range(300):  # 300 ** 6 ways through them
                group[f"{number}"] = below
            below = group

    monkeypatch.setattr(plain_hdf5, "MAX_STEPS", 20_000)
    with pytest.raises(InputError, match="more than 20,000 parts"):
        read_plain_hdf5(write(fill))


def test_an_array_under_many_names_is_refused():
    def fill(file):
        file["a"] = np.zeros(10_000)
        for number in range(50):
            file[f"b{number}"] = file["a"]

    with pytest.raises(ValueError, match="more data than it holds"):
        read_plain_hdf5(write(fill))


@pytest.fixture
def storage(tmp_path):
    path = tmp_path / "a.h5"
    arrays = {f"{number:03} kernel": np.full((3, 4), number, "float32") for number in range(12)}
    write_storage(path, "demo", 1, {"words": ["a", "dog"], "more": {}}, arrays)
    return path


def read_or_refuse(path):
    try:
        return read_storage(path, "demo", 1)
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return None


def test_a_file_cut_anywhere_is_refused(storage):
    whole = storage.read_bytes()
    for length in range(0, len(whole), 37):
        storage.write_bytes(whole[:length])
        assert read_or_refuse(storage) is None


def test_a_byte_changed_anywhere_ends_in_a_refusal_or_in_the_same_content(storage):
    whole, (documents, arrays) = storage.read_bytes(), read_storage(storage, "demo", 1)
    generator = random.Random(0)
    used = [place for place in range(len(whole)) if whole[place] or place % 16 == 0]
    refused = 0
    tracemalloc.start()
    for place in generator.sample(used, 800):
        content = bytearray(whole)
        content[place] = generator.choice([0, 1, 127, 128, 255, content[place] ^ 1 << generator.randrange(8)])
        storage.write_bytes(content)
        found = read_or_refuse(storage)
        refused += found is None
        assert found is None or (found[0] == documents and found[1].keys() == arrays.keys())
        assert found is None or all(np.array_equal(found[1][name], array) for name, array in arrays.items())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**6
    assert refused > 200


def test_a_changed_number_is_noticed_and_files_from_before_have_no_digest(storage):
    _, arrays = read_storage(storage, "demo", 1)
    with h5py.File(storage, "r+") as file:
        file["arrays/005 kernel"][1, 2] += 1
    with pytest.raises(InputError, match="its content was changed after it was written"):
        read_storage(storage, "demo", 1)
    with h5py.File(storage, "r+") as file:
        del file.attrs["digest"]
    changed = read_storage(storage, "demo", 1)[1]["005 kernel"]
    assert (changed - arrays["005 kernel"]).sum() == 1


def test_messages_are_one_line_with_the_file(storage):
    storage.write_bytes(storage.read_bytes()[:500])
    with pytest.raises(InputError, match=re.escape(f"{storage} is no readable HDF5 file (it has 500 of")):
        read_storage(storage, "demo", 1)
