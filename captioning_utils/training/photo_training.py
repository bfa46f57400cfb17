"""Training on photos: the decoder and, where asked for, the encoder's last blocks learn together."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from captioning_utils.base.backend import has_accelerator, in_standard_settings
from captioning_utils.base.quantization import dequantize, quantize
from captioning_utils.base.types import AnyPath, Tensor
from captioning_utils.base.word_pairs import collect_pairs
from captioning_utils.batches import Row
from captioning_utils.captioner import Captioner
from captioning_utils.datasets.dataset import CaptionDataset
from captioning_utils.decoders import build_decoder
from captioning_utils.encoders.encoder import ImageEncoder, recast_encoder
from captioning_utils.encoders.learned_blocks import collect_blocks, replace_blocks
from captioning_utils.settings import GenerationConfig, TrainingConfig
from captioning_utils.text import TextCleaning
from captioning_utils.training.growing import config_of, describe_start, grow_captioner
from captioning_utils.training.kept_views import KeptViews
from captioning_utils.training.photo_batches import PhotoBatches, find_sided, load_photos
from captioning_utils.training.run import Run, check_places, checkpoint_path, describe_photos, digest_data
from captioning_utils.training.sighted import LiveEyes, SightedDecoder, fits_on_device
from captioning_utils.training.train import RampedAdam, fit_decoder, prepare_captions, summarize_run


class TwoRateAdam(RampedAdam):
    """Adam that moves some variables more slowly than the others, and only from some step on.

    A smaller gradient would not do: Adam divides it by its own size. Weight decay is each variable's rate times
    `decay`. Until the slow variables begin they stay as they are, bit for bit.

    Args:
        learning_rate: as for `keras.optimizers.Adam`.
        slow: list of variables.
        ratio: float, their rate as a share of the learning rate.
        begin: int, the step in which they begin.
        warmup: int, steps over which their rate then rises.
        decay: float, weight decay, decoupled.
        **kwargs: of `keras.optimizers.Adam`.
    """

    def __init__(
        self,
        learning_rate: Any,
        slow: Sequence[keras.Variable] = (),
        ratio: float = 1.0,
        begin: int = 0,
        warmup: int = 0,
        weight_decay: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        # A function, because a list of variables would become part of the optimizer's own. TensorFlow's updates get a
        # Keras variable's value, JAX's the variable.
        self.is_slow: Callable[[Any], bool] = lambda variable: any(
            variable is each or variable is each.value for each in slow
        )
        self.ratio, self.begin, self.warmup_steps, self.decay = ratio, begin, warmup, weight_decay

    def update_step(self, gradient: Tensor, variable: Any, learning_rate: Tensor) -> None:
        """Keras's hook: one variable's update."""
        if self.is_slow(variable):
            steps = ops.cast(self.iterations - self.begin, "float32") + 1.0
            learning_rate = learning_rate * self.ratio * ops.clip(steps / (self.warmup_steps + 1.0), 0.0, 1.0)
        if self.decay and len(variable.shape) > 1:  # biases and scales are not shrunk
            self.assign_sub(variable, ops.cast(variable * learning_rate * self.decay, variable.dtype))
        super().update_step(gradient, variable, learning_rate)


@functools.partial(in_standard_settings, keep_mixed=True)
def train_on_photos(
    dataset: CaptionDataset,
    encoder: ImageEncoder,
    model_path: AnyPath,
    config: TrainingConfig,
    start_from: Captioner | None = None,
    cleaning: TextCleaning = TextCleaning(),
    generation: GenerationConfig = GenerationConfig(),
    log_dir: AnyPath | None = None,
    verbose: int = 1,
) -> Captioner:
    """Train a captioner on photos that are seen anew in every step, and write it to one file.

    The encoder's last `config.encoder_blocks` blocks learn from epoch `config.encoder_from` on: a decoder that still
    has random weights would send noise into them. Checkpoints are as in `train_captioner`.

    Args:
        dataset: `CaptionDataset` with a train and a val split.
        encoder: `ImageEncoder` of its own: its last blocks are overwritten.
        model_path: str or `Path`, where the captioner goes.
        config: `TrainingConfig`.
        start_from: `Captioner` to go on from, which read this encoder; or None.
        cleaning: `TextCleaning`; of a new captioner.
        generation: `GenerationConfig`, the default settings of a new captioner.
        log_dir: folder for TensorBoard's event files, or None.
        verbose: int, Keras's progress display.

    Returns:
        `Captioner` that carries the blocks that learned, rounded as in its file.

    Raises:
        InputError: as `train_captioner`, and for an encoder whose blocks cannot learn.

    References:
        Vinyals et al. 2016, Show and Tell: Lessons learned from the 2015 MSCOCO challenge (arXiv:1609.06647), on
        fine-tuning the encoder late.
    """
    check_places(model_path, log_dir)
    if start_from:
        start_from.check_features(encoder)
        config, cleaning = config_of(start_from, config), start_from.cleaning
    keras.utils.set_random_seed(config.seed)
    learner = recast_encoder(encoder, "bfloat16") if config.bfloat16 and has_accelerator() else encoder
    photos = (KeptViews if config.views else LivePhotos)(dataset, learner, config)
    known = start_from.vocabulary if start_from else None
    vocabulary, rows = prepare_captions(dataset, photos, config, cleaning, known)
    pairs = collect_pairs(tokens for _, tokens in rows["train"])
    if start_from:
        captioner = grow_captioner(start_from, vocabulary, share=1.0, pairs=pairs)
    else:
        sizes = {"vocabulary_size": len(vocabulary), "feature_shape": encoder.output_shape}
        decoder = build_decoder(config.decoder, **sizes, **config.decoder_settings)
        captioner = Captioner(decoder, vocabulary, cleaning, encoder.fingerprint, generation, pairs=pairs)
    batches = photos.make_batches(rows)
    start = start_from and start_from.fingerprint
    data = digest_data(encoder.fingerprint, vocabulary.words, rows, start, describe_photos(photos, dataset))
    run = Run(checkpoint_path(model_path), config, data)
    adam = functools.partial(
        TwoRateAdam,
        slow=photos.eyes.trainable_variables,
        ratio=config.encoder_rate,
        begin=(config.encoder_from - 1) * len(batches["train"]),
        warmup=round(config.warmup * config.epochs * len(batches["train"])),
    )
    fit_decoder(SightedDecoder(photos.eyes, captioner.decoder), batches, run, log_dir, verbose, adam)
    captioner.training = summarize_run(dataset, rows, run)
    if start_from:
        captioner.training |= {"started_from": describe_start(start_from, vocabulary)}
    if config.encoder_blocks:
        captioner = attach_blocks(captioner, encoder, collect_blocks(learner, config.encoder_blocks))
    captioner.save(model_path)
    return captioner


class LivePhotos:
    """A dataset's photos, held in memory to be seen anew in every step, and what training needs for them.

    Args:
        dataset: `CaptionDataset`.
        encoder: `ImageEncoder`, whose last `config.encoder_blocks` blocks learn.
        config: `TrainingConfig`.

    Attributes:
        eyes: layer from what the batches bring to features.
    """

    def __init__(self, dataset: CaptionDataset, encoder: ImageEncoder, config: TrainingConfig) -> None:
        used = [image_id for split in ("train", "val") for image_id in dataset.splits[split]]
        self._photos = load_photos({image_id: dataset.image_paths[image_id] for image_id in used}, encoder.image_size)
        self._config, self._sided = config, find_sided(dataset.split_captions("train"))
        self._on_device = fits_on_device(self._photos.pixels.nbytes)
        self.eyes = LiveEyes(encoder, config.encoder_blocks, self._photos.pixels if self._on_device else None)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._photos

    def make_batches(self, rows: Mapping[str, Sequence[Row]]) -> dict[str, PhotoBatches]:
        """The batches of `prepare_captions`'s rows: those of the train split are shuffled and, if wanted, augmented."""
        make = functools.partial(
            PhotoBatches,
            self._photos,
            batch_size=self._config.batch_size,
            on_device=self._on_device,
            seed=self._config.seed,
        )
        train = make(captions=rows["train"], augment=self._config.augment, sided=self._sided, shuffle=True)
        return {"train": train, "val": make(captions=rows["val"])}


def attach_blocks(captioner: Captioner, encoder: ImageEncoder, arrays: dict[str, Any]) -> Captioner:
    """The captioner with the encoder's blocks that learned, rounded as its file keeps them."""
    rounded = dequantize(quantize(arrays, bits=8))
    tuned = replace_blocks(encoder, captioner.training["settings"]["encoder_blocks"], rounded)
    return dataclasses.replace(captioner, encoder=tuned.fingerprint, encoder_weights=rounded)
