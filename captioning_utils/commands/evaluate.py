"""The command that scores: `evaluate.py` and `python -m captioning_utils evaluate`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from captioning_utils.base.backend import load_backend
from captioning_utils.base.errors import InputError
from captioning_utils.base.files import check_writable, short_name, write_json
from captioning_utils.base.types import AnyPath
from captioning_utils.commands.options import add_data_options, add_generation_options, chosen_settings, open_dataset
from captioning_utils.commands.shell import OK, PARTLY, build_parser
from captioning_utils.datasets.dataset import CaptionDataset
from captioning_utils.datasets.splits import SPLITS
from captioning_utils.metrics.java_metrics import keep_meteor
from captioning_utils.metrics.protocols import PROTOCOLS
from captioning_utils.metrics.scores import EXTRA_METRICS
from captioning_utils.settings import GenerationConfig

if TYPE_CHECKING:
    from captioning_utils.evaluation.records import CandidateSet, Evaluation, EvaluationData
    from captioning_utils.features import FeatureCache


RUNS = Path("runs/evaluate")  # where results are written by default


@keep_meteor()
def evaluate_main(arguments: Sequence[str] | None = None) -> int:
    """`evaluate.py`: scores of captioners on a split, or of captions from files. Returns the exit code."""
    options = _read_evaluate_options(arguments)
    from captioning_utils.evaluation.document import build_document
    from captioning_utils.evaluation.evaluate import evaluate
    from captioning_utils.evaluation.report import build_report, format_evaluation
    from captioning_utils.metrics.scores import compute_scores

    metrics = options.metrics or ()
    compute_scores({"": "a"}, {"": ["a"]}, options.protocol, metrics)  # says now, not later, that Java is missing
    candidate_sets, data = _read_candidates(options) if options.references else _caption_split(options)
    compare = options.compare is not None
    evaluation = evaluate(candidate_sets, data, options.protocol, metrics, options.allow_missing, compare)
    print(f"\n{format_evaluation(evaluation)}")
    folder = _evaluation_folder(evaluation)
    out, page = options.out or folder / "results.json", options.report or folder / "report.html"
    write_json(out, build_document(evaluation))
    build_report(evaluation, "none" if options.photos == "no" else options.photos).write(page)
    print(f"\n{out} holds every caption and score; {page} shows them (open it in a browser)")
    return PARTLY if evaluation.left_out else OK


def _read_evaluate_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, after refusing those that contradict each other or would have no effect."""
    parser = build_evaluate_parser()
    options = parser.parse_args(arguments)
    whose = [name for name in ("model_path", "compare", "candidates") if getattr(options, name)]
    if len(whose) > 1:
        raise InputError(f"--{' and --'.join(whose)} are different questions; give one of them")
    if bool(options.references) != bool(options.candidates) and not (options.references and options.compare):
        raise InputError("--references and --candidates belong together; give both, or a captioner with --model_path")
    if options.references:
        for_captioners = ("data_path", "images", "captions", "weights", "features", "split", "nearest")
        given = [name for name in for_captioners if getattr(options, name) != parser.get_default(name)]
        given += chosen_settings(GenerationConfig, vars(options))
        if given:
            raise InputError(f"--{', --'.join(given)} would have no effect on captions from files; leave that out")
    for path in (options.out, options.report):
        check_writable(path or RUNS / "results.json")
    return options


def build_evaluate_parser() -> argparse.ArgumentParser:
    """The parser of `evaluate.py`."""
    parser = build_parser(
        "evaluate",
        "Score a captioner on a split of a dataset, beside baselines and people, with the captioner's own encoder.\n"
        "Several --model_path (the same training with several seeds) are shown with mean and range; --compare says\n"
        "whether the second captioner is better than the first. Captions that others wrote need no captioner:\n"
        "{program} --references refs.json --candidates cands.json",
        "--data_path data/flickr8k --split test --photos link",
    )
    group = parser.add_argument_group("whose captions")
    group.add_argument("--model_path", nargs="+", help="captioner files or names; predict_caption's otherwise")
    group.add_argument("--compare", nargs=2, metavar=("A", "B"), help="two captioners (or files with candidates)")
    group.add_argument(
        "--candidates", nargs="+", help="captions to score: COCO's results, {id: caption}, CSV, JSON lines"
    )
    group.add_argument("--references", help="what people wrote: COCO's captions, {id: [caption, ...]}, or a CSV")
    add_data_options(parser)
    add_generation_options(parser)
    group = parser.add_argument_group("scores")
    group.add_argument("--split", default="test", choices=SPLITS, help="the photos to caption")
    group.add_argument("--protocol", default="standard", choices=PROTOCOLS, help="how words are compared")
    group.add_argument("--metrics", nargs="+", choices=EXTRA_METRICS, help="to be computed as well")
    group.add_argument(
        "--nearest",
        action="store_true",
        help="extract the train photos' features too, for the baseline of the nearest train photo; without this "
        "option it is there when they are cached already",
    )
    group.add_argument("--allow_missing", "--allow-missing", action="store_true", help="score the rest, count the gaps")
    group = parser.add_argument_group("what is written")
    group.add_argument("--out", type=Path, help="results file; under runs/evaluate otherwise")
    group.add_argument("--report", type=Path, help="page to look at; under runs/evaluate otherwise")
    group.add_argument(
        "--photos",
        default="no",
        choices=("link", "embed", "no"),
        help="photos in the page: link shows them from where they lie, embed copies them into the page, to pass it on",
    )
    return parser


def _read_candidates(options: argparse.Namespace) -> tuple[list[CandidateSet], EvaluationData]:
    """Candidates and references from files; neither Keras nor a captioner is needed."""
    from captioning_utils.evaluation.records import CandidateSet, EvaluationData
    from captioning_utils.evaluation.score_files import load_candidates, load_references, match_ids

    paths = options.compare or options.candidates
    notes: list[str] = []
    read = [load_candidates(path, notes) for path in paths]
    references = load_references(options.references, notes, read[0])
    data = EvaluationData(Path(options.references).stem, references)
    matched = [match_ids(captions, references, notes) for captions in read]
    found = [{image_id: [caption] for image_id, caption in captions.items()} for captions in matched]
    for note in notes:
        print(f"note: {note}")
    return [CandidateSet(name, captions) for name, captions in zip(_name_each(paths), found, strict=True)], data


def _caption_split(options: argparse.Namespace) -> tuple[list[CandidateSet], EvaluationData]:
    """Captions of each captioner for a split, and what they are judged by."""
    load_backend()
    from captioning_utils.bulk import caption_split, captioner_features
    from captioning_utils.captioner import DEFAULT_CAPTIONER, load_captioner
    from captioning_utils.evaluation.evaluate import build_evaluation_data
    from captioning_utils.evaluation.provenance import provenance_of
    from captioning_utils.evaluation.records import CandidateSet
    from captioning_utils.scenes.truth_summary import load_facts

    dataset = open_dataset(options)
    print(dataset.summary())
    image_ids = dataset.require_split(options.split)
    dataset.require_words(options.split)
    wanted = dict.fromkeys(image_ids + (dataset.splits["train"] if options.nearest else []))
    paths = options.compare or options.model_path or [DEFAULT_CAPTIONER]
    settings = chosen_settings(GenerationConfig, vars(options))
    candidate_sets, first_features = [], None
    for name, captioner in zip(_name_each(paths), [load_captioner(path) for path in paths], strict=True):
        captioner.generation_settings(settings)  # refused before the work, not after it
        features = captioner_features(captioner, dataset, wanted, options.features, options.weights)
        first_features = first_features or features
        captions = caption_split(captioner, features, image_ids, settings, options.allow_missing)
        known_words = captioner.vocabulary.ordinary_words
        candidate_sets.append(CandidateSet(name, captions, known_words, provenance_of(captioner, settings)))
    path = Path(options.data_path)
    facts = load_facts((path if path.is_dir() else path.parent) / "facts.json")
    nearest = None
    if first_features is not None and _train_photos_are_there(dataset, first_features):
        nearest = first_features
    return candidate_sets, build_evaluation_data(dataset, options.split, nearest, facts)


def _train_photos_are_there(dataset: CaptionDataset, features: FeatureCache) -> bool:
    """Whether all train photos have features; if not, say how to get them."""
    train = dataset.splits["train"]
    changed = set(features.find_changed({image_id: dataset.image_paths[image_id] for image_id in train}))
    known = (*features.image_ids, *features.skipped)
    missing = set(train) - set(known) | changed
    if missing:
        print(
            f"without the baseline of the nearest train photo: {len(missing):,} of {len(train):,} train photos have no "
            "features yet; --nearest extracts them"
        )
    return not missing


def _name_each(paths: Sequence[AnyPath]) -> list[str]:
    """Short names of files: without folder and suffix, as long as they differ."""
    names = [Path(path).stem for path in paths]
    return names if len(set(names)) == len(names) else list(map(str, paths))


def _evaluation_folder(evaluation: Evaluation) -> Path:
    """A folder of its own for each dataset, split, protocol and captioner, however often a file is overwritten."""
    parts = [evaluation.data.name, evaluation.data.split, evaluation.protocol.name]
    for line in evaluation.captioners[:2]:
        parts += [Path(line.name).name, line.settings.get("captioner", {}).get("fingerprint", "")[:6]]
    others = len(evaluation.captioners) - 2
    parts += [f"and-{others}-more"] if others > 0 else []
    return RUNS / "-".join(map(short_name, filter(None, parts)))
