import contextlib
import os
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toys import ToyEncoder

from captioning_utils import InputError, features
from captioning_utils.base import plain_pickle
from captioning_utils.base.files import read_json, write_json
from captioning_utils.features import extract_features, load_features
from captioning_utils.images import find_images, load_image

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture
def photos(tmp_path):
    """50 photos of 50 colours; number 7 is text, number 8 is not there."""
    paths = {f"{number:02}.png": tmp_path / "photos" / f"{number:02}.png" for number in range(50)}
    (tmp_path / "photos").mkdir()
    for number, path in enumerate(paths.values()):
        Image.new("RGB", (8, 8), (number, 2 * number, 3 * number)).save(path)
    paths["07.png"].write_text("no photo")
    paths["08.png"].unlink()
    return paths


@pytest.fixture(params=["features.pkl", "grids"])
def cache_path(request, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "IMAGES_PER_SHARD", 12)
    return tmp_path / "caches" / request.param


def toy(cache_path, fingerprint="toy", **arguments):
    return ToyEncoder((3,) if cache_path.suffix == ".pkl" else (4, 3), fingerprint, **arguments)


def files_of(path):
    paths = sorted(path.iterdir()) if path.is_dir() else [path]
    return {each.name: each.read_bytes() for each in paths}


def test_features_come_back_by_image_id(photos, cache_path):
    encoder = toy(cache_path)
    cache = extract_features(photos, encoder, cache_path, batch_size=4)
    assert sum(encoder.batches) == len(cache) == 48
    assert cache.fingerprint == "toy"
    assert cache.output_shape == encoder.output_shape
    assert "07.png" not in cache
    assert "09.png" in cache
    wanted = ["33.png", "00.png", "49.png", "33.png"]
    expected = np.array([[n, 2 * n, 3 * n] for n in (33, 0, 49, 33)], np.float16)
    found = cache.get(wanted)
    assert found.dtype == np.float16
    assert found.shape == (4, *encoder.output_shape)
    assert np.array_equal(found if found.ndim == 2 else found[:, 2], expected)
    assert cache.get([]).shape == (0, *encoder.output_shape)
    again = load_features(str(cache_path))
    assert again.image_ids == cache.image_ids == [key for key in photos if key not in ("07.png", "08.png")]
    assert np.array_equal(again.get(cache.image_ids), cache.get(cache.image_ids))


def test_unreadable_photos_are_listed_and_tried_again(photos, cache_path, capsys):
    cache = extract_features(photos, toy(cache_path), cache_path)
    assert set(cache.skipped) == {"07.png", "08.png"}
    assert "left out: 07.png: " in capsys.readouterr().err
    with pytest.raises(InputError, match=r"no features of 2 photos, first '07.png': .* not a photo"):
        cache.get(["00.png", "07.png", "x"])
    Image.new("RGB", (8, 8), (7, 14, 21)).save(photos["07.png"])
    encoder = toy(cache_path)
    cache = extract_features(photos, encoder, cache_path)
    assert encoder.batches == [1]
    assert cache.get(["07.png"]).ravel()[:3].tolist() == [7, 14, 21]
    assert list(load_features(cache_path).skipped) == ["08.png"]


@pytest.mark.parametrize(
    ("removed", "error"), [(1, KeyboardInterrupt), (4, KeyboardInterrupt), (0, PermissionError), (3, PermissionError)]
)
def test_a_stop_while_the_partial_folder_is_removed_costs_nothing(photos, tmp_path, monkeypatch, removed, error):
    def stop(folder):
        for path in sorted(folder.iterdir(), reverse=True)[:removed]:
            path.unlink()
        raise error

    path = tmp_path / "caches" / "features.pkl"
    monkeypatch.setattr(features, "IMAGES_PER_SHARD", 12)
    whole = extract_features(photos, ToyEncoder(), tmp_path / "undisturbed.pkl")
    monkeypatch.setattr(features.shutil, "rmtree", stop)
    with contextlib.suppress(KeyboardInterrupt):
        assert extract_features(photos, ToyEncoder(), path, batch_size=4).image_ids == whole.image_ids
    monkeypatch.undo()  # shards are larger now, too
    encoder = ToyEncoder()
    assert extract_features(photos, encoder, path).image_ids == whole.image_ids
    assert encoder.batches == []
    assert path.read_bytes() == (tmp_path / "undisturbed.pkl").read_bytes()
    assert list(path.parent.iterdir()) == [path]


def test_a_complete_cache_and_one_of_another_encoder_are_left_alone(photos, cache_path):
    extract_features(photos, toy(cache_path), cache_path)
    before = files_of(cache_path), [path.stat().st_mtime_ns for path in cache_path.parent.rglob("*")]
    encoder = toy(cache_path)
    extract_features(dict(list(photos.items())[:20]), encoder, cache_path)
    extract_features(photos, encoder, cache_path)
    assert encoder.batches == []
    with pytest.raises(InputError, match="it has 'toy', wanted is 'other'"):
        extract_features(photos, toy(cache_path, fingerprint="other"), cache_path)
    assert before == (files_of(cache_path), [path.stat().st_mtime_ns for path in cache_path.parent.rglob("*")])


def test_new_photos_are_added(photos, cache_path):
    some = dict(list(photos.items())[10:30])
    extract_features(some, toy(cache_path), cache_path)
    encoder = toy(cache_path)
    cache = extract_features(photos, encoder, cache_path)
    assert sum(encoder.batches) == 28
    assert cache.image_ids[:20] == list(some)
    colours = cache.get(cache.image_ids).reshape(48, -1)[:, 0]
    assert colours.tolist() == [int(image_id[:2]) for image_id in cache.image_ids]


def test_photos_that_others_took_the_place_of_are_extracted_again(photos, cache_path, capsys):
    extract_features(photos, toy(cache_path), cache_path)
    old_times = photos["20.png"].stat()
    Image.new("RGB", (8, 8), (200, 0, 0)).save(photos["20.png"])
    os.utime(photos["20.png"], ns=(old_times.st_atime_ns, old_times.st_mtime_ns))  # as cp -p leaves it
    photos["21.png"].write_text("no photo any more")
    os.utime(photos["22.png"])  # touched, and the same
    encoder = toy(cache_path)
    capsys.readouterr()
    cache = extract_features(photos, encoder, cache_path)
    assert encoder.batches == [1]
    assert "2 photos changed since their features were extracted; extracting again" in capsys.readouterr().err
    assert cache.get(["20.png", "19.png"]).reshape(2, -1)[:, 0].tolist() == [200, 19]
    assert "21.png" not in cache
    assert "21.png" in cache.skipped
    assert len(cache) == len(cache.image_ids) == 47
    extract_features(photos, encoder, cache_path)
    assert encoder.batches == [1]
    photos["23.png"].unlink()  # nothing to extract from: what is there is used
    assert "23.png" in extract_features(photos, encoder, cache_path)


def test_pictures_in_memory_that_changed_are_extracted_again(cache_path):
    encoder = toy(cache_path)
    for value in (1, 1, 2):
        pictures = {"array": np.full((8, 8, 3), value, np.uint8), "image": Image.new("RGB", (8, 8), (value, 0, 0))}
        found = extract_features(pictures, encoder, cache_path).get(["array", "image"])
    assert encoder.batches == [2, 2]
    assert found.reshape(2, -1)[:, 0].tolist() == [2, 2]


def move_lists_into_index(folder, without=None):
    """Make a folder of version 1 of one of today."""
    index = read_json(folder / "index.json") | {"format_version": 1}
    for path in sorted(folder.glob("shard-*.json")):
        shard = {"file": path.with_suffix(".npy").name} | read_json(path)
        index["skipped"] |= shard.pop("skipped")
        index["shards"].append({key: value for key, value in shard.items() if key != without})
        path.unlink()
    write_json(folder / "index.json", index)


def test_a_folder_of_version_1_is_read_and_grows(photos, tmp_path):
    few = dict(list(photos.items())[:20])
    before = extract_features(few, toy(tmp_path), tmp_path / "features")
    move_lists_into_index(tmp_path / "features")
    old = load_features(tmp_path / "features")
    assert (old.image_ids, old.skipped, old.identities) == (before.image_ids, before.skipped, before.identities)
    grown = extract_features(photos, toy(tmp_path), tmp_path / "features")
    whole = extract_features(photos, toy(tmp_path), tmp_path / "whole")
    assert (grown.image_ids, grown.skipped) == (whole.image_ids, whole.skipped)
    np.testing.assert_array_equal(grown.get(whole.image_ids), whole.get(whole.image_ids))


def test_a_folder_that_grows_is_not_written_again(photos, tmp_path):
    folder = tmp_path / "features"
    extract_features(dict(list(photos.items())[:20]), toy(tmp_path), folder)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    extract_features(photos, toy(tmp_path), folder)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list(folder.iterdir())) > len(before)


def test_lists_that_a_stopped_removal_left_are_nobodys(photos, tmp_path):
    folder = tmp_path / "features"
    extract_features(photos, toy(tmp_path), folder)
    (folder / "shard-00000.json").rename(folder / "shard-00001.json")
    (folder / "index.json").unlink()
    few = dict(list(photos.items())[:4])
    assert len(extract_features(few, toy(tmp_path), folder)) == len(load_features(folder)) == 4


def test_files_that_do_not_say_what_the_photos_were_are_used_as_they_are(photos, cache_path):
    extract_features(photos, toy(cache_path), cache_path)
    if cache_path.suffix == ".pkl":
        contents = pickle.loads(cache_path.read_bytes())
        del contents["identities"]
        cache_path.write_bytes(pickle.dumps(contents))
    else:
        move_lists_into_index(cache_path, without="identities")
    Image.new("RGB", (8, 8), "red").save(photos["20.png"])
    encoder = toy(cache_path)
    assert len(extract_features(photos, encoder, cache_path)) == 48
    assert encoder.batches == []


@pytest.mark.parametrize("dies_after", [0, 2, 3, 7])
def test_a_killed_run_goes_on_and_ends_in_the_same_bytes(photos, cache_path, dies_after):
    whole = cache_path.with_name("whole" + cache_path.suffix)
    extract_features(photos, toy(cache_path), whole, batch_size=4)
    with pytest.raises(KeyboardInterrupt):
        extract_features(photos, toy(cache_path, dies_after=dies_after), cache_path, batch_size=4)
    encoder = toy(cache_path)
    extract_features(photos, encoder, cache_path, batch_size=4)
    # Three batches a shard; in the first shard, two of the twelve photos cannot be read.
    assert sum(encoder.batches) == 48 - {0: 0, 2: 0, 3: 10, 7: 22}[dies_after]
    assert list(files_of(cache_path).values()) == list(files_of(whole).values())
    assert sorted(path.name for path in cache_path.parent.iterdir()) == sorted([cache_path.name, whole.name])


def test_a_kill_between_shard_and_index_or_pickle_and_clean_up(photos, cache_path, monkeypatch):
    extract_features(photos, toy(cache_path), cache_path.with_name("whole" + cache_path.suffix), batch_size=4)

    def die(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(features, "write_json", die)
        with pytest.raises(KeyboardInterrupt):
            extract_features(photos, toy(cache_path), cache_path, batch_size=4)
    with monkeypatch.context() as patch:
        patch.setattr(features.shutil, "rmtree", die)
        if cache_path.suffix == ".pkl":
            with pytest.raises(KeyboardInterrupt):
                extract_features(photos, toy(cache_path), cache_path, batch_size=4)
    extract_features(photos, toy(cache_path), cache_path, batch_size=4)
    whole = cache_path.with_name("whole" + cache_path.suffix)
    assert list(files_of(cache_path).values()) == list(files_of(whole).values())


def test_a_pickle_is_put_together_in_twice_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "IMAGES_PER_SHARD", 10)

    class Wide(ToyEncoder):
        """40 kB of features a photo."""

        def encode(self, images):
            return np.zeros((len(images), 20_000), np.float16)

    cache_path = tmp_path / "features.pkl"
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    paths = dict.fromkeys(map(str, range(200)), tmp_path / "photo.png")  # 8 MB
    tracemalloc.start()
    extract_features(paths, Wide((20_000,)), cache_path, batch_size=10)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert cache_path.stat().st_size > 8e6
    assert peak < 2.2 * 8e6  # the array, and the bytes that pickle makes of it


def test_only_a_few_photos_are_decoded_ahead_of_the_encoder(photos, cache_path, monkeypatch):
    decoded = []
    monkeypatch.setattr(features, "load_image", lambda path, size: decoded.append(path) or load_image(path, size))

    class Watching(ToyEncoder):
        def encode(self, images):
            assert len(decoded) <= sum(self.batches) + 2 + len(images) + 2 * 4 + 1
            return super().encode(images)

    extract_features(photos, Watching(), cache_path.with_name("f.pkl"), batch_size=4)
    assert len(decoded) == 50


@pytest.mark.parametrize(
    ("image_paths", "name", "batch_size", "message"),
    [
        ({}, "a.pkl", 32, "no photos"),
        ({1: "a.jpg"}, "a.pkl", 32, "image_id is text, got 1"),
        ({"a": "a.jpg"}, "a.pkl", 0, "batch_size is 0"),
        ({"a": "a.jpg"}, "folder.pkl", 32, "in the way"),
        ({"a": "a.jpg"}, "file", 32, "in the way"),
        ({"a": "gone.jpg"}, "a.pkl", 32, r"none of 1 photos can be read, first 'a': .* is not there"),
        ({"a": "gone.jpg"}, "grids", 32, r"none of 1 photos can be read, first 'a': .* is not there"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path, image_paths, name, batch_size, message):
    (tmp_path / "folder.pkl").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=message):
        extract_features(image_paths, ToyEncoder(), tmp_path / name, batch_size)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.pkl"]


# ---- files that a stranger made


class Runs:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


GOOD = {
    "format_version": 1,
    "fingerprint": "toy",
    "output_shape": (2,),
    "image_ids": ["a"],
    "skipped": {},
    "features": np.ones((1, 2), np.float16),
}


def test_a_pickle_cannot_run_code(tmp_path):
    marker = tmp_path / "ran"
    path = tmp_path / "a.pkl"
    for contents in (Runs(marker), GOOD | {"skipped": Runs(marker)}):
        path.write_bytes(pickle.dumps(contents))
        with pytest.raises(InputError, match="asks to run"):
            load_features(path)
    assert not marker.exists()
    pickle.loads(path.read_bytes())
    assert marker.exists()  # the file was a real danger


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_pickles_of_both_numpy_generations_are_read(tmp_path, module):
    data = pickle.dumps(GOOD, protocol=3)  # this protocol spells names without their lengths
    ours = b"numpy._core.multiarray" if b"numpy._core" in data else b"numpy.core.multiarray"
    (tmp_path / "a.pkl").write_bytes(data.replace(ours, module))
    assert load_features(tmp_path / "a.pkl").get(["a"]).tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "format version 2, this package reads 1"),
        ({"fingerprint": None}, "no fingerprint"),
        ({"output_shape": (3,)}, "no float16 features of shape"),
        ({"output_shape": (-2,)}, "positive numbers"),
        ({"image_ids": ["a", "b"]}, "no float16 features of shape"),
        ({"image_ids": [1]}, "image_ids are not"),
        ({"image_ids": ["a", "a"], "features": np.ones((2, 2), np.float16)}, "comes twice"),
        ({"skipped": {"b": 1}}, "skipped photos"),
        ({"identities": ["a", "b"]}, "2 identities of 1 photos"),
        ({"identities": {"a": "b"}}, "identities are not a list"),
        ({"features": np.ones((1, 2), np.float32)}, "is 'f4', not float16"),
        ({"features": np.ones((1, 2), object)}, "is 'O8', not float16"),
        ({"features": np.ones((1, 2), ">f2")}, "not little-endian"),
        ({"features": np.asfortranarray(np.ones((2, 2), np.float16))}, "not a plain float16"),
        ({"features": [1.0, 2.0]}, "no float16 features"),
        ({"features": [[1.0, 2.0]]}, "inside one another"),
    ],
)
def test_damaged_pickles_are_refused(tmp_path, change, message):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(GOOD | change, protocol=4))
    with pytest.raises(InputError, match=message):
        load_features(tmp_path / "a.pkl")


def test_a_pickle_cut_or_changed_anywhere_ends_in_an_input_error(tmp_path):
    data = pickle.dumps(GOOD, protocol=4)
    (tmp_path / "good.pkl").write_bytes(data)
    load_features(tmp_path / "good.pkl")
    generator, messages = np.random.default_rng(0), []
    for trial in range(len(data) + 500):
        changed = bytearray(data[:trial]) if trial < len(data) else bytearray(data)
        if trial >= len(data):
            changed[generator.integers(len(data))] = generator.integers(256)
        (tmp_path / "a.pkl").write_bytes(changed)
        try:
            cache = load_features(tmp_path / "a.pkl")
            assert cache.get(cache.image_ids).shape == (1, 2)
        except InputError as error:
            messages.append(str(error))
    assert len(messages) >= len(data)
    assert not any("\n" in message for message in messages)


def share_tuples(opcodes, levels):
    """A tuple of twice the same tuple of twice the same tuple …, small as a pickle and endless when printed."""
    return b"\x80\x04" + opcodes + b"".join(b"h" + bytes([i]) + b"\x86\x94" for i in range(levels)) + b"."


HOSTILE_PICKLES = {
    "a memo for 4 GB": b"\x80\x02Nr\xff\xff\xff\x1f.",
    "text of 4 GB": b"\x80\x02X\xff\xff\xff\xffa.",
    "bytes of an exabyte": b"\x80\x04\x8e" + b"\xff" * 7 + b"\x0fa.",
    "a number of 4 GB": b"\x80\x02\x8b\xff\xff\xff\x7f1.",
    "a version of 5,000 digits": pickle.dumps(GOOD | {"format_version": 10**5000}, protocol=4),
    "a shape of 5,000 digits": pickle.dumps(GOOD | {"output_shape": (10**5000,)}, protocol=4),
    "a shape of ten thousand sizes": pickle.dumps(GOOD | {"output_shape": [2**60] * 10**4}, protocol=4),
    "a shape with a product of a million": pickle.dumps(GOOD | {"output_shape": (10**6,)}, protocol=4),
    "a list in a list in a list": b"\x80\x04" + b"]" * 5000 + b"a" * 4999 + b".",
    "a version that is a list in a list": pickle.dumps(GOOD | {"format_version": [[[1]]]}, protocol=4),
    "tuples that share tuples": share_tuples(b")\x94h\x00\x86\x94", 200),
    "a dict in itself": b"\x80\x04}\x94\x8c\x0eformat_versionh\x00s.",
    "too few values": b"\x80\x04}\x8c\x01as.",
    "a list without a beginning": b"\x80\x04]e.",
    "a value never defined": b"\x80\x04h\x07.",
    "an endless name": b"\x80\x02c" + b"a" * 10**6,
}


@pytest.mark.parametrize("name", HOSTILE_PICKLES)
def test_hostile_pickles_are_refused_in_little_memory(tmp_path, name):
    (tmp_path / "a.pkl").write_bytes(HOSTILE_PICKLES[name])
    tracemalloc.start()
    with pytest.raises(InputError, match=r"a\.pkl (is damaged|is no feature cache)") as caught:
        load_features(tmp_path / "a.pkl")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**6 + 20 * len(HOSTILE_PICKLES[name])
    assert len(str(caught.value)) < 400 + len(str(tmp_path))


def test_a_pickle_of_more_opcodes_than_any_cache_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(plain_pickle, "MAX_OPCODES", 1000)
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04" + b"}" * 2000)
    with pytest.raises(InputError, match="more than 1,000 opcodes"):
        load_features(tmp_path / "a.pkl")


def test_features_that_are_no_numbers_are_refused_by_name(tmp_path):
    for value in (np.nan, np.inf, -np.inf):
        contents = GOOD | {"image_ids": ["a", "b"], "features": np.array([[1, -65504], [0, value]], np.float16)}
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(contents, protocol=4))
        cache = load_features(tmp_path / "a.pkl")
        assert cache.get(["a"]).tolist() == [[1, -65504]]
        with pytest.raises(InputError, match="'b' hold NaN or infinite"):
            cache.get(["a", "b"])


@pytest.fixture
def folder(photos, tmp_path):
    extract_features(photos, ToyEncoder(), tmp_path / "grids")
    return tmp_path / "grids"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": "1"}, "format version '1'"),
        ({"output_shape": [4]}, r"the index says float16 \(48, 4\)"),
        ({"shards": None}, "no list of shards"),
        ({"shards": [{"file": "../secret.npy", "image_ids": ["a"]}]}, "is named '../secret.npy'"),
        ({"shards": [{"file": "shard-00000.npy", "image_ids": "a"}]}, "image_ids are not"),
        ({"shards": [{"file": "shard-00000.npy", "image_ids": ["a"]}]}, r"the index says float16 \(1, 3\)"),
        ({"shards": ["shard-00000.npy"]}, "of shard 0 is not a list of photos"),
    ],
)
def test_damaged_indexes_are_refused(folder, change, message):
    np.save(folder.parent / "secret.npy", np.ones((1, 3), np.float16))
    write_json(folder / "index.json", read_json(folder / "index.json") | change)
    with pytest.raises(InputError, match=message):
        load_features(folder)


def test_damaged_shards_are_refused(folder):
    shard = folder / "shard-00000.npy"
    whole = shard.read_bytes()
    np.save(shard, np.full((48, 3), None, object), allow_pickle=True)
    hostile = shard.read_bytes()
    for contents in (whole[:-1], whole[:40], b"", b"PK\x03\x04", hostile, pickle.dumps(GOOD), None):
        shard.unlink() if contents is None else shard.write_bytes(contents)
        with pytest.raises(InputError, match="is damaged"):
            load_features(folder)


def test_a_shard_changed_anywhere_in_its_header_is_refused_or_whole(folder):
    shard = folder / "shard-00000.npy"
    whole, messages = shard.read_bytes(), []
    for place in range(128):
        for byte in b"\xff'\n0":
            shard.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
            try:
                assert load_features(folder).arrays[0].shape == (48, 3)
            except InputError as error:
                messages.append(str(error))
    assert len(messages) > 400
    assert all(f"{shard} is damaged" in message for message in messages)


@pytest.mark.parametrize(
    "change", [{"output_shape": [10**4000]}, {"output_shape": [1] * 10**6}, {"format_version": 10**4000}]
)
def test_indexes_with_huge_numbers_are_refused_in_one_short_line(folder, change):
    write_json(folder / "index.json", read_json(folder / "index.json") | change)
    with pytest.raises(InputError) as caught:
        load_features(folder)
    assert len(str(caught.value)) < 300 + len(str(folder))


def test_what_is_no_cache_is_refused(tmp_path):
    (tmp_path / "list.pkl").write_bytes(pickle.dumps([1, 2]))
    (tmp_path / "text.pkl").write_text("features")
    messages = ("", "no feature cache"), ("none", "not there"), ("list.pkl", "no feature cache"), ("text.pkl", "is da")
    for name, message in messages:
        with pytest.raises(InputError, match=message):
            load_features(tmp_path / name)


# ---- the real thing


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared photographs")
def test_real_photographs_through_vgg16(tmp_path, vgg16_weights):
    from captioning_utils.encoders import build_encoder

    paths = {path.name: path for path in find_images(SHARED / "flickr8k" / "Images")[:6]}
    encoder = build_encoder("vgg16", "avg", weights_path=vgg16_weights)
    cache = extract_features(paths, encoder, tmp_path / "features.pkl", batch_size=4)
    alone = encoder.encode(np.stack([load_image(path, encoder.image_size) for path in paths.values()]))
    np.testing.assert_allclose(cache.get(list(paths)), alone, rtol=2e-3, atol=0.02)
    distances = np.linalg.norm(alone[:, None].astype(float) - alone[None], axis=-1)
    assert distances[np.triu_indices(6, 1)].min() > 10  # different photos, different features
