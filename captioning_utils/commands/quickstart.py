"""`python -m captioning_utils quickstart`: every step of the project on the drawn dataset, in a few minutes."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captioning_utils.base.backend import load_backend
from captioning_utils.base.files import printable
from captioning_utils.base.types import AnyPath
from captioning_utils.commands.options import DRAWN, add_weights_option, open_dataset
from captioning_utils.commands.shell import OK, PARTLY, build_parser, when_stopped
from captioning_utils.images import find_images

if TYPE_CHECKING:
    from captioning_utils.captioner import Captioner
    from captioning_utils.datasets.dataset import CaptionDataset
    from captioning_utils.features import FeatureCache
    from captioning_utils.metrics.scores import Scores


RUN = Path("runs/quickstart")
SHOWN = 12  # held-out pictures in the report
# Smaller than the defaults, which suit photographs: 3,200 captions from 120 words need no more. Those of notebook 03.
SETTINGS: dict[str, Any] = {
    "epochs": 20,
    "batch_size": 64,
    "learning_rate": 4e-3,
    "label_smoothing": 0.0,
    "decoder_settings": {"embedding_dim": 192, "hidden_dim": 192},
}


@when_stopped("the same command goes on from here")
def quickstart_main(arguments: Sequence[str] | None = None) -> int:
    """Draw, extract, clean, train, score, caption, report. Returns the exit code."""
    options = _parser().parse_args(arguments)
    photos = [photo for path in options.photos or [] for photo in find_images(path)]
    started = time.monotonic()
    _announce("1/6 The drawn dataset: 800 pictures with five captions each")
    dataset = open_dataset(DRAWN)
    print(dataset.summary())
    features, captioner = _train(dataset, options.weights)
    _announce("5/6 How good is it? Its captions of held-out pictures against what goes with them (higher is better)")
    candidates, scores = _evaluate(dataset, features, captioner)
    _announce("6/6 The report")
    own, failures = _caption_own(photos, options.weights)
    report = _write_report(dataset, captioner, candidates, scores, own, failures)
    print(f"{report} shows it all (open it in a browser); {(time.monotonic() - started) / 60:.1f} minutes")
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
    add_weights_option(parser)
    return parser


def _announce(text: str) -> None:
    print(f"\n{text}", flush=True)


def _train(dataset: CaptionDataset, weights: AnyPath | None) -> tuple[FeatureCache, Captioner]:
    """Steps 2 to 4: features, cleaned captions, a trained captioner."""
    load_backend()
    from captioning_utils.encoders.encoder import build_encoder
    from captioning_utils.features import extract_features
    from captioning_utils.settings import TrainingConfig
    from captioning_utils.text import add_boundaries, clean_caption
    from captioning_utils.training.train import train_captioner

    _announce("2/6 VGG16 features, each picture once, kept in a pickle")
    encoder = build_encoder("vgg16", "grid", weights_path=weights)
    features = extract_features(dataset.image_paths, encoder, RUN / "features.pkl")
    regions, numbers = features.output_shape
    print(f"{RUN / 'features.pkl'}: {len(features)} pictures, {regions} regions of {numbers} numbers each")
    _announce("3/6 Captions, cleaned")
    raw = dataset.captions[dataset.splits["train"][0]][0]
    print(f"{raw!r} becomes {add_boundaries(clean_caption(raw))!r}")
    _announce("4/6 Training the merge model (nats_per_token: how much each next word surprises it; lower is better)")
    captioner = train_captioner(dataset, features, RUN / "image_caption_model.h5", TrainingConfig(**SETTINGS))
    return features, captioner


def _evaluate(dataset: CaptionDataset, features: FeatureCache, captioner: Captioner) -> tuple[dict[str, str], Scores]:
    """Captions of the test split and their scores, printed."""
    from captioning_utils.metrics.scores import compute_scores

    images = [image_id for image_id in dataset.require_split("test") if image_id in features]
    found = captioner.caption_features(features.get(images))
    candidates = {image_id: best[0].caption for image_id, best in zip(images, found, strict=True)}
    scores = compute_scores(candidates, {image_id: dataset.captions[image_id] for image_id in images})
    print(scores)
    for image_id in images[:5]:
        print(f"  {image_id}: {candidates[image_id]}\n      (a person: {dataset.captions[image_id][0]})")
    return candidates, scores


def _caption_own(photos: Sequence[Path], weights: AnyPath | None) -> tuple[list[tuple[Path, str]], list[str]]:
    """The shipped captioner's sentences for the user's photos, printed: (list of (path, sentence), failures)."""
    from captioning_utils.bulk import caption_photos
    from captioning_utils.captioner import load_captioner

    if not photos:
        return [], []
    captioner = load_captioner()
    captioner.image_encoder(weights)
    failures: list[str] = []
    rows = list(caption_photos(captioner, photos, failures=failures, show_progress=True))
    for row in rows:
        print(f"  {row['image']}: {row['caption']}")
    for message in failures:
        print(f"  left out: {message}")
    paths = {printable(path): path for path in photos}
    return [(paths[row["image"]], row["caption"]) for row in rows], failures


def _write_report(
    dataset: CaptionDataset,
    captioner: Captioner,
    candidates: Mapping[str, str],
    scores: Scores,
    own: Sequence[tuple[Path, str]],
    failures: Sequence[str],
) -> Path:
    """The page with scores, losses, held-out pictures and the user's own photos; returns its path."""
    from captioning_utils.evaluation.html_page import PhotoEntry, Report
    from captioning_utils.metrics.scores import METRIC_LABELS, format_score
    from captioning_utils.plots.training import plot_losses

    report = Report(
        "Quickstart: captions of drawn scenes",
        "A merge model over VGG16 features, trained on 640 drawn scenes, describes scenes it has never seen.",
    )
    names = ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "cider_d"]
    report.add_table(
        "Scores on the test split",
        ["captioner", *(METRIC_LABELS[name] for name in names)],
        [["merge", *(format_score(scores.corpus[name]) for name in names)]],
        f"Protocol {scores.protocol.name}: {scores.num_images} pictures, five references each, times 100.",
    )
    report.add_figure("How it learned", plot_losses(captioner.training["history"]))
    pictures = [
        PhotoEntry(dataset.image_paths[image_id], caption, dataset.captions[image_id][:2])
        for image_id, caption in list(candidates.items())[:SHOWN]
    ]
    report.add_photos(
        "Held-out pictures", pictures, "The captioner's sentence, and below it two that go with the scene."
    )
    if own:
        entries = [PhotoEntry(path, caption) for path, caption in own]
        report.add_photos("Your photos", entries, "Described by the captioner that ships with the package.")
    if failures:
        report.add_text("Left out", failures)
    return report.write(RUN / "report.html")
