"""Starting TensorFlow without the lines its C++ parts print before anyone can turn them off."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from types import ModuleType


def load_backend() -> ModuleType:
    """Import Keras and its backend; what they print to the standard error meanwhile is shown only if they fail.

    Without it every command and notebook begins with warnings on CUDA and oneDNN that concern nobody.

    Returns:
        module, `keras`.

    Example:
        >>> load_backend().__name__
        'keras'
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with held_back_stderr():
        import keras

        keras.distribution.list_devices()  # the first look for a GPU prints too
    return keras


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
