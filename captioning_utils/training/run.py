"""State of a training run. Resuming from its checkpoint gives the same weights as an uninterrupted run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import keras
from numpy.typing import NDArray

from captioning_utils.base.errors import InputError
from captioning_utils.base.files import check_writable, write_text
from captioning_utils.base.storage import assign_variables, collect_variables, read_storage, write_storage
from captioning_utils.base.tables import to_csv
from captioning_utils.base.types import AnyPath
from captioning_utils.base.wording import name_some
from captioning_utils.datasets.dataset import CaptionDataset
from captioning_utils.decoders.base import CaptionDecoder
from captioning_utils.settings import SelfCriticalConfig, TrainingConfig

CHECKPOINT_KIND = "training checkpoint"
CHECKPOINT_VERSION = 1
STATE = {"epoch": int, "history": list, "best_epoch": int, "best_loss": float, "seconds": float}  # kept in a checkpoint


Settings = TypeVar("Settings", TrainingConfig, SelfCriticalConfig)


def digest_data(*parts: Any) -> str:
    """16 hexadecimal digits that change with any of the parts (JSON-serialisable values); str.

    Example:
        >>> digest_data("a", [1]) == digest_data("a", [2])
        False
    """
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def describe_photos(photos: object, dataset: CaptionDataset) -> dict[str, str]:
    """What tells the content of the photos that are learned from, where it is known; for `digest_data`.

    Args:
        photos: features or views of the dataset's photos, such as a `FeatureCache`.
        dataset: `CaptionDataset`.

    Returns:
        dict of image_id to a digest (str); it stays the same when a photo is copied.
    """
    known: dict[str, str] = getattr(photos, "identities", {})
    image_ids = [*dataset.splits["train"], *dataset.splits["val"]]
    return {image_id: known[image_id].partition(" ")[0] for image_id in image_ids if image_id in known}


def check_places(model_path: AnyPath, log_dir: AnyPath | None = None) -> None:
    """Refuse a captioner's place, and the places beside it, that training could not write to; before the work.

    Args:
        model_path: str or `Path` of the captioner.
        log_dir: folder for TensorBoard's event files, or None.

    Raises:
        InputError: where one of them cannot be written.

    Example:
        >>> check_places("a" * 250)
        Traceback (most recent call last):
        captioning_utils.InputError: cannot write to . (File name too long); give another place
    """
    for path in (Path(model_path), checkpoint_path(model_path), checkpoint_path(model_path).with_suffix(".csv")):
        check_writable(path)
    if log_dir:
        check_writable(Path(log_dir) / "events")


def checkpoint_path(model_path: AnyPath) -> Path:
    """Where the checkpoint of a captioner stands: beside it."""
    return Path(f"{model_path}.checkpoint")


class Run(Generic[Settings]):
    """A training run: its history, its best weights, when it ends, and a checkpoint from which it resumes exactly.

    The checkpoint holds weights, the optimizer's moments, the dropout's random state, the best weights so far and the
    history. The order of the batches needs no storage: it follows from the seed and the epoch.

    Example:
        >>> import pathlib, tempfile
        >>> from captioning_utils.decoders import build_decoder
        >>> from captioning_utils.settings import TrainingConfig
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "toy.checkpoint"
        >>> run = Run(path, TrainingConfig(epochs=2, save_every=2), "toy", monitor="loss")
        >>> decoder = build_decoder("merge", vocabulary_size=9, feature_shape=(8,))
        >>> decoder.compile("adam")
        >>> run.attach(decoder)
        >>> while not run.finished():
        ...     run.note({"loss": 3.5})  # after train_on_batch for all batches of epoch `run.epoch`
        >>> run.restore_best()
        >>> run.best_epoch, run.history
        (1, [{'epoch': 1, 'loss': 3.5}, {'epoch': 2, 'loss': 3.5}])
    """

    def __init__(self, path: AnyPath, config: Settings, data: str, monitor: str = "val_nats_per_token") -> None:
        self.path = Path(path)
        self.config: Settings = config
        self.data = data
        self.monitor = monitor
        self.epoch = 0  # epochs done
        self.history: list[dict[str, Any]] = []  # one dict an epoch: epoch, loss, val_loss, …
        self.best_epoch = 0
        self.best_loss = math.inf
        self.trouble = ""  # why the run cannot go on: which loss is no number, and where it became that
        self.seconds = 0.0  # since the start, without the time between a stop and going on

    def attach(self, decoder: CaptionDecoder) -> None:
        """Connect to a compiled decoder, and continue from the checkpoint where there is one."""
        self.decoder = decoder
        decoder.optimizer.build(decoder.trainable_variables)
        self.best = collect_variables(self._weights())
        if self.path.exists():
            self.load()
        self._since = time.monotonic()

    def note_start(self, logs: Mapping[str, float]) -> None:
        """Note the scores before the first epoch: the weights of then stay the best until an epoch is better."""
        self._add(logs)

    def note(self, logs: Mapping[str, float]) -> None:
        """Note the losses of one more epoch; keep its weights if they are the best, and write the checkpoint."""
        if not math.isfinite(logs[self.monitor]):
            self.stop(f"{self.monitor} became {logs[self.monitor]}")
            return
        self.epoch += 1
        now = time.monotonic()
        self.seconds, self._since = self.seconds + now - self._since, now
        self._add(logs)
        if self.epoch % self.config.save_every == 0 or self.finished():
            self.save()

    def stop(self, trouble: str) -> None:
        """End the run in the middle of an epoch; the checkpoint stays at the last good one.

        Args:
            trouble: str, such as "the loss became nan".
        """
        self.trouble = f"{trouble} in epoch {self.epoch + 1}"
        print(f"warning: {self.trouble}; training stops", file=sys.stderr)

    def _add(self, logs: Mapping[str, float]) -> None:
        self.history.append({"epoch": self.epoch} | {name: float(value) for name, value in logs.items()})
        loss = self.history[-1][self.monitor]
        if loss < self.best_loss:
            self.best_loss, self.best_epoch = loss, self.epoch
            self.best = self._collect_validated()

    def _collect_validated(self) -> dict[str, NDArray[Any]]:
        """The weights that were validated: the decoder's own, or their moving averages."""
        if not self.decoder.optimizer.use_ema:
            return collect_variables(self._weights())
        own = collect_variables(self.decoder.trainable_variables)
        self.decoder.optimizer.finalize_variable_values(self.decoder.trainable_variables)
        averaged = collect_variables(self._weights())
        assign_variables(self.path, self.decoder.trainable_variables, own)
        return averaged

    def finished(self) -> bool:
        """True when all epochs are done, the loss has stopped falling, or it is no number any more."""
        waited = self.epoch - self.best_epoch
        return self.epoch >= self.config.epochs or waited >= self.config.patience or bool(self.trouble)

    def restore_best(self) -> None:
        """Give the decoder the weights of its best epoch."""
        assign_variables(self.path, self._weights(), self.best)

    def save(self) -> None:
        """Write the history and the checkpoint."""
        state = {name: getattr(self, name) for name in STATE} | {"settings": self._settings()}
        arrays = {f"now/{name}": array for name, array in collect_variables(self._variables()).items()}
        arrays |= {f"best/{name}": array for name, array in self.best.items()}
        # The history first: after a stop between the two its last epoch is done, and written, once more.
        write_text(self.path.with_suffix(".csv"), to_csv(self.history))
        write_storage(self.path, CHECKPOINT_KIND, CHECKPOINT_VERSION, {"state": state}, arrays)

    def load(self) -> None:
        """Take up the state of the checkpoint; `InputError` where it is of other settings or data, or damaged."""
        documents, arrays = read_storage(self.path, CHECKPOINT_KIND, CHECKPOINT_VERSION)
        state = documents.get("state")
        if not isinstance(state, dict) or not isinstance(state.get("settings"), dict):
            raise InputError(f"{self.path} lacks the settings of its run; delete it to start anew")
        self._check_settings(state["settings"])
        for name, kind in STATE.items():
            if not isinstance(state.get(name), kind):
                raise InputError(f"{self.path} is damaged: {name} is {state.get(name)!r:.80}; delete it to start anew")
        assign_variables(self.path, self._variables(), _part(arrays, "now/"))
        self.best = _part(arrays, "best/")
        for name in STATE:
            setattr(self, name, state[name])

    def _check_settings(self, found: Mapping[str, Any]) -> None:
        wanted = self._settings()
        different = [name for name in wanted if found.get(name) != wanted[name]]
        if different:
            name = different[0]
            made = f"{name}={found.get(name)!r:.200}, this run has {wanted[name]!r:.200}"
            made = "other captions, photos or features" if different == ["data"] else made
            raise InputError(
                f"{self.path} was made with {made}; give the same to go on, or another model_path= (or delete the "
                "checkpoint) to start anew"
            )

    def _settings(self) -> dict[str, Any]:
        """What must agree between a checkpoint and the run that goes on from it."""
        settings = dataclasses.asdict(self.config) | {"decoder_config": dataclasses.asdict(self.decoder.config)}
        settings["data"] = self.data
        return json.loads(
            json.dumps(
                {name: value for name, value in settings.items() if name not in self.config.may_change_on_resume}
            )
        )

    def _weights(self) -> list[Any]:
        """What the best epoch is kept of."""
        weights = {id(variable) for variable in self.decoder.weights}
        return [variable for variable in self.decoder.checkpoint_variables if id(variable) in weights]

    def _variables(self) -> list[Any]:
        return self.decoder.checkpoint_variables + self.decoder.optimizer.variables


def _part(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def describe_step(loss: float, step: int, photos_of: Callable[[int], Sequence[str]]) -> str:
    """Where a loss is no number any more, for `Run.stop`.

    The step before is named as well: it may be the one that spoiled the weights.

    Args:
        loss: float.
        step: int, from 0.
        photos_of: function of a step to the image_ids of its photos.

    Example:
        >>> describe_step(math.nan, 11, lambda step: [f"{step}a.jpg", f"{step}b.jpg"])
        "the loss became nan in step 12 (photos '11a.jpg', '11b.jpg'; in the step before '10a.jpg', '10b.jpg')"
    """
    before = f"; in the step before {name_some(photos_of(step - 1))}" if step else ""
    return f"the loss became {loss} in step {step + 1} (photos {name_some(photos_of(step))}{before})"


class RunCallback(keras.callbacks.Callback):
    """Notes each epoch of Keras's `fit` in a `Run`, and stops `fit` when the run is finished or a loss is no number.

    Keras's own callbacks would not do. `BackupAndRestore` stores weights, optimizer and the number of the epoch. After
    a stop the dropout's random state is lost, `EarlyStopping` has forgotten its count and the best weights, and
    `CSVLogger` keeps lines of epochs that are repeated. `TerminateOnNaN` does not say which photos it met.

    Args:
        run: `Run`.
        batches: what `fit` trains on, with `start` and `photos_of` as `CaptionBatches` has them.
    """

    async_safe = True  # a step does not wait for the look at the last one's loss

    def __init__(self, run: Run[Any], batches: Any) -> None:
        super().__init__()
        self.run, self.batches = run, batches
        self._bad_losses: dict[int, float] = {}  # by step
        self._epoch = 0  # that of the batches, of which Keras may have looked at one or another before

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Keras's hook."""
        self._epoch = self.batches.epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Keras's hook; the loss is the mean since the epoch began."""
        if not math.isfinite(logs["loss"]):
            self._bad_losses[batch] = logs["loss"]
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Keras's hook."""
        if not self._bad_losses and not math.isfinite(logs[self.run.monitor]):
            self._bad_losses[len(self.batches) - 1] = logs[self.run.monitor]  # the last step spoiled the weights
        if self._bad_losses:
            step = min(self._bad_losses)
            self.batches.start(self._epoch)
            self.run.stop(describe_step(self._bad_losses[step], step, self.batches.photos_of))
        else:
            self.run.note(logs)
        self.model.stop_training = self.run.finished()
