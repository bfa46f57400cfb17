"""The commands: what a shell user types, turned into calls of the package."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import math
import os
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

from captioning_utils.encoders import DEFAULT_ENCODER, DEFAULT_LAYER, DTYPES, ENCODERS
from captioning_utils.errors import InputError
from captioning_utils.files import write_json, write_text
from captioning_utils.images import find_images
from captioning_utils.interfaces import AnyPath, NamedEncoder
from captioning_utils.presets import FINE_TUNING_RATE, PRESETS
from captioning_utils.quiet import load_backend
from captioning_utils.tables import format_table

if TYPE_CHECKING:
    from captioning_utils.captioner import Captioner
    from captioning_utils.datasets import CaptionDataset
    from captioning_utils.features import FeatureCache
    from captioning_utils.training import TrainingConfig

Captions: TypeAlias = tuple[list[dict[str, Any]], list[str]]
"""Rows of image, caption and score, and a message for each photo that was left out."""

OK, PARTLY, REFUSED = 0, 1, 2
EXIT_CODES = (
    "exit codes: 0 done; 1 done, but something is worth a look, such as photos that could not be read;\n"
    "2 nothing done, or of no use; the message says why"
)
DRAWN = Path("data/drawn")
PHOTOS_AT_ONCE = 32
SAMPLES = 200  # photos of the val split that training describes at its end
LARGEST_PICKLE = 5 * 10**8  # bytes of features that are held in memory as a whole, for a moment twice


def run_command(main: Callable[[Sequence[str] | None], int], arguments: Sequence[str] | None = None) -> int:
    """Call a command's main function and turn what is the input's fault into one line and exit code 2.

    Args:
        main: function of a list of str (or None for `sys.argv`) that returns an exit code.
        arguments: list of str, or None.

    Returns:
        int, the exit code: 0, 1, 2, or 130 when the user stopped it.

    Example:
        >>> run_command(lambda arguments: OK)
        0
    """
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show must not end the run
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        return main(arguments)
    except BrokenPipeError:  # who reads the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it ends
        return OK
    except (InputError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt as stop:
        print("; ".join(["stopped", *map(str, stop.args)]), file=sys.stderr)
        return 130


@contextlib.contextmanager
def when_stopped(advice: str) -> Iterator[None]:
    """Let the message say what to do next when the user stops what runs in here; also a decorator.

    Args:
        advice: str.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(advice) from stop


def build_parser(command: str, description: str, example: str) -> argparse.ArgumentParser:
    """A parser whose `--help` shows every default, an example and the exit codes.

    Args:
        command: str, the command's name; called by its script or as `python -m captioning_utils`, so it names itself.
        description: str; `{program}` in it becomes the way in which the command was called.
        example: str, options of a typical call.

    Example:
        >>> "exit codes" in build_parser("train", "Train.", "--epochs 3").format_help()
        True
    """
    script = f"{command}.py"
    program = f"python {script}" if Path(sys.argv[0]).name == script else f"{package_program()} {command}"
    return argparse.ArgumentParser(
        prog=program,
        usage="%(prog)s [options]",
        description=description.format(program=program),
        epilog=f"example: {program} {example}\n\n{EXIT_CODES}",
        formatter_class=_HelpFormatter,
    )


def package_program() -> str:
    """How the commands of the package were called: "captioning" once it is installed, or through Python; str."""
    return "captioning" if Path(sys.argv[0]).stem == "captioning" else "python -m captioning_utils"


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults, but no "(default: None)", and keeps the line breaks of the example."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        has_default = action.default is not None and action.default is not False
        return super()._get_help_string(action) if has_default else action.help


def check_writable(path: AnyPath) -> None:
    """Refuse a place to write to before the work, not after it."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the name of a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise InputError(f"cannot write to {path.parent} ({error.strerror}); give another place") from error


# ---- train


@when_stopped("the same command goes on from here")
def train_main(arguments: Sequence[str] | None = None) -> int:
    """`train.py`: features, vocabulary, training, one captioner file. Returns the exit code."""
    options, start_from = _read_train_options(arguments)
    from captioning_utils.training import TrainingConfig

    names = [field.name for field in dataclasses.fields(TrainingConfig) if hasattr(options, field.name)]
    config = TrainingConfig(**{name: getattr(options, name) for name in names})
    dataset = open_dataset(options.data_path)
    print(dataset.summary())
    for split in ("train", "val"):
        dataset.require_split(split, "training needs photos in train and in val: add some, or a split column")
    check_writable(options.model_path)
    if start_from and options.finetune_encoder:
        captioner, features = _train_with_encoder(start_from, dataset, config, options)
    else:
        captioner, features = _train_on_features(start_from, dataset, config, options)
    summary = captioner.training
    print(
        f"{options.model_path}: best after epoch {summary['best_epoch']} of {len(summary['history'])}, "
        f"{summary['val_nats_per_token']:.3f} nats a token on the val split (lower is better), "
        f"{summary['seconds'] / 60:.1f} minutes"
    )
    show_samples(captioner, dataset, features)
    return PARTLY if any(image_id in features.skipped for image_id in dataset.image_paths) else OK


def _train_on_features(
    start_from: Captioner | None, dataset: CaptionDataset, config: TrainingConfig, options: argparse.Namespace
) -> tuple[Captioner, FeatureCache]:
    """The captioner, trained on cached features, and those features."""
    from captioning_utils.decoders import build_config
    from captioning_utils.encoders import build_encoder
    from captioning_utils.features import extract_features
    from captioning_utils.training import train_captioner

    if start_from:
        features = find_captioner_features(start_from, dataset, dataset.image_paths, options)
    else:
        encoder = build_encoder(options.encoder, options.layer, options.dtype, options.weights)
        try:
            build_config(config.decoder, vocabulary_size=1, feature_shape=encoder.output_shape)
        except InputError as error:
            raise InputError(f"the {config.decoder} decoder cannot read --layer {options.layer}: {error}") from error
        path = options.features or default_features_path(dataset, encoder)
        features = extract_features(dataset.image_paths, encoder, path)
    captioner = train_captioner(
        dataset, features, options.model_path, config, log_dir=options.log_dir, start_from=start_from
    )
    return captioner, features


def _train_with_encoder(
    start_from: Captioner, dataset: CaptionDataset, config: TrainingConfig, options: argparse.Namespace
) -> tuple[Captioner, FeatureCache]:
    """The captioner, trained together with its encoder's last block, and its own features of a few photos."""
    from captioning_utils.encoder_fine_tuning import MirroredTrunk, fine_tune_encoder
    from captioning_utils.features import extract_features
    from captioning_utils.last_block import split_encoder

    encoder = start_from.build_image_encoder(options.weights)  # one of its own, which training changes
    trunk, _ = split_encoder(encoder)
    features, mirrored = (
        extract_features(dataset.image_paths, each, default_features_path(dataset, each))
        for each in (trunk, MirroredTrunk(trunk))
    )
    captioner = fine_tune_encoder(
        start_from, dataset, encoder, features, mirrored, options.model_path, config, options.log_dir
    )
    shown = {image_id: dataset.image_paths[image_id] for image_id in dataset.splits["val"][:SAMPLES]}
    own = captioner.image_encoder(options.weights)
    own_features = extract_features(shown, own, default_features_path(dataset, own))
    own_features.skipped.update(features.skipped)
    return captioner, own_features


DECODER_NAMES = ("merge", "attention", "transformer")  # those of DECODERS, which needs Keras; a test compares
TRAINING_OPTIONS = (  # name, default and help; the defaults are TrainingConfig's, and a test compares
    ("epochs", 12, "passes over the captions, at the most"),
    ("batch_size", 160, "captions per step"),
    ("learning_rate", 1e-3, "of Adam, at its highest"),
    ("dropout_from", 1, "first epoch with dropout; the ones before learn faster, without"),
    ("label_smoothing", 0.1, "share of each target spread over the vocabulary"),
    ("weight_decay", 0.0, "of AdamW: how fast the matrices shrink"),
    ("ema", 0.0, "keep a moving average of the weights with this momentum, such as 0.999"),
    ("patience", 3, "epochs without a better validation loss before it stops"),
    ("min_count", 5, "rarer words are unknown to the captioner"),
    ("save_every", 1, "epochs between checkpoints"),
    ("seed", 0, "the same seed gives the same run"),
)


def _read_train_options(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, Captioner | None]:
    """The options and the captioner to start from: what is typed counts more than the captioner, the preset last."""
    parser = _train_parser()
    options, start_from = parser.parse_args(arguments), None
    load_backend()
    if options.preset:
        parser.set_defaults(**PRESETS[options.preset].options())
    own = {}
    if options.start_from:
        from captioning_utils.fine_tuning import describe_options, find_captioner

        start_from = find_captioner(options.start_from)
        own = describe_options(start_from)
        parser.set_defaults(**own, learning_rate=FINE_TUNING_RATE)
    options = parser.parse_args(arguments)
    if options.preset and options.decoder != PRESETS[options.preset].decoder:
        raise InputError(f"--preset {options.preset} is not for the {options.decoder} decoder; leave one of them out")
    if options.finetune_encoder and (options.features or not start_from):
        raise InputError("--finetune_encoder needs --start_from, a captioner trained before, and takes no --features")
    for name, value in own.items():
        if getattr(options, name) != value:
            raise InputError(f"--start_from {options.start_from} has the {name} {value}; leave out --{name}")
    return options, start_from


def _train_parser() -> argparse.ArgumentParser:
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
        f"learns the new words, and has encoder and decoder; the learning rate is {FINE_TUNING_RATE} then",
    )
    parser.add_argument(
        "--finetune_encoder",
        action="store_true",
        help="with --start_from: train the encoder's last block too, at a tenth of the learning rate, with photos "
        "mirrored at random; the captioner's file then holds that block",
    )
    parser.add_argument("--model_path", default="image_caption_model.h5", help="where the captioner is written")
    add_data_options(parser)
    group = parser.add_argument_group("training")
    group.add_argument("--decoder", default="merge", choices=DECODER_NAMES, help="what turns features into words")
    for name, default, purpose in TRAINING_OPTIONS:
        group.add_argument(f"--{name}", type=type(default), default=default, help=purpose)
    group.add_argument("--log_dir", help="folder for TensorBoard's event files")
    return parser


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which photos, and how their features are made.

    Example:
        >>> parser = build_parser("train", "", "")
        >>> add_data_options(parser)
        >>> parser.parse_args([]).encoder
        'vgg16'
    """
    group = parser.add_argument_group("photos and features")
    group.add_argument(
        "--data_path",
        default=str(DRAWN),
        help="dataset folder or caption file (Flickr8k, Flickr30k, COCO, Karpathy's JSON, a CSV of your own); "
        f"{DRAWN} is drawn when it is not there",
    )
    group.add_argument("--encoder", default=DEFAULT_ENCODER, choices=ENCODERS, help="what turns photos into features")
    group.add_argument(
        "--layer", default=DEFAULT_LAYER, help="what is taken from the encoder: grid, two_scales, avg, avgmax, …"
    )
    group.add_argument(
        "--dtype", default=DTYPES[0], choices=DTYPES, help="bfloat16 is faster on processors that have it"
    )
    add_weights_option(group)
    group.add_argument("--features", help="feature cache to use or make; a name ending in .pkl is one pickle")


DATA_OPTIONS = ("data_path", "encoder", "layer", "dtype", "weights", "features")  # of add_data_options


def add_weights_option(parser: argparse._ActionsContainer) -> None:
    """Add the option for machines that cannot download the encoder's weights."""
    parser.add_argument("--weights", help="file with the encoder's weights; found or downloaded by itself otherwise")


def open_dataset(data_path: AnyPath) -> CaptionDataset:
    """The dataset at a path; the drawn one is drawn first when it is asked for and not there.

    Args:
        data_path: str or `Path`.

    Returns:
        `CaptionDataset`.
    """
    from captioning_utils.datasets import load_dataset
    from captioning_utils.scenes import draw_dataset

    if Path(data_path) == DRAWN:
        draw_dataset(DRAWN)
    return load_dataset(data_path)


def default_features_path(dataset: CaptionDataset, encoder: NamedEncoder) -> Path:
    """Where the features of a dataset are kept: one pickle, or a folder of shards where that would fill the memory.

    The name holds a hash of the folder that holds the photos, so that two datasets of the same name stay apart, and
    one dataset is the same by whichever path or caption file it was opened.

    Args:
        dataset: `CaptionDataset`.
        encoder: object with the `name`, `layer`, `output_shape` and `fingerprint` of an `ImageEncoder`.

    Returns:
        `Path`, in data/features.
    """
    folder = os.path.commonpath({path.parent.absolute() for path in dataset.image_paths.values()})
    place = hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:8]
    num_bytes = 2 * len(dataset.image_paths) * math.prod(encoder.output_shape)  # float16
    suffix = ".pkl" if num_bytes < LARGEST_PICKLE else ""
    words = encoder.fingerprint.split()
    tuned = f"-{words[-2][-8:]}" if words[-1] == "tuned" else ""  # each fine-tuned encoder has features of its own
    return Path("data/features") / f"{dataset.name}-{place}-{encoder.name}-{encoder.layer}-{words[2]}{tuned}{suffix}"


def find_captioner_features(
    captioner: Captioner, dataset: CaptionDataset, image_ids: Collection[str], options: argparse.Namespace
) -> FeatureCache:
    """The features that a captioner reads; the encoder is built only where some are not cached yet.

    Args:
        captioner: `Captioner`.
        dataset: `CaptionDataset`.
        image_ids: iterable of the image ids that are needed.
        options: what `add_data_options` parsed; encoder, layer and dtype are None or the captioner's own.

    Returns:
        `FeatureCache`.

    Raises:
        InputError: where the options ask for another encoder than the captioner's.
    """
    from captioning_utils.features import extract_features, load_features

    name, layer, dtype = captioner.encoder.split()[:3]
    asked = options.encoder or name, options.layer or layer, options.dtype or dtype
    if asked != (name, layer, dtype):
        raise InputError(
            f"the captioner was trained on '{captioner.encoder}', not on {' '.join(asked)}; ask for no other"
        )
    own = SimpleNamespace(
        name=name, layer=layer, fingerprint=captioner.encoder, output_shape=captioner.decoder.config.feature_shape
    )
    path = Path(options.features or default_features_path(dataset, own))
    if path.is_file() or (path / "index.json").is_file():
        features = load_features(path)
        captioner.check_features(features)
        if all(image_id in features for image_id in image_ids):
            return features
    photos = {image_id: dataset.image_paths[image_id] for image_id in image_ids}
    return extract_features(photos, captioner.image_encoder(options.weights), path)


def show_samples(
    captioner: Captioner, dataset: CaptionDataset, features: FeatureCache, count: int = SAMPLES, shown: int = 5
) -> None:
    """Print a few sentences for photos of the val split, and warn when nearly all are the same."""
    images = [image_id for image_id in dataset.splits["val"] if image_id in features][:count]
    captions = [best[0].caption for best in captioner.caption_features(features.get(images))]
    for image_id, caption in list(zip(images, captions, strict=True))[:shown]:
        print(f"  {image_id}: {caption}")
    distinct = len(set(captions))
    print(f"  {distinct} different sentences for {len(images)} photos")
    if len(images) >= 20 and distinct <= len(images) // 20:
        print(
            "warning: nearly every photo gets the same sentence; train longer, lower --learning_rate, or check that "
            "the captions belong to the photos",
            file=sys.stderr,
        )


# ---- generate


def generate_main(arguments: Sequence[str] | None = None) -> int:
    """`generate.py`: sentences for photos. Returns the exit code."""
    options = _generate_parser().parse_args(arguments)
    photos = [photo for path in options.image_path for photo in find_images(path)]
    if options.out:
        check_writable(options.out)
    load_backend()
    from captioning_utils.captioner import load_captioner

    captioner = load_captioner(options.model_path)
    settings = collect_settings(captioner, options)
    captioner.image_encoder(options.weights)
    rows: list[dict[str, Any]] = []
    failures: list[str] = []
    try:
        for new_rows, new_failures in iterate_captions(captioner, photos, settings, show_progress=bool(options.out)):
            rows, failures = rows + new_rows, failures + new_failures
            for row in [] if options.out else new_rows:
                print(f"{row['image']}: {row['caption']}", flush=True)
    finally:  # also when the user stops it: an hour's sentences are not thrown away
        if options.out and rows:
            write_captions(options.out, rows)
            print(f"{options.out}: {len(rows)} sentences for {len({row['image'] for row in rows})} photos")
        for message in failures:
            print(f"left out: {message}", file=sys.stderr)
    return PARTLY if failures and rows else REFUSED if failures else OK


def _generate_parser() -> argparse.ArgumentParser:
    parser = build_parser(
        "generate",
        "Describe photos in sentences, with the captioner that ships with the package or one of your own.",
        "--image_path holiday/ --beam_size 5 --out captions.csv",
    )
    parser.add_argument("--image_path", nargs="+", required=True, help="photos, or folders of photos")
    parser.add_argument("--model_path", help="captioner file; the one shipped with the package otherwise")
    add_generation_options(parser)
    add_weights_option(parser)
    parser.add_argument("--out", type=_table_path, help="write a .json or .csv file instead of printing")
    return parser


def add_generation_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how sentences are chosen; those not given are the captioner's own.

    Example:
        >>> parser = build_parser("generate", "", "")
        >>> add_generation_options(parser)
        >>> parser.parse_args(["--beam_size", "3"]).beam_size
        3
    """
    group = parser.add_argument_group("how sentences are chosen (what is not given is the captioner's own)")
    for name, kind, purpose in GENERATION_OPTIONS:
        how = {"action": argparse.BooleanOptionalAction} if kind is bool else {"type": kind}
        group.add_argument(f"--{name}", help=purpose, **how)


GENERATION_OPTIONS = (  # fields of GenerationConfig: name, type and help
    ("max_length", int, "words at the most"),
    ("beam_size", int, "sentences kept in mind at once; 1 is greedy"),
    ("length_penalty", float, "0 favours short sentences, 2 long ones; 1 compares the mean over their words"),
    ("block_repeats", int, "no run of so many words twice in a sentence; 0 allows repeats"),
    ("consensus", bool, "of the sentences found, the one that agrees most with the others, not the likeliest"),
    ("temperature", float, "sample instead of searching: 0.5 careful, 1 free"),
    ("top_p", float, "sampling: only the likeliest words of this probability together"),
    ("num_captions", int, "alternatives for each photo, best first"),
    ("seed", int, "sampling: the same seed gives the same sentences"),
)


def collect_settings(captioner: Captioner, options: argparse.Namespace) -> dict[str, Any]:
    """The fields of `GenerationConfig` that the options name, checked before the work."""
    settings = {name: getattr(options, name) for name, _, _ in GENERATION_OPTIONS}
    settings = {name: value for name, value in settings.items() if value is not None}
    captioner.generation_settings(settings)
    return settings


def _table_path(text: str) -> Path:
    """Refused before the work, not after it."""
    if Path(text).suffix.lower() not in (".json", ".csv"):
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .json or .csv")
    return Path(text)


def iterate_captions(
    captioner: Captioner, paths: Sequence[Path], settings: dict[str, Any], show_progress: bool = False
) -> Iterator[Captions]:
    """Sentences for many photos, a few at a time; photos that cannot be read are left out and listed.

    Args:
        captioner: `Captioner`.
        paths: list of `Path`.
        settings: dict, fields of `GenerationConfig`.
        show_progress: bool, whether to show a progress bar.

    Yields:
        tuple `(rows, failures)` for some photos: list of dicts with image, caption and score, and list of messages.
    """
    from captioning_utils.images import load_image
    from captioning_utils.parts import iterate_parts

    size = captioner.image_encoder().image_size
    for part, own_settings in iterate_parts(captioner, paths, PHOTOS_AT_ONCE, settings, show_progress):
        readable, failures = {}, []
        for path in part:
            try:
                readable[path] = load_image(path, size)
            except InputError as error:
                failures.append(str(error))
        found = captioner.caption_images(list(readable.values()), **own_settings)
        rows = [
            {"image": printable(path), "caption": each.caption, "score": round(each.score, 4)}
            for path, alternatives in zip(readable, found, strict=True)
            for each in alternatives
        ]
        yield rows, failures


def printable(path: AnyPath) -> str:
    """A path as text that every file and terminal takes: on Linux a name can be any bytes.

    Example:
        >>> printable(Path("a.jpg"))
        'a.jpg'
    """
    return os.fsencode(path).decode("utf-8", "replace")


def caption_photos(
    captioner: Captioner, paths: Sequence[Path], settings: dict[str, Any], show_progress: bool = False
) -> Captions:
    """Sentences for many photos at once; arguments as `iterate_captions`.

    Returns:
        tuple `(rows, failures)`: list of dicts with image, caption and score, and list of messages.
    """
    parts = list(iterate_captions(captioner, paths, settings, show_progress))
    return [row for rows, _ in parts for row in rows], [message for _, failures in parts for message in failures]


def write_captions(path: AnyPath, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of image, caption and score: as CSV to a name that ends in .csv, otherwise as JSON.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "captions.csv"
        >>> write_captions(path, [{"image": "a.jpg", "caption": "a dog", "score": -0.5}])
        >>> print(path.read_text())
        image,caption,score
        a.jpg,a dog,-0.5
    """
    if Path(path).suffix.lower() == ".csv":
        write_text(path, format_table(rows))
    else:
        write_json(path, rows)
