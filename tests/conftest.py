"""Fixtures and helpers that several test files share."""

import functools
import http.server
import importlib
import threading

import h5py
import pytest
from hypothesis import HealthCheck, settings

collect_ignore = ["train_on_devices.py"]  # a program, which tests start

# The laws of test_properties.py: the same few examples in every run; --hypothesis-profile=thorough tries many new ones.
ONE_FOLDER = [HealthCheck.function_scoped_fixture]  # a test's folder serves all its examples
settings.register_profile("quick", derandomize=True, deadline=None, max_examples=50, suppress_health_check=ONE_FOLDER)
settings.register_profile("thorough", settings.get_profile("quick"), derandomize=False, max_examples=2000)
settings.load_profile("quick")


@pytest.fixture(scope="session")
def vgg16_weights():
    """`Path` of VGG16's real weights, fetched once for all sessions; without them the tests fail, not skip."""
    from captioning_utils.encoders import find_vgg16_weights

    return find_vgg16_weights()


@pytest.fixture(scope="session")
def load():
    """The module benchmarks/load.py."""
    pytest.importorskip("streamlit", reason="the page needs Streamlit (the extra app)")
    return importlib.import_module("load")


@pytest.fixture(scope="session")
def served_page(load, vgg16_weights, tmp_path_factory):
    """The page, running: its `address`, its `process` and the `folder` of its temporary files."""
    with load.serve_page(tmp_path_factory.mktemp("page")) as page:
        yield page


@pytest.fixture(scope="session")
def write_legacy_weights():
    """A function that writes arrays in the layout of Keras 1 and 2, as Keras still publishes them."""

    def write(path, layers):
        """`layers`: dict of layer name to arrays; an int tuple stands for an all-zero array of that shape."""
        with h5py.File(path, "w") as file:
            file.attrs["layer_names"] = [name.encode() for name in layers]
            for name, arrays in layers.items():
                group = file.create_group(name)
                group.attrs["weight_names"] = [f"{name}_{number}:0".encode() for number in range(len(arrays))]
                for number, array in enumerate(arrays):
                    data = {"shape": array, "dtype": "f4"} if isinstance(array, tuple) else {"data": array}
                    group.create_dataset(f"{name}_{number}:0", **data)

    return write


@pytest.fixture
def serve_folder():
    """A function that serves a folder on 127.0.0.1 and gives its address, with a slash at the end."""
    servers = []

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    def serve(folder):
        handler = functools.partial(Quiet, directory=folder)
        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()
