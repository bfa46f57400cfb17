"""One evaluation: captions of a split from captioners or files, scored beside baselines and people.

`evaluate` takes captions and what they are judged by, and gives an `Evaluation`; `evaluation_report` shows it, and
`build_document` makes it a JSON document that says all that belongs to a score: protocol, split, references,
decoding settings, captioner, package versions.
"""

from __future__ import annotations

import dataclasses
import importlib
import platform
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from captioning_utils import __version__
from captioning_utils.baselines import (
    average_scores,
    compute_human_agreement,
    find_most_common_caption,
    find_nearest_photos,
)
from captioning_utils.diversity import compute_diversity, compute_set_diversity
from captioning_utils.errors import InputError
from captioning_utils.metrics import METRIC_LABELS, Scores, compute_scores, format_score, pair_images
from captioning_utils.optional_metrics import keep_meteor
from captioning_utils.parts import iterate_parts
from captioning_utils.protocols import PROTOCOLS, Protocol
from captioning_utils.truth_summary import summarize_truth
from captioning_utils.uncertainty import compare_scores, compute_interval, summarize_runs

if TYPE_CHECKING:
    from captioning_utils.captioner import Captioner
    from captioning_utils.datasets import CaptionDataset
    from captioning_utils.features import FeatureCache

_Value = TypeVar("_Value")

DOCUMENT_VERSION = 1
CONFIDENCE = 0.95
RESAMPLES = 1000
DIGITS = 6  # of a score in 0–1 in a document, so that what is printed from it is rounded once
COMPARED = ("bleu_1", "bleu_4", "rouge_l", "cider_d", "cider", "nltk_meteor")  # METEOR 1.5 is no mean over photos
NEEDS_TRAIN = ("novel_share", "words_used_share", "unknown_word_rate")  # of compute_diversity, without meaning else
_PHOTOS_AT_ONCE = 256  # features in memory at once: 50 MB of a 14×14 grid with 512 channels


@dataclasses.dataclass(frozen=True)
class EvaluationData:
    """What captions are judged by.

    Example:
        >>> data = EvaluationData("pets", {"1.jpg": ["a dog"], "2.jpg": ["a cat"]}, split="test")
        >>> list(data.keep(["2.jpg"]).references)
        ['2.jpg']
    """

    name: str  # the dataset's, or the references file's
    references: dict[str, list[str]]  # image_id -> list of str, what people wrote
    split: str | None = None  # None where the references came from a file
    train_captions: tuple[str, ...] = ()  # all captions of the train split, raw; empty where there is none
    image_paths: dict[str, Path] = dataclasses.field(default_factory=dict)  # image_id -> file; empty where unknown
    # image_id -> facts of a drawn scene; empty for photos
    facts: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    baselines: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)  # name -> {image_id: caption}

    def keep(self, image_ids: Iterable[str]) -> Self:
        """The same, for some of the photos; in the order of `image_ids`."""

        def some(values: Mapping[str, _Value]) -> dict[str, _Value]:
            return {image_id: values[image_id] for image_id in image_ids if image_id in values}

        baselines = {name: some(captions) for name, captions in self.baselines.items()}
        return dataclasses.replace(
            self,
            references=some(self.references),
            image_paths=some(self.image_paths),
            facts=some(self.facts),
            baselines=baselines,
        )


@dataclasses.dataclass(frozen=True)
class CandidateSet:
    """The captions of one captioner, before they are scored."""

    name: str
    captions: dict[str, list[str]]  # image_id -> list of str, the best first
    known_words: tuple[str, ...] | None = None  # the captioner's vocabulary; None: the words of the train split
    # for the document: captioner, training, decoding, packages
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class ScoredCaptions:
    """One line of the table: captions and all that was found out about them."""

    name: str
    captions: dict[str, list[str]]  # image_id -> list of str
    # metric -> {"value"} and, where there is an interval, {"low", "high"}; 0–1, CIDEr 0–10
    summary: dict[str, dict[str, float]]
    references: dict[str, float]  # references a photo: {"min", "mean", "max"}
    # as compute_diversity, and as compute_set_diversity where there are several captions a photo
    diversity: dict[str, float]
    truth: dict[str, Any]  # as truth_summary.summarize_truth; empty for photos
    scores: Scores | None = None  # None for people, who are an average
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)

    def require_scores(self) -> Scores:
        """`scores`, where single photos are looked at.

        Raises:
            InputError: for people, whose summary is an average over several sets of captions.
        """
        if self.scores is None:
            raise InputError(f"{self.name} have no scores of single photos; give a captioner or another baseline")
        return self.scores


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Everything that was found out in one run of `evaluate`."""

    data: EvaluationData  # of the photos that were scored
    captioners: list[ScoredCaptions]
    baselines: list[ScoredCaptions]  # the last one is people, where photos have several captions
    left_out: int  # photos that could not be scored; 0 unless allow_missing was given
    # of compare_captioners, where it was asked for
    comparison: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    @property
    def protocol(self) -> Protocol:
        """The `Protocol` of every score in here."""
        return self.captioners[0].require_scores().protocol

    @property
    def packages(self) -> dict[str, str]:
        """Versions of the packages that captions and scores were made with; dict of str to str."""
        return self.captioners[0].settings.get("packages", {}) | package_versions("numpy", "nltk")


@keep_meteor()
def evaluate(
    candidate_sets: Sequence[CandidateSet],
    data: EvaluationData,
    protocol: str = "standard",
    extra_metrics: Collection[str] = (),
    allow_missing: bool = False,
    compare: bool = False,
) -> Evaluation:
    """Score the captions of one or more captioners, the baselines and people on the same photos.

    Args:
        candidate_sets: list of `CandidateSet`, at least one.
        data: `EvaluationData`.
        protocol: str, a name in `protocols.PROTOCOLS`.
        extra_metrics: names in `metrics.EXTRA_METRICS` to compute as well.
        allow_missing: bool; True leaves out the photos that not every captioner has a caption for, and counts them.
        compare: bool; True tests whether the second captioner differs from the first.

    Returns:
        `Evaluation`.

    Raises:
        InputError: as `metrics.compute_scores`.

    Example:
        >>> data = EvaluationData("pets", {1: ["a dog runs", "a dog"], 2: ["a cat", "a cat sits"]})
        >>> evaluation = evaluate([CandidateSet("mine", {1: ["a dog"], 2: ["a cat"]})], data)
        >>> [format_score(line.summary["bleu_1"]["value"]) for line in evaluation.captioners + evaluation.baselines]
        ['100.0', '80.0']
    """
    kept = list(data.references)
    for candidates in candidate_sets:
        first = {image_id: captions[0] for image_id, captions in candidates.captions.items()}
        paired = set(pair_images(first, data.references, allow_missing)[0])
        kept = [image_id for image_id in kept if image_id in paired]
    if not kept:
        raise InputError("no photo has a caption of every captioner; score them one by one")
    everything = set(data.references).union(*(candidates.captions for candidates in candidate_sets))
    data = data.keep(kept)
    captioners = [_score(candidates, data, protocol, extra_metrics) for candidates in candidate_sets]
    baselines = [
        _score(_one_each(name, captions), data, protocol, extra_metrics) for name, captions in data.baselines.items()
    ]
    return Evaluation(
        data=data,
        captioners=captioners,
        baselines=baselines + _score_people(data, protocol, extra_metrics),
        left_out=len(everything) - len(kept),
        comparison=compare_captioners(*captioners[:2]) if compare else [],
    )


def _one_each(name: str, captions: Mapping[str, str]) -> CandidateSet:
    return CandidateSet(name, {image_id: [caption] for image_id, caption in captions.items()})


def _score(
    candidates: CandidateSet, data: EvaluationData, protocol: str, extra_metrics: Collection[str]
) -> ScoredCaptions:
    captions = {image_id: candidates.captions[image_id] for image_id in data.references}
    first = {image_id: several[0] for image_id, several in captions.items()}
    scores = compute_scores(first, data.references, protocol, extra_metrics)
    diversity = _describe(first, data, candidates.known_words)
    if min(map(len, captions.values())) > 1:
        diversity |= compute_set_diversity(captions, data.references)
    return ScoredCaptions(
        name=candidates.name,
        captions=captions,
        summary={metric: _with_interval(scores, metric) for metric in scores.corpus},
        references=scores.references_per_image,
        diversity=diversity,
        truth=summarize_truth(first, data.facts),
        scores=scores,
        settings=candidates.settings,
    )


def _with_interval(scores: Scores, metric: str) -> dict[str, float]:
    if metric == "meteor":  # no mean over photos, so no interval from drawing photos
        return {"value": scores.corpus[metric]}
    interval = compute_interval(scores, metric, RESAMPLES, CONFIDENCE)
    return {key: interval[key] for key in ("value", "low", "high")}


def _describe(
    captions: Mapping[str, str], data: EvaluationData, known_words: Iterable[str] | None = None
) -> dict[str, float]:
    diversity = compute_diversity(list(captions.values()), data.train_captions, known_words)
    return {key: value for key, value in diversity.items() if data.train_captions or key not in NEEDS_TRAIN}


def _score_people(data: EvaluationData, protocol: str, extra_metrics: Collection[str]) -> list[ScoredCaptions]:
    """People as the last line of the table, as a list; empty where photos have one caption each."""
    agreement = compute_human_agreement(data.references, protocol, extra_metrics)
    if not agreement:
        return []
    first = {image_id: captions[0] for image_id, captions in data.references.items()}
    return [
        ScoredCaptions(
            name="people",
            captions={image_id: [caption] for image_id, caption in first.items()},
            summary={metric: {"value": value} for metric, value in average_scores(agreement).items()},
            references=agreement[0].references_per_image,
            diversity=_describe(first, data),
            truth=summarize_truth(first, data.facts),
        )
    ]


# ---- what captions are judged by


def build_evaluation_data(
    dataset: CaptionDataset,
    split: str,
    features: FeatureCache | None = None,
    facts: Mapping[str, dict[str, Any]] | None = None,
) -> EvaluationData:
    """References, train captions, baselines and facts for one split of a dataset.

    Args:
        dataset: `CaptionDataset`.
        split: "train", "val" or "test".
        features: `FeatureCache` of the split's and the train split's photos, for the nearest-photo baseline; None
            leaves this baseline out.
        facts: dict of image_id to a drawn scene's facts, see `truth_summary.load_facts`; or None.

    Returns:
        `EvaluationData`. Photos that are not in `features` are no part of the nearest-photo baseline; where that
        leaves none to compare or to choose from, the baseline is left out.

    Raises:
        InputError: where the split is empty.

    Example:
        >>> from pathlib import Path
        >>> from captioning_utils.datasets import CaptionDataset
        >>> dataset = CaptionDataset(
        ...     name="pets",
        ...     image_paths={"1.jpg": Path("1.jpg"), "2.jpg": Path("2.jpg")},
        ...     captions={"1.jpg": ["A cat ."], "2.jpg": ["A dog ."]},
        ...     splits={"train": ["1.jpg"], "val": [], "test": ["2.jpg"]},
        ... )
        >>> build_evaluation_data(dataset, "test").baselines
        {'most common train caption': {'2.jpg': 'a cat'}}
    """
    references = dataset.split_captions(split)
    train = dataset.splits["train"]
    train_captions = tuple(caption for image_id in train for caption in dataset.captions[image_id])
    baselines = {}
    if train:
        caption, _ = find_most_common_caption(train_captions)
        baselines["most common train caption"] = dict.fromkeys(references, caption)
    if train and features is not None:
        shown, known = ([image_id for image_id in ids if image_id in features] for ids in (references, train))
        if shown and (len(known) > 1 or set(known) - set(shown)):  # a photo is never its own nearest
            nearest = find_nearest_photos(features, shown, known)
            baselines["nearest train photo"] = {name: dataset.captions[near][0] for name, near in nearest.items()}
    return EvaluationData(
        name=dataset.name,
        references=references,
        split=split,
        train_captions=train_captions,
        image_paths={image_id: dataset.image_paths[image_id] for image_id in references},
        facts={image_id: facts[image_id] for image_id in references if image_id in facts} if facts else {},
        baselines=baselines,
    )


# ---- captions from a captioner


def caption_split(
    captioner: Captioner,
    features: FeatureCache,
    image_ids: Sequence[str],
    settings: dict[str, Any] | None = None,
    allow_missing: bool = False,
    show_progress: bool = True,
) -> dict[str, list[str]]:
    """Sentences of a captioner for many photos, some at a time.

    Args:
        captioner: `Captioner`.
        features: `FeatureCache` of the captioner's encoder.
        image_ids: sequence of image_id.
        settings: dict, fields of `GenerationConfig` that replace the captioner's own; or None.
        allow_missing: bool; True leaves photos without features out.
        show_progress: bool, whether to show a progress bar.

    Returns:
        dict of image_id to list of str, the best first.

    Raises:
        InputError: where features are of another encoder, or some are missing and `allow_missing` is False.

    Example:
        >>> import numpy as np
        >>> from captioning_utils.captioner import load_captioner
        >>> from captioning_utils.features import FeatureCache
        >>> captioner = load_captioner()
        >>> shape = captioner.decoder.config.feature_shape
        >>> rows = np.zeros((2, *shape), np.float16)  # extract_features makes real ones
        >>> features = FeatureCache(captioner.encoder, shape, ["a.jpg", "b.jpg"], {}, [rows])
        >>> captions = caption_split(captioner, features, ["b.jpg"], {"beam_size": 1}, show_progress=False)
        >>> list(captions), len(captions["b.jpg"])
        (['b.jpg'], 1)
    """
    captioner.check_features(features)
    present = [image_id for image_id in image_ids if image_id in features]
    if not present or (len(present) < len(image_ids) and not allow_missing):
        missing = [image_id for image_id in image_ids if image_id not in features]
        reason = features.skipped.get(missing[0], "not in the feature cache") if missing else "the list is empty"
        raise InputError(
            f"{len(missing)} of {len(image_ids)} photos have no features, first {missing[:1]!r:.120} ({reason}); "
            "mend these photos, or leave them out with --allow-missing"
        )
    captions: dict[str, list[str]] = {}
    for part, own_settings in iterate_parts(captioner, present, _PHOTOS_AT_ONCE, settings or {}, show_progress):
        found = captioner.caption_features(features.get(part), **own_settings)
        captions |= {
            image_id: [each.caption for each in several] for image_id, several in zip(part, found, strict=True)
        }
    return captions


def describe_captioner(captioner: Captioner, settings: dict[str, Any] | None = None) -> dict[str, Any]:
    """What belongs to every score of a captioner: its fingerprint, its origin and how its sentences were chosen.

    Args:
        captioner: `Captioner`.
        settings: dict, fields of `GenerationConfig` that replaced the captioner's own; or None.

    Returns:
        dict ready for JSON with `captioner`, `training`, `decoding` and `packages`.
    """
    import keras

    from captioning_utils.decoders import decoder_name

    trained = captioner.training
    return {
        "captioner": {
            "fingerprint": captioner.fingerprint,
            "decoder": decoder_name(captioner.decoder),
            "encoder": captioner.encoder,
            "trained_on": trained.get("dataset"),
            "parameters": captioner.decoder.count_params(),
            "training_minutes": captioner.training_minutes,
        },
        "training": {name: trained[name] for name in ("settings", "self_critical") if name in trained},
        "decoding": dataclasses.asdict(captioner.generation_settings(settings or {})),
        "packages": package_versions("keras", keras.backend.backend()),
    }


def package_versions(*names: str) -> dict[str, str]:
    """Versions of installed packages, and of Python and this package.

    Example:
        >>> list(package_versions("numpy"))
        ['python', 'captioning_utils', 'numpy']
    """
    own = {"python": platform.python_version(), "captioning_utils": __version__}
    return own | {name: importlib.import_module(name).__version__ for name in names}


# ---- comparing


def compare_captioners(first: ScoredCaptions, second: ScoredCaptions) -> list[dict[str, Any]]:
    """Whether one captioner is better than another on the same photos, metric by metric.

    Args:
        first, second: `ScoredCaptions` of one `Evaluation`.

    Returns:
        list of dicts as `uncertainty.compare_scores` gives them, with `real` (bool): the p-value is below 0.05 and
        0 lies outside the interval.

    Raises:
        InputError: where one of them is people, who have no scores of single photos.
    """
    comparisons = []
    scores, others = first.require_scores(), second.require_scores()
    for metric in COMPARED:
        if metric in scores.corpus:
            found = compare_scores(scores, others, metric, RESAMPLES, CONFIDENCE)
            outside = found["low"] > 0 or found["high"] < 0
            comparisons.append(found | {"real": outside and found["p_value"] < 1 - CONFIDENCE})
    return comparisons


def describe_comparison(comparison: Mapping[str, Any], first: str, second: str) -> str:
    """One comparison as a sentence.

    Args:
        comparison: dict, one of `compare_captioners`.
        first, second: str, the captioners' names.

    Returns:
        str.

    Example:
        >>> found = {"metric": "cider_d", "difference": 0.021, "low": 0.008, "high": 0.034, "p_value": 0.002}
        >>> describe_comparison(found | {"real": True}, "A", "B")
        'B is better than A by 2.1 CIDEr-D points (95 % interval 0.8 to 3.4, p = 0.002): the difference is real'
    """
    difference, low, high = (comparison[key] for key in ("difference", "low", "high"))
    if difference == 0:
        return f"{first} and {second} have the same {METRIC_LABELS[comparison['metric']]}: no real difference shown"
    if difference < 0:
        first, second, difference, low, high = second, first, -difference, -high, -low
    better = f"{second} is better than {first} by" if comparison["real"] else f"{second} scores above {first} by"
    answer = "the difference is real" if comparison["real"] else "no real difference shown"
    return (
        f"{better} {format_score(difference)} {METRIC_LABELS[comparison['metric']]} points ({100 * CONFIDENCE:.0f} % "
        f"interval {format_score(low)} to {format_score(high)}, p = {comparison['p_value']:.3f}): {answer}"
    )


# ---- the document


def build_document(evaluation: Evaluation) -> dict[str, Any]:
    """Everything that was found out, as plain values for `files.write_json`; the same input gives the same document.

    Neither references nor any caption of the train split are in it, so it can be published where they cannot.

    Args:
        evaluation: `Evaluation`.

    Returns:
        dict; scores are 0–1 (CIDEr 0–10), rounded to 4 digits. Of several captioners it holds a list of their
        documents, and the comparison or the mean and range of each score.

    Example:
        >>> data = EvaluationData("pets", {1: ["a dog runs", "a dog"], 2: ["a cat", "a cat sits"]})
        >>> evaluation = evaluate([CandidateSet("mine", {1: ["a dog"], 2: ["a cat"]})], data)
        >>> build_document(evaluation)["photos"]["1"]["caption"]
        'a dog'
    """
    documents = [_document(evaluation, line) for line in evaluation.captioners]
    if len(documents) == 1:
        return documents[0]
    common = {"format_version": DOCUMENT_VERSION, "captioners": documents}
    if evaluation.comparison:
        return common | {"comparison": _rounded(evaluation.comparison)}
    return common | {
        "summary": _rounded(summarize_runs([line.require_scores().corpus for line in evaluation.captioners]))
    }


def _document(evaluation: Evaluation, captioner: ScoredCaptions) -> dict[str, Any]:
    data, protocol = evaluation.data, evaluation.protocol
    return {
        "format_version": DOCUMENT_VERSION,
        "name": captioner.name,
        "dataset": data.name,
        "split": data.split,
        "num_images": len(data.references),
        "left_out": evaluation.left_out,
        "protocol": protocol.name,
        "protocol_description": PROTOCOLS[protocol.name].description,
        **captioner.settings,
        "packages": evaluation.packages,
        "interval": {"confidence": CONFIDENCE, "resamples": RESAMPLES, "of": "photos, percentile bootstrap"},
        **_findings(captioner),
        "baselines": {line.name: _findings(line) for line in evaluation.baselines},
        "photos": {str(image_id): _photo(captioner, image_id) for image_id in data.references},
    }


def _findings(line: ScoredCaptions) -> dict[str, Any]:
    findings = {"references_per_image": line.references, "scores": line.summary, "diversity": line.diversity}
    return _rounded(findings | ({"truth": line.truth} if line.truth else {}))


def _photo(captioner: ScoredCaptions, image_id: str) -> dict[str, Any]:
    caption, *alternatives = captioner.captions[image_id]
    photo = {"caption": caption} | ({"alternatives": alternatives} if alternatives else {})
    return photo | _rounded(captioner.require_scores().per_image[image_id])


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(each) for each in value]
    return round(value, DIGITS) if isinstance(value, float) else value
