"""`train.py`: features, vocabulary, training, one captioner file."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from captioning_utils.base.backend import load_backend
from captioning_utils.base.errors import InputError
from captioning_utils.base.wording import escape_controls
from captioning_utils.commands.options import (
    ENCODER_OPTIONS,
    add_data_options,
    add_settings,
    chosen_settings,
    open_dataset,
)
from captioning_utils.commands.shell import OK, PARTLY, REFUSED, build_parser, when_stopped
from captioning_utils.settings import FINE_TUNING_RATE, PRESETS, TrainingConfig

if TYPE_CHECKING:
    from captioning_utils.captioner import Captioner
    from captioning_utils.datasets.dataset import CaptionDataset
    from captioning_utils.encoders.encoder import ImageEncoder
    from captioning_utils.features import FeatureCache


SAMPLES = 200  # photos of the val split that training describes at its end


@when_stopped("the same command goes on from here")
def train_main(arguments: Sequence[str] | None = None) -> int:
    """`train.py`: features, vocabulary, training, one captioner file. Returns the exit code."""
    options, start_from = read_train_options(arguments)
    from captioning_utils.training.run import check_places

    config = TrainingConfig(**options.settings)
    dataset = open_dataset(options)
    print(dataset.summary())
    for split in ("train", "val"):
        dataset.require_split(split, "training needs photos in train and in val: add some, or a split column")
        dataset.require_words(split)  # before the features, which take minutes
    check_places(options.model_path, options.log_dir)
    on_photos = config.encoder_blocks or config.augment or config.views
    train = _train_on_photos if on_photos else _train_on_features
    captioner, features = train(start_from, dataset, config, options)
    summary = captioner.training
    print(
        f"{options.model_path}: best after epoch {summary['best_epoch']} of {len(summary['history'])}, "
        f"{summary['val_nats_per_token']:.3f} nats a token on the val split (lower is better), "
        f"{summary['seconds'] / 60:.1f} minutes"
    )
    show_samples(captioner, dataset, features)
    if summary["val_nats_per_token"] > 2 * math.log(len(captioner.vocabulary)):
        print("warning: worse than guessing words at random; lower --learning_rate", file=sys.stderr)
        return REFUSED
    left_out = any(image_id in features.skipped for image_id in dataset.image_paths)
    return PARTLY if left_out or "stopped" in summary else OK


def _train_on_features(
    start_from: Captioner | None, dataset: CaptionDataset, config: TrainingConfig, options: argparse.Namespace
) -> tuple[Captioner, FeatureCache]:
    """The captioner, trained on cached features, and those features."""
    from captioning_utils.bulk import captioner_features, features_path
    from captioning_utils.features import extract_features
    from captioning_utils.training.devices import use_devices
    from captioning_utils.training.fine_tuning import fine_tune_captioner
    from captioning_utils.training.train import train_captioner

    if start_from:
        features = captioner_features(start_from, dataset, dataset.image_paths, options.features, options.weights)
        with use_devices(options.devices):
            captioner = fine_tune_captioner(start_from, dataset, features, options.model_path, config, options.log_dir)
        return captioner, features
    encoder = _build_encoder(config, options)
    path = options.features or features_path(dataset, encoder.fingerprint, encoder.output_shape)
    features = extract_features(dataset.image_paths, encoder, path)
    with use_devices(options.devices):
        return train_captioner(dataset, features, options.model_path, config, log_dir=options.log_dir), features


def _train_on_photos(
    start_from: Captioner | None, dataset: CaptionDataset, config: TrainingConfig, options: argparse.Namespace
) -> tuple[Captioner, FeatureCache]:
    """The captioner, trained on photos that are seen anew each time, and its own features of a few photos."""
    from captioning_utils.bulk import captioner_features
    from captioning_utils.training.photo_training import train_on_photos

    encoder = start_from.build_image_encoder(options.weights) if start_from else _build_encoder(config, options)
    captioner = train_on_photos(dataset, encoder, options.model_path, config, start_from, log_dir=options.log_dir)
    return captioner, captioner_features(captioner, dataset, dataset.splits["val"][:SAMPLES], None, options.weights)


def _build_encoder(config: TrainingConfig, options: argparse.Namespace) -> ImageEncoder:
    """The encoder that the options name; `InputError` where the decoder cannot read its features."""
    from captioning_utils.decoders import build_config
    from captioning_utils.encoders.encoder import build_encoder

    encoder = build_encoder(
        options.encoder, options.layer, options.dtype, options.weights, image_size=options.image_size
    )
    try:
        build_config(config.decoder, vocabulary_size=1, feature_shape=encoder.output_shape)
    except InputError as error:
        raise InputError(f"the {config.decoder} decoder cannot read --layer {options.layer}: {error}") from error
    return encoder


def read_train_options(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, Captioner | None]:
    """The options, with `settings`, and the captioner to start from.

    Of the encoder's options and the fields of `TrainingConfig`, what is typed counts most, then what the captioner to
    start from decides, then the preset, then the defaults.
    """
    options = build_train_parser().parse_args(arguments)
    typed = vars(options)
    load_backend()
    own, start_from = {}, None
    if options.start_from:
        from captioning_utils.captioner import load_captioner

        start_from = load_captioner(options.start_from)
        own = _decided_by(start_from)
    for name, value in own.items():
        if typed.get(name, value) != value:
            raise InputError(f"--start_from {options.start_from} has the {name} {value}; leave out --{name}")
    preset = PRESETS[options.preset].options() if options.preset else {}
    rate = {"learning_rate": FINE_TUNING_RATE} if start_from else {}
    chosen = ENCODER_OPTIONS | preset | own | rate | typed
    if preset and chosen.get("decoder") != preset["decoder"]:
        raise InputError(f"--preset {options.preset} is not for the {chosen['decoder']} decoder; leave one of them out")
    settings = chosen_settings(TrainingConfig, chosen)
    settings |= {name: preset[name] for name in ("decoder_settings",) if name in preset}
    on_photos = any(map(settings.get, ("encoder_blocks", "augment", "views")))
    if on_photos and options.devices != "one":
        raise InputError(
            "an encoder that learns needs one device; leave out --devices, or --encoder_blocks and --augment"
        )
    if on_photos and options.features:
        raise InputError("--features are of photos as they are; leave it out, or --encoder_blocks and --augment")
    return argparse.Namespace(**chosen, settings=settings), start_from


def _decided_by(captioner: Captioner) -> dict[str, Any]:
    """The options that a captioner to start from decides."""
    from captioning_utils.decoders import decoder_name

    own = captioner.encoder_id
    encoder = {"encoder": own.name, "layer": own.layer, "image_size": own.image_size[0], "dtype": own.dtype}
    return encoder | {"decoder": decoder_name(captioner.decoder)}


def build_train_parser() -> argparse.ArgumentParser:
    """The parser of `train.py`; what is not typed of the encoder's and the training's options is left out."""
    parser = build_parser(
        "train",
        "Train a captioner on photos and their captions. The features are extracted once and kept; a run that was\n"
        "stopped goes on from its last checkpoint when the same command is given again.",
        "--data_path data/flickr8k --epochs 20",
    )
    presets = "; ".join(f"{name}: {preset.about}" for name, preset in PRESETS.items())
    parser.add_argument("--preset", choices=PRESETS, help=f"settings by name; other options replace its own. {presets}")
    parser.add_argument(
        "--start_from",
        help="captioner file, or name of a shipped one such as flickr8k_merge, to go on from: it keeps what it knows, "
        f"learns the new words, and decides encoder and decoder; the learning rate is {FINE_TUNING_RATE} then",
    )
    parser.add_argument("--model_path", default="image_caption_model.h5", help="where the captioner is written")
    add_data_options(parser, encoder_options=True)
    group = parser.add_argument_group("training")
    add_settings(group, TrainingConfig)
    group.add_argument(
        "--devices", choices=("one", "all"), default="one", help="train on one device, or on all GPUs at once"
    )
    group.add_argument("--log_dir", help="folder for TensorBoard's event files")
    return parser


def show_samples(
    captioner: Captioner, dataset: CaptionDataset, features: FeatureCache, count: int = SAMPLES, shown: int = 5
) -> None:
    """Print a few sentences for photos of the val split, and warn when nearly all are the same."""
    images = [image_id for image_id in dataset.splits["val"] if image_id in features][:count]
    captions = [best[0].caption for best in captioner.caption_features(features.get(images))]
    for image_id, caption in list(zip(images, captions, strict=True))[:shown]:
        print(escape_controls(f"  {image_id}: {caption}"))
    distinct = len(set(captions))
    print(f"  {distinct} different sentences for {len(images)} photos")
    if len(images) >= 20 and distinct <= len(images) // 20:
        print(
            "warning: nearly every photo gets the same sentence; train longer, lower --learning_rate, or check that "
            "the captions belong to the photos",
            file=sys.stderr,
        )
