"""The commands: what a shell user types, turned into calls of the package."""

import argparse
import csv
import dataclasses
import hashlib
import io
import math
import sys
from pathlib import Path
from types import SimpleNamespace

from captioning_utils.datasets import SPLITS
from captioning_utils.errors import InputError
from captioning_utils.files import write_json, write_text
from captioning_utils.images import find_images
from captioning_utils.metrics import EXTRA_METRICS
from captioning_utils.protocols import PROTOCOLS
from captioning_utils.quiet import load_backend

OK, PARTLY, REFUSED = 0, 1, 2
EXIT_CODES = "exit codes: 0 done; 1 done, but some photos could not be read; 2 nothing done, the message says why"
DRAWN = Path("data/drawn")
PHOTOS_AT_ONCE = 32
LARGEST_PICKLE = 10**9  # bytes of features that are held in memory as a whole


def run_command(main, arguments=None):
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
    try:
        return main(arguments)
    except (InputError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130


def build_parser(program, description, example):
    """A parser whose `--help` shows every default, an example and the exit codes.

    Example:
        >>> "exit codes" in build_parser("train.py", "Train.", "python train.py").format_help()
        True
    """
    return argparse.ArgumentParser(
        prog=program,
        description=description,
        epilog=f"example: {example}\n\n{EXIT_CODES}",
        formatter_class=_HelpFormatter,
    )


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults, but no "(default: None)", and keeps the line breaks of the example."""

    def _get_help_string(self, action):
        return action.help if action.default is None else super()._get_help_string(action)


# ---- train


def train_main(arguments=None):
    """`train.py`: features, vocabulary, training, one captioner file. Returns the exit code."""
    options = _train_parser().parse_args(arguments)
    load_backend()
    from captioning_utils.training import TrainingConfig, train_captioner

    dataset = open_dataset(options.data_path)
    print(dataset.summary())
    settings = {field.name: getattr(options, field.name, None) for field in dataclasses.fields(TrainingConfig)}
    config = TrainingConfig(**{name: value for name, value in settings.items() if value is not None})
    features = open_features(dataset, options)
    captioner = train_captioner(dataset, features, options.model_path, config, log_dir=options.log_dir)
    summary = captioner.training
    print(
        f"{options.model_path}: best after epoch {summary['best_epoch']} of {len(summary['history'])}, "
        f"{summary['val_nats_per_token']:.3f} nats a token on the val split, {summary['seconds'] / 60:.1f} minutes"
    )
    show_samples(captioner, dataset, features)
    return PARTLY if features.skipped else OK


def _train_parser():
    parser = build_parser(
        "train.py",
        "Train a captioner on photos and their captions. The features are extracted once and kept; a run that was\n"
        "stopped goes on from its last checkpoint when the same command is given again.",
        "python train.py --data_path data/flickr8k --epochs 20",
    )
    add_data_options(parser)
    parser.add_argument("--model_path", default="image_caption_model.h5", help="where the captioner is written")
    parser.add_argument("--decoder", default="merge", help="merge, attention or transformer")
    parser.add_argument("--epochs", type=int, default=12, help="passes over the captions, at the most")
    parser.add_argument("--batch_size", type=int, default=160, help="captions per step")
    parser.add_argument("--learning_rate", type=float, default=1e-3, help="of Adam")
    parser.add_argument("--label_smoothing", type=float, help="share of each target spread over the vocabulary")
    parser.add_argument("--patience", type=int, help="epochs without a better validation loss before it stops")
    parser.add_argument("--min_count", type=int, help="rarer words are unknown to the captioner")
    parser.add_argument("--save_every", type=int, default=1, help="epochs between checkpoints")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same run")
    parser.add_argument(
        "--jit_compile", action="store_true", help="compile the step with XLA: transformers train faster, start later"
    )
    parser.add_argument("--log_dir", help="folder for TensorBoard's event files")
    return parser


def add_data_options(parser):
    """Add the options that say which photos, and how their features are made.

    Example:
        >>> parser = build_parser("x", "", "")
        >>> add_data_options(parser)
        >>> parser.parse_args([]).encoder
        'vgg16'
    """
    parser.add_argument(
        "--data_path",
        default=str(DRAWN),
        help="dataset folder or caption file (Flickr8k, Flickr30k, COCO, Karpathy's JSON, a CSV of your own); "
        f"{DRAWN} is drawn when it is not there",
    )
    parser.add_argument("--encoder", default="vgg16", help="vgg16, resnet50, inception_resnet_v2, efficientnet_v2_b0")
    parser.add_argument("--layer", default="grid", help="what is taken from the encoder: grid, avg, avgmax, pyramid, …")
    parser.add_argument("--dtype", default="float32", help="float32, or bfloat16 on processors that have it")
    parser.add_argument("--weights", help="file with the encoder's weights; found or downloaded by itself otherwise")
    parser.add_argument("--features", help="feature cache to use or make; a name ending in .pkl is one pickle")


def open_dataset(data_path):
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


def open_features(dataset, options):
    """The features of all photos of a dataset, extracted where they are not cached yet.

    Args:
        dataset: `CaptionDataset`.
        options: namespace with the options of `add_data_options`.

    Returns:
        `FeatureCache`.
    """
    from captioning_utils.encoders import build_encoder
    from captioning_utils.features import extract_features

    encoder = build_encoder(options.encoder, options.layer, options.dtype, options.weights)
    path = options.features or default_features_path(dataset, options.data_path, encoder)
    return extract_features(dataset.image_paths, encoder, path)


def default_features_path(dataset, data_path, encoder):
    """Where the features of a dataset are kept: one pickle, or a folder of shards where that would fill the memory.

    The name holds a hash of the dataset's place, so that two datasets of the same name stay apart.
    """
    place = hashlib.sha256(str(Path(data_path).resolve()).encode()).hexdigest()[:8]
    num_bytes = 2 * len(dataset.image_paths) * math.prod(encoder.output_shape)  # float16
    suffix = ".pkl" if num_bytes < LARGEST_PICKLE else ""
    dtype = encoder.fingerprint.split()[2]
    return Path("data/features") / f"{dataset.name}-{place}-{encoder.name}-{encoder.layer}-{dtype}{suffix}"


def show_samples(captioner, dataset, features, count=200, shown=5):
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


def generate_main(arguments=None):
    """`generate.py`: sentences for photos. Returns the exit code."""
    options = _generate_parser().parse_args(arguments)
    photos = [photo for path in options.image_path for photo in find_images(path)]
    load_backend()
    from captioning_utils.captioner import load_captioner

    captioner = load_captioner(options.model_path)
    settings = _generation_settings(captioner, options)
    rows, failures = caption_photos(captioner, photos, settings, show_progress=len(photos) > PHOTOS_AT_ONCE)
    if options.out:
        write_captions(options.out, rows)
        print(f"{options.out}: {len(rows)} sentences for {len(photos) - len(failures)} photos")
    else:
        for row in rows:
            print(f"{row['image']}: {row['caption']}")
    for message in failures:
        print(f"left out: {message}", file=sys.stderr)
    return REFUSED if len(failures) == len(photos) else PARTLY if failures else OK


def _generate_parser():
    parser = build_parser(
        "generate.py",
        "Describe photos in sentences, with the captioner that ships with the package or one of your own.",
        "python generate.py --image_path holiday/ --beam_size 5 --out captions.csv",
    )
    parser.add_argument("--image_path", nargs="+", required=True, help="photos, or folders of photos")
    parser.add_argument("--model_path", help="captioner file; the one shipped with the package otherwise")
    parser.add_argument("--max_length", type=int, help="words at the most")
    parser.add_argument("--beam_size", type=int, help="sentences kept in mind at once; 1 is greedy")
    parser.add_argument("--temperature", type=float, help="sample instead of searching: 0.5 careful, 1 free")
    parser.add_argument("--top_p", type=float, help="sampling: only the likeliest words of this probability together")
    parser.add_argument("--num_captions", type=int, default=1, help="alternatives for each photo")
    parser.add_argument("--seed", type=int, default=0, help="of the sampling")
    parser.add_argument("--out", type=_table_path, help="write a .json or .csv file instead of printing")
    return parser


def _table_path(text):
    """Refused before the work, not after it."""
    if Path(text).suffix.lower() not in (".json", ".csv"):
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .json or .csv")
    return Path(text)


def caption_photos(captioner, paths, settings, show_progress=False):
    """Sentences for many photos, a few at a time; photos that cannot be read are left out and listed.

    Args:
        captioner: `Captioner`.
        paths: list of `Path`.
        settings: dict, fields of `GenerationConfig`.
        show_progress: bool, whether to show a progress bar.

    Returns:
        tuple `(rows, failures)`: list of dicts with image, caption and score, and list of messages.
    """
    from tqdm import tqdm

    from captioning_utils.images import load_image

    rows, failures = [], []
    size = captioner.image_encoder().image_size
    bar = tqdm(total=len(paths), desc="Captioning", unit="photo", disable=not show_progress)
    for start in range(0, len(paths), PHOTOS_AT_ONCE):
        readable = []
        for path in paths[start : start + PHOTOS_AT_ONCE]:
            try:
                readable.append((path, load_image(path, size)))
            except InputError as error:
                failures.append(str(error))
            bar.update()
        if readable:
            found = captioner.caption_images([image for _, image in readable], **settings)
            rows += [
                {"image": str(path), "caption": each.caption, "score": round(each.score, 4)}
                for (path, _), alternatives in zip(readable, found, strict=True)
                for each in alternatives
            ]
    bar.close()
    return rows, failures


def write_captions(path, rows):
    """Write rows of image, caption and score: as CSV to a name that ends in .csv, otherwise as JSON.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "captions.csv"
        >>> write_captions(path, [{"image": "a.jpg", "caption": "a dog", "score": -0.5}])
        >>> print(path.read_text())
        image,caption,score
        a.jpg,a dog,-0.5
    """
    if Path(path).suffix.lower() != ".csv":
        write_json(path, rows)
        return
    table = io.StringIO()
    writer = csv.DictWriter(table, ("image", "caption", "score"), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, table.getvalue())


# ---- evaluate


def evaluate_main(arguments=None):
    """`evaluate.py`: scores of captioners on a split, or of captions from files. Returns the exit code."""
    options = _evaluate_parser().parse_args(arguments)
    if bool(options.references) != bool(options.candidates) and not (options.references and options.compare):
        raise InputError("--references and --candidates belong together; give both, or a captioner with --model_path")
    from captioning_utils.evaluation import build_document, evaluate
    from captioning_utils.evaluation_report import build_report, format_evaluation
    from captioning_utils.metrics import compute_scores

    metrics = options.metrics or ()
    compute_scores({"": "a"}, {"": ["a"]}, options.protocol, metrics)  # says now, not later, that Java is missing
    candidate_sets, data = _read_candidates(options) if options.references else _caption_split(options)
    compare = options.compare is not None
    evaluation = evaluate(candidate_sets, data, options.protocol, metrics, options.allow_missing, compare)
    print(format_evaluation(evaluation))
    folder = _evaluation_folder(evaluation)
    out, page = options.out or folder / "results.json", options.report or folder / "report.html"
    write_json(out, build_document(evaluation))
    build_report(evaluation, "none" if options.photos == "no" else options.photos).write(page)
    print(f"\n{out} holds every caption and score; {page} shows them (open it in a browser)")
    return PARTLY if evaluation.left_out else OK


def _evaluate_parser():
    parser = build_parser(
        "evaluate.py",
        "Score a captioner on a split of a dataset, beside baselines and people, with the captioner's own encoder.\n"
        "Several --model_path (the same training with several seeds) are shown with mean and range; --compare says\n"
        "whether the second captioner is better than the first. Captions that others wrote need no captioner:\n"
        "python evaluate.py --references refs.json --candidates cands.json",
        "python evaluate.py --data_path data/flickr8k --split test --photos link",
    )
    add_data_options(parser)
    parser.set_defaults(encoder=None, layer=None, dtype=None)  # the captioner's own
    parser.add_argument("--model_path", nargs="+", help="captioner files; the one shipped with the package otherwise")
    parser.add_argument("--compare", nargs=2, metavar=("A", "B"), help="two captioners (or files with candidates)")
    parser.add_argument("--references", help="what people wrote: COCO's captions, {id: [caption, ...]}, or a CSV")
    parser.add_argument(
        "--candidates", nargs="+", help="captions to score: COCO's results, {id: caption}, CSV, JSON lines"
    )
    parser.add_argument("--split", default="test", choices=SPLITS, help="the photos to caption")
    parser.add_argument("--protocol", default="standard", choices=PROTOCOLS, help="how words are compared")
    parser.add_argument("--metrics", nargs="+", choices=EXTRA_METRICS, help="to be computed as well")
    parser.add_argument("--max_length", type=int, help="words at the most")
    parser.add_argument("--beam_size", type=int, help="sentences kept in mind at once; 1 is greedy")
    parser.add_argument("--temperature", type=float, help="sample instead of searching: 0.5 careful, 1 free")
    parser.add_argument("--top_p", type=float, help="sampling: only the likeliest words of this probability together")
    parser.add_argument("--num_captions", type=int, help="captions for each photo, for measures of their diversity")
    parser.add_argument("--seed", type=int, help="of the sampling")
    parser.add_argument("--no_nearest", action="store_true", help="leave out the baseline that needs train photos")
    parser.add_argument(
        "--allow_missing", "--allow-missing", action="store_true", help="score the rest, count the gaps"
    )
    parser.add_argument("--out", type=Path, help="results file; under runs/evaluate otherwise")
    parser.add_argument("--report", type=Path, help="page to look at; beside the results in runs/evaluate otherwise")
    parser.add_argument("--photos", default="no", choices=("link", "embed", "no"), help="photos in the page")
    return parser


def _read_candidates(options):
    """Candidates and references from files; neither Keras nor a captioner is needed."""
    from captioning_utils.evaluation import CandidateSet, EvaluationData
    from captioning_utils.score_files import load_candidates, load_references

    paths = options.compare or options.candidates
    data = EvaluationData(Path(options.references).stem, load_references(options.references))
    found = [{image_id: [caption] for image_id, caption in load_candidates(path).items()} for path in paths]
    return [CandidateSet(name, captions) for name, captions in zip(_name_each(paths), found, strict=True)], data


def _caption_split(options):
    """Captions of each captioner for a split, and what they are judged by."""
    load_backend()
    from captioning_utils.captioner import DEFAULT_CAPTIONER, load_captioner
    from captioning_utils.evaluation import CandidateSet, build_evaluation_data, caption_split, describe_captioner
    from captioning_utils.text import RESERVED_WORDS
    from captioning_utils.truth_summary import load_facts

    dataset = open_dataset(options.data_path)
    print(dataset.summary())
    image_ids = dataset.require_split(options.split)
    wanted = dict.fromkeys(image_ids + ([] if options.no_nearest else dataset.splits["train"]))
    paths = options.compare or options.model_path or [DEFAULT_CAPTIONER]
    candidate_sets, first_features = [], None
    for name, captioner in zip(_name_each(paths), [load_captioner(path) for path in paths], strict=True):
        features = _captioner_features(captioner, dataset, wanted, options)
        first_features = first_features or features
        settings = _generation_settings(captioner, options)
        captions = caption_split(captioner, features, image_ids, settings, options.allow_missing)
        known_words = captioner.vocabulary.words[len(RESERVED_WORDS) :]
        candidate_sets.append(CandidateSet(name, captions, known_words, describe_captioner(captioner, settings)))
    path = Path(options.data_path)
    facts = load_facts((path if path.is_dir() else path.parent) / "facts.json")
    return candidate_sets, build_evaluation_data(
        dataset, options.split, None if options.no_nearest else first_features, facts
    )


def _captioner_features(captioner, dataset, image_ids, options):
    """The features that a captioner reads; the encoder is built only where some are not cached yet."""
    from captioning_utils.encoders import build_encoder
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
    path = Path(options.features or default_features_path(dataset, options.data_path, own))
    if path.is_file() or (path / "index.json").is_file():
        features = load_features(path)
        captioner.check_features(features)
        if all(image_id in features for image_id in image_ids):
            return features
    encoder = build_encoder(name, layer, dtype, options.weights)
    captioner.check_features(encoder)
    return extract_features({image_id: dataset.image_paths[image_id] for image_id in image_ids}, encoder, path)


def _generation_settings(captioner, options):
    """The fields of `GenerationConfig` that the options name; a search keeps as many beams as captions are wanted."""
    names = ("max_length", "beam_size", "temperature", "top_p", "num_captions", "seed")
    settings = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if settings.get("num_captions", 1) > settings.get("beam_size", captioner.generation.beam_size):
        settings["beam_size"] = settings["num_captions"]
    return settings


def _name_each(paths):
    """Short names of files: without folder and suffix, as long as they differ."""
    names = [Path(path).stem for path in paths]
    return names if len(set(names)) == len(names) else list(map(str, paths))


def _evaluation_folder(evaluation):
    first, *others = [Path(line.name).name for line in evaluation.captioners]
    parts = [evaluation.data.name, evaluation.data.split, first, f"and-{len(others)}-more" if others else None]
    return Path("runs/evaluate") / "-".join(filter(None, parts))
