"""Training the encoder's last block together with the decoder, once the decoder has learned to use the encoder.

All before the last block stays frozen, so its output is computed once for each photo and once for its mirror image, and
kept like other features: a step then costs the last block and the decoder, not the whole encoder.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from captioning_utils.base.backend import in_standard_settings
from captioning_utils.base.errors import InputError
from captioning_utils.base.types import AnyPath, FeatureSource, Tensor
from captioning_utils.batches import Batch, CaptionBatches, Row
from captioning_utils.captioner import Captioner
from captioning_utils.datasets.dataset import CaptionDataset
from captioning_utils.decoders.base import CaptionDecoder
from captioning_utils.encoders.encoder import ImageEncoder
from captioning_utils.encoders.last_block import collect_last_block, replace_last_block, split_encoder
from captioning_utils.features import FeatureCache
from captioning_utils.settings import TrainingConfig
from captioning_utils.training.growing import config_of, describe_start, grow_captioner
from captioning_utils.training.run import Run, digest_data
from captioning_utils.training.train import fit_decoder, make_batches, prepare_captions, summarize_run

ENCODER_RATE = 0.1  # the encoder's learning rate, as a share of the decoder's
SIDES = ("left", "right")  # captions with these words would be wrong for a mirrored photo


class MirroredTrunk:
    """A trunk that sees every photo in a mirror, for `extract_features`."""

    def __init__(self, trunk: ImageEncoder) -> None:
        self.image_size, self.output_shape = trunk.image_size, trunk.output_shape
        self.encoder_id = dataclasses.replace(trunk.encoder_id, mirrored=True)
        self.fingerprint = str(self.encoder_id)
        self._trunk = trunk

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float16]:
        """As `ImageEncoder.encode`, of the photos with left and right exchanged."""
        return self._trunk.encode(np.ascontiguousarray(images[:, :, ::-1]))


class FlippedBatches(CaptionBatches):
    """As `CaptionBatches`, but every other photo, drawn at random, is seen in a mirror."""

    def __init__(
        self,
        features: FeatureSource,
        mirrored: FeatureSource,
        captions: Sequence[Row],
        sides: Iterable[int],
        **kwargs: Any,
    ) -> None:
        super().__init__(features, captions, **kwargs)
        self.mirrored = mirrored
        self.sides = frozenset(sides)

    def __getitem__(self, index: int) -> Batch:
        (features, input_tokens), target_tokens = super().__getitem__(index)
        rows = [self.captions[row] for row in self._batches[index]]
        draws = np.random.default_rng((self.seed, self.epoch, index)).random(len(rows))
        flipped = [row for row, draw in enumerate(draws) if draw < 0.5 and self.sides.isdisjoint(rows[row][1])]
        if flipped:
            features[flipped] = self.mirrored.get([rows[row][0] for row in flipped])
        return (features, input_tokens), target_tokens


class TunedDecoder(CaptionDecoder):
    """The encoder's last block and the decoder as one model.

    Args:
        head: `keras.Model` of `split_encoder`.
        decoder: `CaptionDecoder`.

    Call arguments:
        inputs: tuple `(maps, input_tokens)`: float `(batch, rows, columns, channels)` from the trunk and int32
            `(batch, sequence_length)`.
        training: bool, whether the decoder's dropout is on.

    Returns:
        float32 logits `(batch, sequence_length, vocabulary_size)`.
    """

    def __init__(self, head: keras.Model, decoder: CaptionDecoder, **kwargs: Any) -> None:
        super().__init__(decoder.config, **kwargs)
        self.head = head
        self.decoder = decoder
        self.built = True  # both parts are

    @property
    def max_length(self) -> int | None:
        """The decoder's."""
        return self.decoder.max_length

    def call(self, inputs: tuple[Tensor, Tensor], training: bool = False) -> Tensor:
        maps, input_tokens = inputs
        return self.decoder((self.head(maps, training=False), input_tokens), training=training)


class TwoRateAdam(keras.optimizers.Adam):
    """Adam that moves some variables more slowly than the others.

    A smaller gradient would not do: Adam divides it by its own size.
    """

    def __init__(
        self, learning_rate: Any, slow: Sequence[keras.Variable] = (), ratio: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        # A function, because a list of variables would become part of the optimizer's own. TensorFlow's updates get a
        # Keras variable's value, JAX's the variable.
        self.is_slow: Callable[[Any], bool] = lambda variable: any(
            variable is each or variable is each.value for each in slow
        )
        self.ratio = ratio

    def update_step(self, gradient: Tensor, variable: Any, learning_rate: Tensor) -> None:
        """Keras's hook: one variable's update."""
        super().update_step(gradient, variable, learning_rate * self.ratio if self.is_slow(variable) else learning_rate)


@functools.partial(in_standard_settings, keep_mixed=True)
def fine_tune_encoder(
    captioner: Captioner,
    encoder: ImageEncoder,
    dataset: CaptionDataset,
    features: tuple[FeatureCache, FeatureCache],
    model_path: AnyPath,
    config: TrainingConfig = TrainingConfig(),
    log_dir: AnyPath | None = None,
    verbose: int = 1,
) -> Captioner:
    """Train a captioner's decoder and its encoder's last block together, and write both to one file.

    Begin with a captioner that has been trained on the frozen encoder. A decoder that still has random weights would
    send noise back into the encoder (Vinyals et al. 2016, section 4.1.4).

    Args:
        captioner: `Captioner`; it stays as it is.
        encoder: `ImageEncoder` of the captioner, of its own: its last block is overwritten.
        dataset: `CaptionDataset` with a train and a val split.
        features: pair of `FeatureCache`, both splits: of the trunk of `split_encoder(encoder)`, and of its
            `MirroredTrunk`.
        model_path: str or `Path`, where the new captioner goes; checkpoints as in `train_captioner`.
        config: `TrainingConfig`; its learning rate is the decoder's, the encoder's is `ENCODER_RATE` of it.
        log_dir: folder for TensorBoard's event files, or None.
        verbose: int, Keras's progress display.

    Returns:
        `Captioner` that carries the last block; features of the pretrained encoder are refused by it.

    Raises:
        InputError: as `train_captioner`, and for weight decay, which Keras applies at one rate to all variables.

    References:
        Vinyals et al. 2016, Show and Tell: Lessons learned from the 2015 MSCOCO challenge (arXiv:1609.06647).
    """
    captioner.check_features(encoder)
    if config.weight_decay:
        raise InputError("weight_decay would shrink the encoder as fast as the decoder; leave it out here")
    config = config_of(captioner, config)
    keras.utils.set_random_seed(config.seed)
    plain, mirrored = features
    vocabulary, rows = prepare_captions(dataset, plain, config, captioner.cleaning, captioner.vocabulary)
    grown = grow_captioner(captioner, vocabulary, share=1.0)
    _, head = split_encoder(encoder)
    sides = [number for number, word in enumerate(vocabulary.words) if word in SIDES]
    batches = make_batches(plain, rows, config)
    batches["train"] = FlippedBatches(
        plain, mirrored, rows["train"], sides, batch_size=config.batch_size, shuffle=True, seed=config.seed
    )
    data = digest_data(plain.fingerprint, vocabulary.words, rows, captioner.fingerprint)
    run = Run(f"{model_path}.checkpoint", config, data)
    adam = functools.partial(TwoRateAdam, slow=head.trainable_variables, ratio=ENCODER_RATE)
    fit_decoder(TunedDecoder(head, grown.decoder), batches, run, log_dir, verbose, adam)
    summary = summarize_run(dataset, rows, run)
    summary |= {"started_from": describe_start(captioner, vocabulary), "encoder_rate": ENCODER_RATE}
    tuned = attach_encoder(grown, encoder, summary)
    tuned.save(model_path)
    return tuned


def attach_encoder(captioner: Captioner, encoder: ImageEncoder, summary: dict[str, Any]) -> Captioner:
    """The captioner with a trained last block, rounded to half precision as its file and its features are."""
    arrays = collect_last_block(encoder)
    tuned = replace_last_block(encoder, arrays)
    return dataclasses.replace(captioner, encoder=tuned.fingerprint, training=summary, encoder_weights=arrays)
