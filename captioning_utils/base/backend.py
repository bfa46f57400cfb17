"""Starting TensorFlow without the lines its C++ parts print before anyone can turn them off."""

import contextlib
import functools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import ParamSpec, TypeVar

from captioning_utils.base.errors import InputError
from captioning_utils.base.files import cache_folder
from captioning_utils.base.wording import one_line

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def load_backend() -> ModuleType:
    """Import Keras and its backend; what they print to the standard error meanwhile is shown only if they fail.

    Without it every command and notebook begins with warnings on CUDA and oneDNN that concern nobody.

    Returns:
        module, `keras`.

    Raises:
        InputError: where Keras's settings do not let it start; the message says which to change.

    Example:
        >>> load_backend().__name__
        'keras'
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder() / "jax"))  # TensorFlow keeps no programs
    try:
        with held_back_stderr():
            import keras

            if os.environ.get("KERAS_DISTRIBUTION_NUM_PROCESSES"):
                keras.distribution.initialize()  # several processes: has to come before any computation
            list_devices()  # the first look for a GPU prints too
    except Exception as error:  # its releases differ in what they raise: Keras 3.13 asserts
        file = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras.json"
        raise InputError(
            f"Keras does not start ({one_line(error)}); give a backend that is installed, tensorflow, jax or torch, in "
            f"KERAS_BACKEND or {file}, and floatx float32 there"
        ) from error
    return keras


def has_accelerator() -> bool:
    """Whether Keras's backend computes on a GPU or another accelerator.

    Example:
        >>> has_accelerator() in (True, False)
        True
    """
    return any(not device.lower().startswith("cpu") for device in list_devices())


def list_devices() -> list[str]:
    """The devices that Keras's backend computes on, such as "gpu:0"; list of str.

    Example:
        >>> len(list_devices()) > 0
        True
    """
    import keras

    if keras.backend.backend() == "torch":  # for which Keras does not tell
        import torch

        return [f"gpu:{number}" for number in range(torch.cuda.device_count())] or ["cpu:0"]
    return keras.distribution.list_devices()


@contextlib.contextmanager
def standard_settings(keep_mixed: bool = False) -> Iterator[None]:
    """Let Keras compute in float32 with the channels last, whatever `keras.json` or the user's program set.

    Args:
        keep_mixed: bool, whether a mixed policy, which has float32 variables, may stay.
    """
    from keras import config

    before = config.floatx(), config.image_data_format(), config.dtype_policy()
    kept = before[2].name == "float32" or (keep_mixed and before[2].variable_dtype == "float32")
    if before[:2] == ("float32", "channels_last") and kept:
        yield
        return
    try:
        config.set_floatx("float32")
        config.set_image_data_format("channels_last")
        config.set_dtype_policy(before[2] if kept else "float32")
        yield
    finally:
        config.set_floatx(before[0])
        config.set_image_data_format(before[1])
        config.set_dtype_policy(before[2])


def in_standard_settings(
    function: Callable[_Arguments, _Result], keep_mixed: bool = False
) -> Callable[_Arguments, _Result]:
    """A decorator: the function runs in `standard_settings`."""

    @functools.wraps(function)
    def run(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        with standard_settings(keep_mixed):
            return function(*args, **kwargs)

    return run


@contextlib.contextmanager
def held_back_stderr() -> Iterator[None]:
    """Send file descriptor 2 to a temporary file; print the file after all when an exception passes."""
    try:
        saved = os.dup(2)
    except OSError:  # closed: a process without a console, such as a service
        yield
        return
    if sys.stderr is not None:
        sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
