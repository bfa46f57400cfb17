"""State of a training run. Resuming from its checkpoint gives the same weights as an uninterrupted run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from captioning_utils.base.errors import InputError
from captioning_utils.base.files import write_text
from captioning_utils.base.storage import assign_variables, collect_variables, read_storage, write_storage
from captioning_utils.base.tables import to_csv
from captioning_utils.base.types import AnyPath
from captioning_utils.decoders.base import CaptionDecoder
from captioning_utils.settings import TrainingConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from captioning_utils.settings import SelfCriticalConfig


CHECKPOINT_KIND = "training checkpoint"
CHECKPOINT_VERSION = 1


def digest_data(*parts: Any) -> str:
    """16 hexadecimal digits that change with any of the parts (JSON-serialisable values); str.

    Example:
        >>> digest_data("a", [1]) == digest_data("a", [2])
        False
    """
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


class RunState(keras.callbacks.Callback):
    """State of a training run. Resuming from its checkpoint gives the same weights as an uninterrupted run.

    It holds weights, the optimizer's moments, the dropout's random state, the best weights so far, the history and
    the early-stopping count. The order of the batches needs no storage: it follows from the seed and the epoch.

    Args:
        path: str or `Path` of the checkpoint.
        config: `TrainingConfig` of the run.
        data: str that names captions and features.
        monitor: str, the entry of an epoch's logs by which epochs are compared; the lowest is the best.
    """

    def __init__(
        self, path: AnyPath, config: TrainingConfig | SelfCriticalConfig, data: str, monitor: str = "val_nats_per_token"
    ) -> None:
        super().__init__()
        self.path = Path(path)
        self.config = config
        self.data = data
        self.monitor = monitor
        self.last_loss: float | None = None
        self.epoch = 0  # epochs done
        self.history: list[dict[str, Any]] = []  # one dict an epoch: epoch, loss, val_loss, …
        self.best_epoch = 0
        self.best_loss = float("inf")
        self.seconds = 0.0

    def attach(self, decoder: CaptionDecoder) -> None:
        """Connect to a compiled decoder, and continue from the checkpoint where there is one."""
        self.decoder = decoder
        self.best = collect_variables(decoder.weights)
        if self.path.exists():
            self._load()

    def finished(self) -> bool:
        """True when all epochs are done or the validation loss has stopped falling."""
        return self.epoch >= self.config.epochs or self._waited() >= self.config.patience

    def restore_best(self) -> None:
        """Give the decoder the weights of its best epoch."""
        assign_variables(self.path, self.decoder.weights, self.best)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Keras's hook; starts the clock."""
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Keras's hook: note the losses, keep the best weights, write the checkpoint, stop when it is time."""
        self.epoch = epoch + 1
        self.seconds += time.monotonic() - self._started
        self.last_loss = float(logs[self.monitor])
        if not math.isfinite(self.last_loss):  # nothing to keep: the checkpoint stays at the last good epoch
            print(f"warning: the loss became {self.last_loss} in epoch {self.epoch}; training stops", file=sys.stderr)
            self.decoder.stop_training = True
            return
        self.history.append({"epoch": self.epoch} | {name: float(value) for name, value in logs.items()})
        if self.last_loss < self.best_loss:
            self.best_loss, self.best_epoch = self.last_loss, self.epoch
            self.best = self._collect_averaged()
        if self.finished():
            self.decoder.stop_training = True
        if self.epoch % self.config.save_every == 0 or self.finished():
            self._save()

    def _collect_averaged(self) -> dict[str, NDArray[Any]]:
        """The weights that were validated: the decoder's own, or their moving averages."""
        if not self.decoder.optimizer.use_ema:
            return collect_variables(self.decoder.weights)
        own = collect_variables(self.decoder.trainable_variables)
        self.decoder.optimizer.finalize_variable_values(self.decoder.trainable_variables)
        averaged = collect_variables(self.decoder.weights)
        assign_variables(self.path, self.decoder.trainable_variables, own)
        return averaged

    def _waited(self) -> int:
        return self.epoch - self.best_epoch

    def _settings(self) -> dict[str, Any]:
        """What must agree between a checkpoint and the run that goes on from it."""
        settings = dataclasses.asdict(self.config) | {"decoder_config": dataclasses.asdict(self.decoder.config)}
        settings["data"] = self.data
        free = self.config.MAY_CHANGE_ON_RESUME
        return json.loads(json.dumps({name: value for name, value in settings.items() if name not in free}))

    def _variables(self) -> list[Any]:
        return self.decoder.variables + self.decoder.optimizer.variables

    def _save(self) -> None:
        state = {
            "settings": self._settings(),
            "epoch": self.epoch,
            "history": self.history,
            "best_epoch": self.best_epoch,
            "best_loss": self.best_loss,
            "seconds": self.seconds,
        }
        arrays = {f"now/{name}": array for name, array in collect_variables(self._variables()).items()}
        arrays |= {f"best/{name}": array for name, array in self.best.items()}
        write_storage(self.path, CHECKPOINT_KIND, CHECKPOINT_VERSION, {"state": state}, arrays)
        write_text(self.path.with_suffix(".csv"), to_csv(self.history))

    def _load(self) -> None:
        documents, arrays = read_storage(self.path, CHECKPOINT_KIND, CHECKPOINT_VERSION)
        state = documents["state"]
        wanted = self._settings()
        different = [name for name in wanted if state["settings"].get(name) != wanted[name]]
        if different:
            name = different[0]
            made = f"{name}={state['settings'].get(name)!r:.200}, this run has {wanted[name]!r:.200}"
            raise InputError(
                f"{self.path} was made with {'other captions or features' if different == ['data'] else made}; give "
                "the same to go on, or another --model_path (or delete the checkpoint) to start anew"
            )
        assign_variables(self.path, self._variables(), _part(arrays, "now/"))
        self.best = _part(arrays, "best/")
        for name in ("epoch", "history", "best_epoch", "best_loss", "seconds"):
            setattr(self, name, state[name])


def _part(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
