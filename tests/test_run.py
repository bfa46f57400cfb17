import json

import h5py
import numpy as np
import pytest

from captioning_utils import InputError
from captioning_utils.decoders import build_decoder
from captioning_utils.settings import TrainingConfig
from captioning_utils.training import run as training_run
from captioning_utils.training.run import Run


def make_run(path, **settings):
    """A run of a tiny decoder, which stays as it is unless a test changes it."""
    decoder = build_decoder("merge", vocabulary_size=9, feature_shape=(4,), embedding_dim=4, hidden_dim=4)
    decoder.compile("adam")
    run = Run(path, TrainingConfig(**({"epochs": 5, "patience": 2} | settings)), "toy", monitor="loss")
    run.attach(decoder)
    return run


@pytest.fixture
def path(tmp_path):
    return tmp_path / "toy.checkpoint"


def test_a_new_run_goes_on_from_the_checkpoint(path):
    first = make_run(path)
    first.note_start({"loss": 4.0})
    first.note({"loss": 3.0, "reward": 1.0})
    first.note({"loss": 3.5, "reward": 2.0})
    second = make_run(path)
    assert (second.epoch, second.best_epoch, second.best_loss, second.history) == (2, 1, 3.0, first.history)
    assert second.seconds == first.seconds > 0
    for variable, other in zip(first.decoder.variables, second.decoder.variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), other.numpy())
    assert path.with_suffix(".csv").read_text() == "epoch,loss,reward\n0,4.0,\n1,3.0,1.0\n2,3.5,2.0\n"
    second.note({"loss": 3.1, "reward": 2.0})
    assert second.finished(), "patience counts the epochs before the stop, too"


@pytest.mark.parametrize("last", ["write_storage", "write_text"])
def test_the_table_of_losses_is_complete_after_a_stop_beside_the_checkpoint(path, monkeypatch, last):
    first = make_run(path, epochs=2)
    first.note({"loss": 3.0})
    write = getattr(training_run, last)

    def stop(*arguments):
        write(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(training_run, last, stop)
    with pytest.raises(KeyboardInterrupt):
        first.note({"loss": 2.0})
    monkeypatch.undo()
    second = make_run(path, epochs=2)
    while not second.finished():
        second.note({"loss": 2.0})
    assert path.with_suffix(".csv").read_text() == "epoch,loss\n1,3.0\n2,2.0\n"


def test_the_weights_of_the_start_are_the_best_until_an_epoch_is_better(path):
    run = make_run(path)
    kernel = run.decoder.trainable_variables[0]
    before = kernel.numpy()
    run.note_start({"loss": 1.0})
    kernel.assign(before + 1)
    run.note({"loss": 1.0})
    run.restore_best()
    np.testing.assert_array_equal(kernel.numpy(), before)
    kernel.assign(before + 2)
    run.note({"loss": 0.9})
    kernel.assign(before + 3)
    run.restore_best()
    np.testing.assert_array_equal(kernel.numpy(), before + 2)
    assert run.best_epoch == 2


def test_a_run_ends_when_the_loss_is_no_number_and_keeps_the_last_good_checkpoint(path, capsys):
    run = make_run(path)
    run.note({"loss": 1.0})
    kept = path.read_bytes()
    run.note({"loss": float("nan")})
    assert run.finished()
    assert "warning: loss became nan in epoch 2; training stops" in capsys.readouterr().err
    assert path.read_bytes() == kept
    assert len(run.history) == 1


def test_checkpoints_are_written_every_so_many_epochs_and_at_the_end(path):
    run = make_run(path, epochs=3, save_every=2)
    run.note({"loss": 3.0})
    assert not path.exists()
    run.note({"loss": 2.0})
    assert make_run(path, epochs=3, save_every=2).epoch == 2
    run.note({"loss": 1.0})
    assert make_run(path, epochs=3, save_every=2).epoch == 3


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({}, "has format version 99, this release reads 1"),
        ({"epoch": "two"}, "epoch is 'two'"),
        ({"history": None}, "history is None"),
        ({"settings": []}, "lacks the settings"),
    ],
)
def test_a_damaged_checkpoint_is_refused(path, damage, message):
    make_run(path).note({"loss": 1.0})
    with h5py.File(path, "r+") as file:
        del file.attrs["digest"]
        if not damage:
            file.attrs["format_version"] = 99
        state = json.loads(file["documents/state"][()].tobytes()) | damage
        del file["documents/state"]
        file.create_dataset("documents/state", data=np.frombuffer(json.dumps(state).encode(), "uint8"))
    with pytest.raises(InputError, match=message):
        make_run(path)
