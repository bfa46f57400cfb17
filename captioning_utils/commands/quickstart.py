"""`python -m captioning_utils quickstart`: every step of the project on the drawn dataset, in a few minutes."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from captioning_utils.base.backend import load_backend
from captioning_utils.base.files import atomic_write, check_writable, path_text
from captioning_utils.base.types import AnyPath
from captioning_utils.commands.options import add_recursive_option, add_weights_option, list_photos
from captioning_utils.commands.shell import OK, PARTLY, build_parser, when_stopped
from captioning_utils.datasets.dataset import load_dataset
from captioning_utils.images import list_samples
from captioning_utils.scenes.dataset import draw_dataset, draw_scene
from captioning_utils.scenes.scene import generate_scene
from captioning_utils.scenes.truth import list_mistakes
from captioning_utils.scenes.truth_summary import load_facts, summarize_truth
from captioning_utils.settings import TrainingConfig
from captioning_utils.text import add_boundaries, clean_caption

if TYPE_CHECKING:
    from captioning_utils.captioner import Captioner
    from captioning_utils.datasets.dataset import CaptionDataset
    from captioning_utils.evaluation.html_page import Report
    from captioning_utils.features import FeatureCache
    from captioning_utils.metrics.scores import Scores


RUN = Path("runs/quickstart")
NUM_SCENES = 1500
SAMPLE_SEED = 23  # of the scene that the shipped captioner describes where there is no photograph
SHOWN = 12  # held-out pictures in the report
# Smaller than the defaults, which suit photographs: 6,000 captions from 130 words need no more.
SETTINGS: dict[str, Any] = {
    "decoder": "transformer",
    "epochs": 10,
    "batch_size": 64,
    "learning_rate": 2e-3,
    "label_smoothing": 0.0,
    "decoder_settings": {
        "hidden_dim": 128,
        "num_layers": 1,
        "num_heads": 4,
        "feedforward_dim": 256,
        "dropout": 0.1,
        "photo_dropout": 0.2,
    },
}


@when_stopped("the same command goes on from here")
def quickstart_main(arguments: Sequence[str] | None = None) -> int:
    """Describe, draw, extract, clean, train, score, report. Returns the exit code."""
    options = _parser().parse_args(arguments)
    photos = list_photos(options.photos or [], options.recursive)
    check_writable(RUN / "report.html")
    started = time.monotonic()
    with _stage("1/7 Photographs, described by the captioner that ships with the package"):
        described, failures = _caption_photos(photos + list(list_samples()) or [_draw_sample()], options.weights)
    with _stage(f"2/7 The drawn dataset: {NUM_SCENES:,} pictures with five captions each"):
        dataset = _draw()
    with _stage("3/7 VGG16 features, each picture once, kept in a pickle"):
        features = _extract(dataset, options.weights)
    with _stage("4/7 Captions, cleaned"):
        raw = dataset.captions[dataset.splits["train"][0]][0]
        print(f"{raw!r} becomes {add_boundaries(clean_caption(raw))!r}")
    with _stage("5/7 Training a transformer (nats_per_token: how much each next word surprises it; lower is better)"):
        captioner = _train(dataset, features)
    with _stage("6/7 How good is it? Its captions of held-out pictures against what goes with them (higher is better)"):
        tested = _evaluate(dataset, features, captioner)
    with _stage("7/7 The report"):
        report = _write_report(dataset, captioner, tested, described, failures)
    print(f"\n{report} shows it all (open it in a browser); {(time.monotonic() - started) / 60:.1f} minutes")
    print(f"Describe photos of yours: python generate.py --image_path PHOTO (or {RUN / 'image_caption_model.h5'})")
    return PARTLY if failures else OK


def _parser() -> argparse.ArgumentParser:
    parser = build_parser(
        "quickstart",
        "The whole way from pictures to captions on the built-in drawn dataset: features, text, training, BLEU,\n"
        f"a report in {RUN}. Run again, it goes on from what is there.",
        "--photos ~/Pictures/holiday",
    )
    parser.add_argument("--photos", nargs="+", help="photos or folders that the shipped captioner describes as well")
    add_recursive_option(parser)
    add_weights_option(parser)
    return parser


@contextlib.contextmanager
def _stage(text: str) -> Iterator[None]:
    """Say what begins, and in the end how long it took."""
    print(f"\n{text}", flush=True)
    started = time.monotonic()
    yield
    print(f"({time.monotonic() - started:.0f} s)", flush=True)


def _draw_sample() -> Path:
    path = RUN / "sample.png"
    with atomic_write(path) as temporary:
        draw_scene(generate_scene(SAMPLE_SEED)).save(temporary, "PNG")
    return path


def _caption_photos(photos: Sequence[Path], weights: AnyPath | None) -> tuple[list[tuple[Path, str]], list[str]]:
    """The shipped captioner's sentences, printed: (list of (path, sentence), failures)."""
    load_backend()
    from captioning_utils.bulk import caption_photos
    from captioning_utils.captioner import load_captioner

    captioner = load_captioner()
    captioner.image_encoder(weights)
    failures: list[str] = []
    rows = list(caption_photos(captioner, photos, failures=failures, show_progress=len(photos) > 1))
    paths = {path_text(path): path for path in photos}
    described = [(paths[row["image"]], row["caption"]) for row in rows]
    for path, caption in described:
        print(f"  {path.name}: {caption}")
    for message in failures:
        print(f"  left out: {message}")
    return described, failures


def _draw() -> CaptionDataset:
    dataset = load_dataset(draw_dataset(RUN / "scenes", NUM_SCENES))
    print(dataset.summary())
    return dataset


def _extract(dataset: CaptionDataset, weights: AnyPath | None) -> FeatureCache:
    """Of photos at half the size and from an earlier block: quick, and what drawn scenes need is there."""
    from captioning_utils.encoders.encoder import build_encoder
    from captioning_utils.features import extract_features

    encoder = build_encoder("vgg16", "half_size", weights_path=weights)
    features = extract_features(dataset.image_paths, encoder, RUN / "features.pkl")
    regions, numbers = features.output_shape
    print(f"{RUN / 'features.pkl'}: {len(features)} pictures, {regions} regions of {numbers} numbers each")
    return features


def _train(dataset: CaptionDataset, features: FeatureCache) -> Captioner:
    from captioning_utils.training.train import train_captioner

    return train_captioner(dataset, features, RUN / "image_caption_model.h5", TrainingConfig(**SETTINGS))


class _Tested(NamedTuple):
    """Sentences about the test split, and how good they are."""

    candidates: dict[str, str]  # image_id to sentence
    scores: Scores
    facts: dict[str, dict[str, Any]]  # image_id to what is in the picture
    truth: dict[str, Any]  # of summarize_truth


def _evaluate(dataset: CaptionDataset, features: FeatureCache, captioner: Captioner) -> _Tested:
    """Captions of the test split with their scores and mistakes, printed."""
    from captioning_utils.metrics.scores import compute_scores

    images = [image_id for image_id in dataset.require_split("test") if image_id in features]
    found = captioner.caption_features(features.get(images))
    candidates = {image_id: best[0].caption for image_id, best in zip(images, found, strict=True)}
    scores = compute_scores(candidates, {image_id: dataset.captions[image_id] for image_id in images})
    facts = load_facts(RUN / "scenes" / "facts.json")
    truth = summarize_truth(candidates, facts)
    print(scores)
    print(f"free of mistakes: {truth['without_mistake_share']:.0%} of {len(images)} sentences")
    for image_id in images[:5]:
        marks = list_mistakes(candidates[image_id], facts[image_id])
        print(f"  {image_id}: {candidates[image_id]}{''.join(f'  [{mark}]' for mark in marks)}")
        print(f"      (one of its own captions: {dataset.captions[image_id][0]})")
    return _Tested(candidates, scores, facts, truth)


def _write_report(
    dataset: CaptionDataset,
    captioner: Captioner,
    tested: _Tested,
    described: Sequence[tuple[Path, str]],
    failures: Sequence[str],
) -> Path:
    """The page with scores, losses, held-out pictures and photographs; returns its path."""
    from captioning_utils.evaluation.html_page import PhotoEntry, Report
    from captioning_utils.metrics.scores import METRIC_LABELS, format_score
    from captioning_utils.plots.training import plot_losses

    report = Report(
        "Quickstart: captions of drawn scenes",
        f"A transformer over VGG16 features, trained on {len(dataset.splits['train']):,} drawn scenes, describes "
        "scenes it has never seen.",
    )
    names, scores = ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "cider_d"], tested.scores
    report.add_table(
        "Scores on the test split",
        ["captioner", *(METRIC_LABELS[name] for name in names)],
        [["transformer", *(format_score(scores.corpus[name]) for name in names)]],
        f"Protocol {scores.protocol.name}: {scores.num_images} pictures, five references each, times 100.",
    )
    shares = {"no mistake": tested.truth["without_mistake_share"]}
    shares |= {kind: summary["right_share"] for kind, summary in tested.truth["kinds"].items()}
    report.add_table(
        "Is it true?",
        ["sentences with", *shares],
        [["share that is right", *("…" if share is None else f"{share:.0%}" for share in shares.values())]],
        "What the sentences claim, checked against what was drawn.",
    )
    report.add_figure("How it learned", plot_losses(captioner.training["history"]))
    pictures = [
        PhotoEntry(dataset.image_paths[image_id], caption, dataset.captions[image_id][:2], _marks(caption, facts))
        for image_id, caption in list(tested.candidates.items())[:SHOWN]
        for facts in [tested.facts[image_id]]
    ]
    report.add_photos(
        "Held-out pictures",
        pictures,
        "The captioner's sentence, two that go with the scene, and what is wrong in the first.",
    )
    add_photographs(report, described)
    if failures:
        report.add_text("Left out", failures)
    return report.write(RUN / "report.html")


def add_photographs(report: Report, described: Sequence[tuple[Path, str]]) -> None:
    """Add two sections to the page: the user's own photos, and the samples with what they show.

    Args:
        report: the `Report` to add to; a section without photos is left out.
        described: list of (`Path`, sentence of the captioner that ships).
    """
    from captioning_utils.evaluation.html_page import PhotoEntry

    samples = list_samples()
    own = [PhotoEntry(path, caption) for path, caption in described if path not in samples]
    known = [PhotoEntry(path, caption, [samples[path]]) for path, caption in described if path in samples]
    if own:
        report.add_photos("Your photos", own, "Described by the captioner that ships with the package.")
    if known:
        report.add_photos(
            "Photographs",
            known,
            "The sentence of the captioner that ships with the package, and in grey what a person sees. The captioner "
            "learned from 6,000 photographs, mostly of people and dogs outdoors: find out where it is right, where it "
            "is half right, and what it makes of things that it has never been taught.",
        )


def _marks(caption: str, facts: dict[str, Any]) -> dict[str, str]:
    mistakes = list_mistakes(caption, facts)
    return {"wrong": "; ".join(mistakes)} if mistakes else {"mistakes": "none"}
