"""Training a decoder on features and captions: loss, checkpoints, exact resume, early stopping."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import math
import sys
import time
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import keras
from keras import ops

from captioning_utils.batches import CaptionBatches, Row
from captioning_utils.captioner import Captioner
from captioning_utils.decoders import build_decoder
from captioning_utils.decoders.sizes import check_shares, check_sizes
from captioning_utils.dropout_schedule import LateDropout
from captioning_utils.errors import InputError
from captioning_utils.files import write_text
from captioning_utils.fine_tuning import describe_start, grow_captioner, grow_vocabulary, take_over
from captioning_utils.generation import GenerationConfig
from captioning_utils.interfaces import AnyPath, Decoder, Tensor
from captioning_utils.storage import assign_variables, collect_variables, read_storage, write_storage
from captioning_utils.text import TextCleaning, Vocabulary, build_vocabulary, clean_caption

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from captioning_utils.datasets import CaptionDataset
    from captioning_utils.features import FeatureCache
    from captioning_utils.self_critical import SelfCriticalConfig

CHECKPOINT_KIND = "training checkpoint"
CHECKPOINT_VERSION = 1


def check_run(config: TrainingConfig | SelfCriticalConfig) -> None:
    """Raise `InputError` for rates that train nothing or backwards, and for a seed that no generator takes."""
    for name in ("learning_rate", "clip_norm"):
        if not 0 < getattr(config, name) < float("inf"):
            raise InputError(f"{name} is {getattr(config, name)!r}; give a number above 0")
    if type(config.seed) is not int or not 0 <= config.seed < 2**32:
        raise InputError(f"seed is {config.seed!r:.80}; give a whole number from 0 to 4294967295")


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Settings of a training run; saved with the captioner."""

    FREE: ClassVar = ("patience", "save_every")  # a run may go on with others: they change no step

    decoder: str = "merge"  # a name of captioning_utils.decoders.DECODERS
    decoder_settings: dict[str, Any] = dataclasses.field(default_factory=dict)  # fields of the decoder's configuration
    epochs: int = 12  # at the most; early stopping may end sooner
    batch_size: int = 160  # captions a step; 160 are about 32 photos with five captions each
    learning_rate: float = 1e-3  # Adam's highest; it rises over the first steps and falls to 0 along a cosine
    warmup: float = 0.05  # share of all steps over which the learning rate rises
    clip_norm: float = 5.0  # the gradient of a step is shortened to this norm
    weight_decay: float = 0.0  # each step shrinks the matrices by learning rate × this (AdamW)
    ema: float = 0.0  # momentum of a moving average of the weights, which is then what is validated and kept; 0: off
    dropout_from: int = 1  # first epoch with dropout; the ones before learn with all of the network
    label_smoothing: float = 0.1  # share of each target's probability that is spread over the vocabulary
    patience: int = 3  # epochs without a better validation loss before training stops
    min_count: int = 5  # a word that occurs less often in the train split is unknown
    max_words: int = 40  # longer captions are cut in training
    save_every: int = 1  # epochs between two checkpoints
    seed: int = 0  # initial weights, order of the batches, dropout

    def __post_init__(self) -> None:
        check_sizes(self, "epochs", "batch_size", "patience", "min_count", "max_words", "save_every", "dropout_from")
        check_shares(self, "label_smoothing", "warmup", "weight_decay", "ema")
        check_run(self)

    @classmethod
    def smoke(cls) -> Self:
        """The smallest run that still does every step; for tests.

        Example:
            >>> TrainingConfig.smoke().epochs
            1
        """
        small = {"embedding_dim": 16, "hidden_dim": 16}
        return cls(decoder_settings=small, epochs=1, batch_size=32, min_count=1)


def masked_cross_entropy(target_tokens: Tensor, logits: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy over the real tokens of a batch of captions.

    Dividing by the number of real tokens, not of positions, keeps batches of short and long captions comparable,
    and makes the loss of whole captions equal that of one row per prefix.

    Args:
        target_tokens: int32 `(batch, sequence_length)`, the token after each input token; 0 is padding.
        logits: float `(batch, sequence_length, vocabulary_size)`, unnormalised.
        label_smoothing: float in [0, 1), share of the target probability spread evenly over the vocabulary.

    Returns:
        float32 scalar, nats per token; 0.0 where no token is real.

    Example:
        >>> targets = ops.convert_to_tensor([[3, 1, 0]])
        >>> round(float(masked_cross_entropy(targets, ops.zeros((1, 3, 4)))), 4)  # log 4
        1.3863

    References:
        Vinyals et al. 2015, Show and Tell, equation 2 (arXiv:1411.4555); label smoothing: Szegedy et al. 2016,
        section 7 (arXiv:1512.00567).
    """
    losses = token_cross_entropy(target_tokens, logits, label_smoothing)
    real = ops.cast(ops.not_equal(target_tokens, Vocabulary.pad_id), "float32")
    return ops.sum(losses * real) / ops.maximum(ops.sum(real), 1.0)


def token_cross_entropy(target_tokens: Tensor, logits: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of each position, padding included; arguments as `masked_cross_entropy`.

    Returns:
        float32 `(batch, sequence_length)`, nats.

    Example:
        >>> token_cross_entropy(ops.convert_to_tensor([[3, 1, 0]]), ops.zeros((1, 3, 4))).shape
        TensorShape([1, 3])
    """
    logits = ops.cast(logits, "float32")
    # Keras's function is one fused kernel; written out with log_softmax the loss takes as long as all layers together.
    losses = ops.sparse_categorical_crossentropy(ops.cast(target_tokens, "int32"), logits, from_logits=True)
    if label_smoothing:
        uniform = ops.logsumexp(logits, axis=-1) - ops.mean(logits, axis=-1)  # cross-entropy with the uniform target
        losses = (1 - label_smoothing) * losses + label_smoothing * uniform
    return losses


class NatsPerToken(keras.metrics.Mean):
    """Cross-entropy per real token over all batches so far, without label smoothing; comparable between runs.

    Example:
        >>> metric = NatsPerToken()
        >>> metric.update_state(ops.convert_to_tensor([[3, 1, 0]]), ops.zeros((1, 3, 4)))
        >>> round(float(metric.result()), 4)
        1.3863
    """

    def __init__(self, name: str = "nats_per_token", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def update_state(self, target_tokens: Tensor, logits: Tensor, sample_weight: Tensor | None = None) -> Any:
        """Add a batch: int `(batch, sequence_length)` targets and their logits."""
        losses = token_cross_entropy(target_tokens, logits)
        real = ops.cast(ops.not_equal(target_tokens, Vocabulary.pad_id), "float32")
        # In one dimension, because Keras would average each row over its padded length first.
        return super().update_state(ops.reshape(losses, (-1,)), sample_weight=ops.reshape(real, (-1,)))


def encode_captions(
    dataset: CaptionDataset,
    split: str,
    vocabulary: Vocabulary,
    cleaning: TextCleaning,
    max_words: int,
    image_ids: Container[str],
) -> list[Row]:
    """The captions of a split as training rows.

    Args:
        dataset: `CaptionDataset`.
        split: str, "train", "val" or "test".
        vocabulary: `Vocabulary`.
        cleaning: `TextCleaning`.
        max_words: int, longer captions are cut.
        image_ids: container of the image ids that have features; captions of others are left out.

    Returns:
        list of `(image_id, token_ids)`, in the dataset's order; captions without a word are left out.
    """
    cleaned = (
        (image_id, clean_caption(caption, cleaning))
        for image_id in dataset.splits[split]
        if image_id in image_ids
        for caption in dataset.captions[image_id]
    )
    return [(image_id, vocabulary.encode(caption, max_words)) for image_id, caption in cleaned if caption]


def train_captioner(
    dataset: CaptionDataset,
    features: FeatureCache,
    model_path: AnyPath,
    config: TrainingConfig = TrainingConfig(),
    cleaning: TextCleaning = TextCleaning(),
    generation: GenerationConfig = GenerationConfig(),
    log_dir: AnyPath | None = None,
    verbose: int = 1,
    start_from: Captioner | None = None,
) -> Captioner:
    """Train a captioner on a dataset's train split and write it to one file.

    A checkpoint stands beside the model (`<model_path>.checkpoint`). Called again with the same settings and data,
    training goes on from it, exactly as if it had never stopped.

    Args:
        dataset: `CaptionDataset` with a train and a val split.
        features: `FeatureCache` with the features of both splits.
        model_path: str or `Path`, where the captioner goes, for example "image_caption_model.h5".
        config: `TrainingConfig`.
        cleaning: `TextCleaning`, how captions become words; kept in the captioner.
        generation: `GenerationConfig`, the captioner's default settings.
        log_dir: folder for TensorBoard's event files, or None.
        verbose: int, Keras's progress display: 0 silent, 1 a bar, 2 a line an epoch.
        start_from: `Captioner` to go on from, or None. Its vocabulary grows by the dataset's words; decoder, sizes,
            `cleaning` and `generation` are its own. Give a lower learning rate, such as `presets.FINE_TUNING_RATE`.

    Returns:
        `Captioner` with the weights of the best validation loss.

    Raises:
        InputError: for an empty split, a checkpoint of other settings or data, or a loss that is no number.
    """
    keras.utils.set_random_seed(config.seed)
    if start_from:
        start_from.check_features(features)
        config, cleaning = take_over(start_from, config), start_from.cleaning
    vocabulary, rows = prepare_captions(dataset, features, config, cleaning, start_from)
    if start_from:
        captioner = grow_captioner(start_from, vocabulary, share=1.0)
    else:
        sizes = {"vocabulary_size": len(vocabulary), "feature_shape": features.output_shape}
        decoder = build_decoder(config.decoder, **sizes, **config.decoder_settings)
        captioner = Captioner(decoder, vocabulary, cleaning, features.fingerprint, generation)
    train_batches = CaptionBatches(features, rows["train"], config.batch_size, shuffle=True, seed=config.seed)
    val_batches = CaptionBatches(features, rows["val"], config.batch_size)
    start = [start_from.fingerprint] if start_from else []
    data = digest_data(features.fingerprint, vocabulary.words, rows, *start)
    run = fit_decoder(captioner.decoder, train_batches, val_batches, config, model_path, data, log_dir, verbose)
    captioner.training = summarise_run(dataset, rows, config, run)
    if start_from:
        captioner.training["started_from"] = describe_start(start_from, vocabulary)
    captioner.save(model_path)
    return captioner


def digest_data(*parts: Any) -> str:
    """16 hexadecimal digits that change with any of the parts (JSON-serialisable values); str.

    Example:
        >>> digest_data("a", [1]) == digest_data("a", [2])
        False
    """
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def prepare_captions(
    dataset: CaptionDataset,
    features: Container[str],
    config: TrainingConfig,
    cleaning: TextCleaning = TextCleaning(),
    start_from: Captioner | None = None,
) -> tuple[Vocabulary, dict[str, list[Row]]]:
    """The vocabulary of the train split, and the captions of train and val split as training rows.

    Args:
        dataset: `CaptionDataset`.
        features: container of the image ids that have features.
        config: `TrainingConfig`, for `min_count` and `max_words`.
        cleaning: `TextCleaning`.
        start_from: `Captioner` whose vocabulary grows, or None for one of the train split's words alone.

    Returns:
        tuple of `Vocabulary` and dict of split to `encode_captions`'s list.

    Raises:
        InputError: where a split is empty, or none of its photos has features.
    """
    train_captions = (c for image_id in dataset.require_split("train") for c in dataset.captions[image_id])
    words = (clean_caption(caption, cleaning) for caption in train_captions)
    if start_from:
        vocabulary = grow_vocabulary(start_from.vocabulary, words, config.min_count)
    else:
        vocabulary = build_vocabulary(words, config.min_count)
    rows = {}
    for split in ("train", "val"):
        dataset.require_split(split)
        rows[split] = encode_captions(dataset, split, vocabulary, cleaning, config.max_words, features)
        if not rows[split]:
            raise InputError(f"no photo of the {split} split has features; extract the features of this dataset")
    return vocabulary, rows


def summarise_run(
    dataset: CaptionDataset, rows: Mapping[str, Sequence[Row]], config: TrainingConfig, run: RunState
) -> dict[str, Any]:
    """What the captioner's file says of its training."""
    return {
        "dataset": dataset.name,
        "photos": {split: len(image_ids) for split, image_ids in dataset.splits.items()},
        "captions": {split: len(split_rows) for split, split_rows in rows.items()},
        "settings": dataclasses.asdict(config),
        "history": run.history,
        "best_epoch": run.best_epoch,
        "val_nats_per_token": run.best_loss,
        "seconds": round(run.seconds, 1),
        "keras": f"{keras.__version__} on {keras.backend.backend()}",
    }


def fit_decoder(
    decoder: Decoder,
    train_batches: CaptionBatches,
    val_batches: CaptionBatches,
    config: TrainingConfig,
    model_path: AnyPath,
    data: str = "",
    log_dir: AnyPath | None = None,
    verbose: int = 1,
    optimizer_class: Callable[..., keras.optimizers.Optimizer] = keras.optimizers.Adam,
) -> RunState:
    """Fit a decoder with Adam until the validation loss stops falling; afterwards it has the best weights.

    Args:
        decoder: `keras.Model` of `captioning_utils.decoders`.
        train_batches: `CaptionBatches`.
        val_batches: `CaptionBatches`.
        config: `TrainingConfig`.
        model_path: str or `Path`; `<model_path>.checkpoint` and `<model_path>.csv` (losses) are written beside it.
        data: str, names captions and features: a checkpoint of others is refused.
        log_dir: folder for TensorBoard's event files, or None.
        verbose: int, Keras's progress display.
        optimizer_class: `keras.optimizers.Adam` or a subclass.

    Returns:
        `RunState`: history, best epoch and loss, seconds.

    Raises:
        InputError: for a checkpoint of other settings or data, or when no epoch ended with a loss that is a number.
    """
    _check_length(decoder, config)
    run = RunState(f"{model_path}.checkpoint", config, data)
    schedule = build_schedule(config, len(train_batches))
    optimizer = build_optimizer(config, schedule, optimizer_class)
    decoder.compile(
        optimizer=optimizer,
        loss=lambda targets, logits: masked_cross_entropy(targets, logits, config.label_smoothing),
        metrics=[NatsPerToken()],
    )
    optimizer.build(decoder.trainable_variables)
    run.attach(decoder)
    train_batches.start(run.epoch)
    callbacks = [run]
    if config.dropout_from > 1:
        callbacks.append(LateDropout(config.dropout_from))
    if config.ema:
        callbacks.append(keras.callbacks.SwapEMAWeights())  # validation sees the averages
    if log_dir:
        callbacks.append(keras.callbacks.TensorBoard(log_dir=str(log_dir)))
    start_loss = math.inf
    if verbose and not run.epoch:
        start_loss = _compute_val_loss(decoder, val_batches)
        print(f"before training: {start_loss:.3f} nats a token on the val split")
    if not run.finished():
        decoder.fit(
            train_batches,
            validation_data=val_batches,
            epochs=config.epochs,
            initial_epoch=run.epoch,
            callbacks=callbacks,
            shuffle=False,  # the batches shuffle themselves; Keras would draw from a random state of its own
            verbose=verbose,
        )
    if not run.best_epoch:
        raise InputError(f"the loss became {run.last_loss} in epoch {run.epoch}; lower the learning rate")
    run.restore_best()
    if run.best_loss >= start_loss:
        print("no epoch was better than the start: keep what you had, or lower the learning rate", file=sys.stderr)
    return run


def _compute_val_loss(decoder: Decoder, val_batches: CaptionBatches) -> float:
    """Nats a token: log(vocabulary_size) of a fresh decoder, or what a captioner to go on from knows already."""
    return float(decoder.evaluate(val_batches, verbose=0, return_dict=True)["nats_per_token"])


def build_optimizer(
    config: TrainingConfig,
    learning_rate: Any,
    optimizer_class: Callable[..., keras.optimizers.Optimizer] = keras.optimizers.Adam,
) -> keras.optimizers.Optimizer:
    """Adam with what the configuration asks for: shortened gradients, weight decay, averaged weights.

    Args:
        config: `TrainingConfig`.
        learning_rate: float or a schedule.
        optimizer_class: `keras.optimizers.Adam` or a subclass.

    Example:
        >>> build_optimizer(TrainingConfig(weight_decay=0.01), 1e-3).weight_decay
        0.01

    References:
        Kingma and Ba 2015 (arXiv:1412.6980); Loshchilov and Hutter 2019, decoupled weight decay (arXiv:1711.05101).
    """
    optimizer = optimizer_class(
        learning_rate,
        global_clipnorm=config.clip_norm,
        weight_decay=config.weight_decay or None,
        use_ema=config.ema > 0,
        ema_momentum=config.ema,
    )
    if config.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])  # they scale and shift, no more
    return optimizer


def _check_length(decoder: Decoder, config: TrainingConfig) -> None:
    """A transformer has learned positions, and none for longer captions than it was built for."""
    spare = 2  # the start token and the most padding
    positions = getattr(decoder.config, "max_positions", None) or config.max_words + spare
    if config.max_words + spare > positions:
        raise InputError(
            f"max_words is {config.max_words}; with max_positions {positions} give up to {positions - spare}"
        )


def build_schedule(config: TrainingConfig, steps_per_epoch: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate of every step: a linear rise to `learning_rate`, then half a cosine down to 0.

    Example:
        >>> schedule = build_schedule(TrainingConfig(epochs=10, learning_rate=1e-3, warmup=0.1), steps_per_epoch=100)
        >>> [round(float(schedule(step)), 5) for step in (0, 50, 100, 550, 1000)]
        [0.0, 0.0005, 0.001, 0.0005, 0.0]

    References:
        Loshchilov and Hutter 2017, SGDR (arXiv:1608.03983), without restarts.
    """
    steps = config.epochs * steps_per_epoch
    warmup_steps = round(config.warmup * steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0 if warmup_steps else config.learning_rate,
        steps - warmup_steps,
        warmup_target=config.learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )


class RunState(keras.callbacks.Callback):
    """Where a run stands: kept in a checkpoint so complete that resuming equals never having stopped.

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

    def attach(self, decoder: Decoder) -> None:
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
        return json.loads(json.dumps({name: value for name, value in settings.items() if name not in self.config.FREE}))

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
        self._write_csv()

    def _write_csv(self) -> None:
        table = io.StringIO()
        writer = csv.DictWriter(table, self.history[-1].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.history)
        write_text(self.path.with_suffix(".csv"), table.getvalue())

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
