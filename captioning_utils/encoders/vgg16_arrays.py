"""VGG16's ImageNet arrays: where Keras has them, and the hashes that they are checked by."""

import functools
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from captioning_utils.base.errors import InputError
from captioning_utils.base.files import read_json
from captioning_utils.base.storage import write_hdf5
from captioning_utils.base.transfer import check_digest
from captioning_utils.base.types import AnyPath
from captioning_utils.base.wording import one_line

LayerArrays: TypeAlias = dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Layer name → kernel and bias."""
KERAS_URL = "https://storage.googleapis.com/tensorflow/keras-applications/"
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
    path = require_file(Path(path).expanduser())
    try:
        with h5py.File(path, "r") as file:
            datasets = _float_datasets(file)
            arrays = verify_vgg16_arrays(_read_convolutions(datasets), path)
            return arrays | (_read_dense(datasets, path) if include_top else {})
    except InputError:
        raise
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{path} is not a readable HDF5 weights file ({one_line(error)}); download it again"
        ) from error


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
        captioning_utils.InputError: the weights: 26 of VGG16's 26 arrays are missing or not the original...
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
    return {layer: (found[layer, "kernel"], found[layer, "bias"]) for layer in read_vgg16_facts()["layers"]}


@functools.cache
def read_vgg16_facts() -> dict[str, Any]:
    """What is known of VGG16's published arrays: their hashes, shapes and sources, as a dict."""
    return read_json(Path(__file__).with_name("vgg16_arrays.json"))


def _wanted_hashes() -> dict[str, tuple[str, str]]:
    layers = read_vgg16_facts()["layers"]
    return {layers[name][f"{kind}_sha256"]: (name, kind) for name in layers for kind in ("kernel", "bias")}


def require_file(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path} is not there; put the file there")
    return path


def check_convolutions(path: Path, algorithm: str, digest: str) -> Path:
    check_digest(require_file(path), algorithm, digest)
    return path


def write_arrays(arrays: LayerArrays, path: AnyPath) -> None:
    """Write VGG16's arrays in the layout of Keras's `.weights.h5`."""
    with write_hdf5(path) as file:
        for number, (layer, pair) in enumerate(arrays.items()):
            group = file.create_group(f"layers/conv2d{f'_{number}' if number else ''}/vars")
            group.attrs["name"] = layer
            for index, array in enumerate(pair):
                group.create_dataset(str(index), data=array)


def _float_datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """All float32 datasets of an open HDF5 file by their paths; links out of the file are not followed."""
    datasets = {}

    def visit(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype == np.float32:
            datasets[name] = item

    file.visititems(visit)
    return datasets


def _read_convolutions(datasets: Mapping[str, h5py.Dataset]) -> Iterator[NDArray[np.float32]]:
    kernels = {tuple(facts["kernel_shape"]) for facts in read_vgg16_facts()["layers"].values()}
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
