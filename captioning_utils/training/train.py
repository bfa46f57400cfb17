"""Training a decoder on features and captions."""

from __future__ import annotations

import dataclasses
import functools
import math
import sys
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import keras

from captioning_utils.base.backend import in_standard_settings
from captioning_utils.base.errors import InputError
from captioning_utils.base.types import AnyPath, FeatureSource
from captioning_utils.base.word_pairs import collect_pairs
from captioning_utils.batches import LENGTH_STEP, CaptionBatches, Row
from captioning_utils.captioner import Captioner
from captioning_utils.datasets.dataset import CaptionDataset
from captioning_utils.decoders import build_decoder
from captioning_utils.decoders.base import CaptionDecoder
from captioning_utils.features import FeatureCache
from captioning_utils.settings import GenerationConfig, TrainingConfig
from captioning_utils.text import TextCleaning, Vocabulary, build_vocabulary, clean_caption
from captioning_utils.training.devices import SharedBatches, find_share, shared_optimizer
from captioning_utils.training.growing import grow_vocabulary
from captioning_utils.training.losses import NatsPerToken, WeightedCrossEntropy, masked_cross_entropy
from captioning_utils.training.run import Run, RunCallback, check_places, checkpoint_path, describe_photos, digest_data


class RampedAdam(keras.optimizers.Adam):
    """Adam whose moving average of the weights soon forgets the random ones of the start.

    With Keras's fixed momentum of 0.999 a twentieth of the average is the start still after 3,000 steps. Here the
    momentum rises with the number of steps, as `(1 + steps) / (10 + steps)`, up to the one that was asked for.
    """

    @property
    def ema_momentum(self) -> Any:
        """The momentum of this step: float scalar."""
        steps = keras.ops.cast(self.iterations, "float32")
        return keras.ops.minimum(self._highest_momentum, (1.0 + steps) / (10.0 + steps))

    @ema_momentum.setter
    def ema_momentum(self, momentum: float) -> None:
        self._highest_momentum = momentum


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

    Returns:
        `Captioner` with the weights of the best validation loss.

    Raises:
        InputError: for an empty split, a checkpoint of other settings or data, or a loss that is no number.
    """
    check_places(model_path, log_dir)
    keras.utils.set_random_seed(config.seed)
    vocabulary, rows = prepare_captions(dataset, features, config, cleaning)
    sizes = {"vocabulary_size": len(vocabulary), "feature_shape": features.output_shape}
    decoder = build_decoder(config.decoder, **sizes, **config.decoder_settings)
    pairs = collect_pairs(tokens for _, tokens in rows["train"])
    captioner = Captioner(decoder, vocabulary, cleaning, features.fingerprint, generation, pairs=pairs)
    data = digest_data(features.fingerprint, vocabulary.words, rows, describe_photos(features, dataset))
    run = Run(checkpoint_path(model_path), config, data)
    fit_decoder(decoder, make_batches(features, rows, config), run, log_dir, verbose)
    captioner.training = summarize_run(dataset, rows, run)
    captioner.save(model_path)
    return captioner


def prepare_captions(
    dataset: CaptionDataset,
    features: Container[str],
    config: TrainingConfig,
    cleaning: TextCleaning = TextCleaning(),
    known: Vocabulary | None = None,
) -> tuple[Vocabulary, dict[str, list[Row]]]:
    """The vocabulary of the train split, and the captions of train and val split as training rows.

    Args:
        dataset: `CaptionDataset`.
        features: container of the image ids that have features.
        config: `TrainingConfig`, for `min_count` and `max_words`.
        cleaning: `TextCleaning`.
        known: `Vocabulary` that grows by the train split's words, or None for one of these words alone.

    Returns:
        tuple of `Vocabulary` and dict of split to `encode_captions`'s list.

    Raises:
        InputError: where a split is empty, none of its captions holds a word, or none of its photos has features.
    """
    for split in ("train", "val"):
        dataset.require_words(split)
    train_captions = (c for image_id in dataset.require_split("train") for c in dataset.captions[image_id])
    words = (clean_caption(caption, cleaning) for caption in train_captions)
    vocabulary = grow_vocabulary(known, words, config.min_count) if known else build_vocabulary(words, config.min_count)
    rows = {}
    for split in ("train", "val"):
        rows[split] = encode_captions(dataset, split, vocabulary, cleaning, config.max_words, features)
        if not rows[split]:
            raise InputError(
                f"no photo of the {split} split that has a caption with a word has features; extract the features of "
                "this dataset"
            )
    return vocabulary, rows


def make_batches(
    features: FeatureSource, rows: Mapping[str, Sequence[Row]], config: TrainingConfig
) -> dict[str, CaptionBatches]:
    """The batches of `prepare_captions`'s rows: those of the train split are shuffled."""
    return {
        "train": CaptionBatches(features, rows["train"], config.batch_size, shuffle=True, seed=config.seed),
        "val": CaptionBatches(features, rows["val"], config.batch_size),
    }


def summarize_run(
    dataset: CaptionDataset, rows: Mapping[str, Sequence[Row]], run: Run[TrainingConfig]
) -> dict[str, Any]:
    """What the captioner's file says of its training."""
    return {
        "dataset": dataset.name,
        "photos": {split: len(image_ids) for split, image_ids in dataset.splits.items()},
        "captions": {split: len(split_rows) for split, split_rows in rows.items()},
        "settings": dataclasses.asdict(run.config),
        "history": run.history,
        "best_epoch": run.best_epoch,
        "val_nats_per_token": run.best_loss,
        "seconds": round(run.seconds, 1),
        **({"stopped": run.trouble} if run.trouble else {}),
        "keras": f"{keras.__version__} on {keras.backend.backend()}",
    }


@functools.partial(in_standard_settings, keep_mixed=True)
def fit_decoder(
    decoder: CaptionDecoder,
    batches: Mapping[str, Any],
    run: Run[TrainingConfig],
    log_dir: AnyPath | None = None,
    verbose: int = 1,
    optimizer_class: Callable[..., keras.optimizers.Optimizer] = RampedAdam,
) -> None:
    """Fit a decoder with Adam until the validation loss stops falling; afterwards it has the best weights."""
    config = run.config
    _check_length(decoder, config)
    loss: Any = functools.partial(masked_cross_entropy, label_smoothing=config.label_smoothing)
    callbacks, share = _build_callbacks(run, batches["train"], log_dir), find_share()
    if share.devices > 1:
        batches = {split: SharedBatches(each, share) for split, each in batches.items()}
        loss, optimizer_class = WeightedCrossEntropy(config.label_smoothing), shared_optimizer(optimizer_class)
    decoder.compile(
        optimizer=build_optimizer(config, build_schedule(config, len(batches["train"])), optimizer_class),
        loss=loss,
        metrics=[NatsPerToken()],
    )
    run.attach(decoder)
    start_loss = math.inf
    if verbose and not run.epoch:
        start_loss = _compute_val_loss(decoder, batches["val"])
        print(f"before training: {start_loss:.3f} nats a token on the val split")
    if not run.finished():
        batches["train"].start(run.epoch)
        decoder.fit(
            batches["train"],
            validation_data=batches["val"],
            epochs=config.epochs,
            initial_epoch=run.epoch,
            callbacks=callbacks,
            shuffle=False,  # the batches shuffle themselves; Keras would draw from a random state of its own
            verbose=verbose,
        )
    if not run.best_epoch:
        raise InputError(f"{run.trouble}; lower the learning rate, or look at these photos' features")
    run.restore_best()
    if run.best_loss >= start_loss:
        print("no epoch was better than the start: keep what you had, or lower the learning rate", file=sys.stderr)


def _build_callbacks(run: Run[TrainingConfig], batches: Any, log_dir: AnyPath | None) -> list[keras.callbacks.Callback]:
    """What `fit` does besides fitting."""
    callbacks: list[keras.callbacks.Callback] = [RunCallback(run, batches)]
    if run.config.ema:
        callbacks.append(keras.callbacks.SwapEMAWeights())  # validation sees the averages
    if log_dir:
        callbacks.append(keras.callbacks.TensorBoard(log_dir=str(log_dir)))
    return callbacks


def _compute_val_loss(decoder: CaptionDecoder, val_batches: keras.utils.PyDataset) -> float:
    """Nats a token: log(vocabulary_size) of a fresh decoder, or what a captioner to go on from knows already."""
    return float(decoder.evaluate(val_batches, verbose=0, return_dict=True)["nats_per_token"])


def build_optimizer(
    config: TrainingConfig,
    learning_rate: Any,
    optimizer_class: Callable[..., keras.optimizers.Optimizer] = RampedAdam,
) -> keras.optimizers.Optimizer:
    """Adam with what the configuration asks for: shortened gradients, weight decay, averaged weights.

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


def _check_length(decoder: CaptionDecoder, config: TrainingConfig) -> None:
    """A transformer has learned positions, and none for longer captions than it was built for."""
    spare = 2 * LENGTH_STEP.get(keras.backend.backend(), 1)  # the start token and the most padding
    positions = decoder.max_length or config.max_words + spare
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
