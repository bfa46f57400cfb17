"""Training on several devices and in several processes: the losses of one, and a run that goes on where it stopped."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import types
from pathlib import Path

import keras
import numpy as np
import pytest
from toys import run

from captioning_utils import InputError
from captioning_utils.commands.train import train_main
from captioning_utils.training import use_devices
from captioning_utils.training.devices import Share, SharedBatches

PROGRAM = Path(__file__).with_name("train_on_devices.py")
ON_JAX = pytest.mark.skipif(keras.backend.backend() != "jax", reason="several processes need JAX: KERAS_BACKEND=jax")


def start(folder, devices, **environment):
    """The training program as a process of its own."""
    folder.mkdir(exist_ok=True)
    settings = {name: str(value) for name, value in environment.items()}
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(folder), devices],
        env=os.environ | {"KERAS_BACKEND": keras.backend.backend(), "PYTHONPATH": str(PROGRAM.parents[1])} | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result_of(process):
    """What the program printed."""
    out, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors[-3000:]
    return json.loads(out.splitlines()[-1])


def start_two(folder, **environment):
    """Two processes of one run, on the loopback interface."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    known = {"KERAS_DISTRIBUTION_JOB_ADDRESSES": address, "KERAS_DISTRIBUTION_NUM_PROCESSES": 2}
    return [start(folder, "all", **known, KERAS_DISTRIBUTION_PROCESS_ID=each, **environment) for each in (0, 1)]


def assert_same_training(first, second, rtol=1e-5):
    assert len(first["history"]) == len(second["history"])
    for one, other in zip(first["history"], second["history"], strict=True):
        np.testing.assert_allclose(list(one.values()), list(other.values()), rtol=rtol)
    np.testing.assert_allclose(first["weights"], second["weights"], rtol=10 * rtol)


class TwoBatches(keras.utils.PyDataset):
    """Three captions and one."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        targets = np.array([[4, 2, 0], [5, 6, 2], [2, 0, 0]])[: 3 - 2 * index]
        return (np.arange(len(targets)), {"tokens": targets + 1}), targets


@pytest.mark.parametrize("index", [0, 1])
def test_the_shares_of_a_batch_are_the_batch(index):
    (numbers, tokens), targets = TwoBatches()[index]
    shares = [SharedBatches(TwoBatches(), Share(4, 2, process))[index] for process in (0, 1)]
    joined = [np.concatenate([share[2] for share in shares]), np.concatenate([share[1] for share in shares])]
    assert joined[0].shape == (4, 3)
    np.testing.assert_array_equal(joined[1][: len(targets)], targets)
    assert not joined[1][len(targets) :].any()
    assert joined[0].sum() == pytest.approx(1)
    np.testing.assert_allclose(joined[0][: len(targets)], (targets != 0) / (targets != 0).sum())
    for place, array in ((0, numbers), (1, tokens["tokens"])):
        parts = [share[0][place] if place == 0 else share[0][place]["tokens"] for share in shares]
        assert np.concatenate(parts).tolist() == [*array.tolist(), *[array[-1].tolist()] * (4 - len(array))]


def test_other_devices_are_refused(tmp_path, capsys):
    with pytest.raises(InputError, match="devices is '2'; give one or all"), use_devices("2"):
        pass
    assert run(train_main, "--devices", "all", "--augment", "--model_path", tmp_path / "a.h5") == 2
    assert "leave out --devices, or --encoder_blocks and --augment" in capsys.readouterr().err


def test_a_process_that_sees_another_one_stop_says_so(monkeypatch):
    jax = types.SimpleNamespace(errors=types.SimpleNamespace(JaxRuntimeError=RuntimeError), process_count=lambda: 2)

    class Parallel:
        def __init__(self, auto_shard_dataset):
            pass

        def scope(self):
            raise RuntimeError("heartbeat timed out")

    monkeypatch.setitem(sys.modules, "jax", jax)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(keras.distribution, "DataParallel", Parallel)
    message = r"another process of this run stopped \(heartbeat timed out\); start all of them again"
    with pytest.raises(InputError, match=message), use_devices("all"):
        pass


def test_pytorch_has_one_device(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(InputError, match="devices is all; on PyTorch give one"), use_devices("all"):
        pass


# On TensorFlow, one device measures the gradient of the embedding before equal words are added up, several do after; so
# a gradient that is shortened is not quite the same.
@pytest.mark.slow
@pytest.mark.parametrize(("clip", "rtol"), [(5.0, 1e-5), (0.05, 1e-3)])
def test_two_devices_have_the_losses_of_one(tmp_path, clip, rtol):
    one, two = (start(tmp_path / name, name, DEVICES=number, CLIP=clip) for name, number in (("one", 1), ("all", 2)))
    one, two = result_of(one), result_of(two)
    print([epoch["loss"] for epoch in one["history"]], [epoch["loss"] for epoch in two["history"]])
    assert two["share"] == [2, 1, 0]
    assert_same_training(one, two, rtol)
    assert one["captions"] == two["captions"]


@pytest.mark.slow
def test_batches_that_do_not_divide_and_a_run_that_goes_on(tmp_path):
    straight = start(tmp_path / "straight", "all", DEVICES=2, BATCH=9)
    one = start(tmp_path / "one", "one", DEVICES=1, BATCH=9)
    killed = start(tmp_path / "killed", "all", DEVICES=2, BATCH=9, BATCHES=30)
    assert "the disk went away" in killed.communicate(timeout=600)[1]
    resumed = result_of(start(tmp_path / "killed", "all", DEVICES=2, BATCH=9))
    straight, one = result_of(straight), result_of(one)
    assert [epoch["loss"] for epoch in resumed["history"]] == [epoch["loss"] for epoch in straight["history"]]
    assert resumed["weights"] == straight["weights"]
    np.testing.assert_allclose(one["weights"], straight["weights"], rtol=1e-4)


@pytest.mark.slow
@ON_JAX
def test_two_processes_have_the_losses_of_one_on_all_rows(tmp_path):
    results = [result_of(process) for process in start_two(tmp_path / "two")]
    one = result_of(start(tmp_path / "one", "one"))
    print([epoch["loss"] for epoch in one["history"]], [epoch["loss"] for epoch in results[0]["history"]])
    assert [result["share"] for result in results] == [[2, 2, 0], [2, 2, 1]]
    assert results[0]["history"] == results[1]["history"]
    assert_same_training(one, results[0])


@pytest.mark.slow
@ON_JAX
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_run_which_then_goes_on(tmp_path, victim):
    processes = start_two(tmp_path / "two", SLOW=1)
    checkpoint = tmp_path / "two" / "model.h5.checkpoint"
    while not checkpoint.exists():
        assert all(process.poll() is None for process in processes)
        time.sleep(0.1)
    processes[victim].send_signal(signal.SIGKILL)
    _, errors = processes[1 - victim].communicate(timeout=300)
    processes[victim].communicate()
    assert processes[1 - victim].returncode != 0
    # Where the first process dies, whom all others talk to, JAX itself ends them.
    message = "another process of this run stopped" if victim else "another task died"
    assert message in errors, errors[-3000:]
    resumed = [result_of(process) for process in start_two(tmp_path / "two")]
    one = result_of(start(tmp_path / "one", "one"))
    assert_same_training(one, resumed[0])
