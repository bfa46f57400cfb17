"""Training a captioner further on another dataset."""

from __future__ import annotations

import keras

from captioning_utils.base.types import AnyPath
from captioning_utils.base.word_pairs import collect_pairs
from captioning_utils.captioner import Captioner
from captioning_utils.datasets.dataset import CaptionDataset
from captioning_utils.features import FeatureCache
from captioning_utils.settings import FINE_TUNING_RATE, TrainingConfig
from captioning_utils.training.growing import config_of, describe_start, grow_captioner
from captioning_utils.training.run import Run, check_places, checkpoint_path, describe_photos, digest_data
from captioning_utils.training.train import fit_decoder, make_batches, prepare_captions, summarize_run


def fine_tune_captioner(
    captioner: Captioner,
    dataset: CaptionDataset,
    features: FeatureCache,
    model_path: AnyPath,
    config: TrainingConfig = TrainingConfig(learning_rate=FINE_TUNING_RATE),
    log_dir: AnyPath | None = None,
    verbose: int = 1,
) -> Captioner:
    """Train a captioner further on a dataset, and write it to a file of its own.

    Its vocabulary grows by the words of the train split; decoder, sizes, text cleaning and settings of generation stay.
    As in `train_captioner`, the same call goes on from the checkpoint of a run that was stopped.

    Args:
        captioner: `Captioner`; it stays as it is.
        dataset: `CaptionDataset` with a train and a val split.
        features: `FeatureCache` with the features of both splits, of the captioner's encoder.
        model_path: str or `Path`, where the new captioner goes.
        config: `TrainingConfig`; its `decoder` is not looked at.
        log_dir: folder for TensorBoard's event files, or None.
        verbose: int, Keras's progress display: 0 silent, 1 a bar, 2 a line an epoch.

    Returns:
        `Captioner` with the weights of the best validation loss.

    Raises:
        InputError: as `train_captioner`, and for features of another encoder or `decoder_settings` that the
            captioner does not have.
    """
    check_places(model_path, log_dir)
    captioner.check_features(features)
    config = config_of(captioner, config)
    keras.utils.set_random_seed(config.seed)
    vocabulary, rows = prepare_captions(dataset, features, config, captioner.cleaning, captioner.vocabulary)
    pairs = collect_pairs(tokens for _, tokens in rows["train"])
    grown = grow_captioner(captioner, vocabulary, share=1.0, pairs=pairs)
    seen = describe_photos(features, dataset)
    data = digest_data(features.fingerprint, vocabulary.words, rows, captioner.fingerprint, seen)
    run = Run(checkpoint_path(model_path), config, data)
    fit_decoder(grown.decoder, make_batches(features, rows, config), run, log_dir, verbose)
    grown.training = summarize_run(dataset, rows, run) | {"started_from": describe_start(captioner, vocabulary)}
    grown.save(model_path)
    return grown
