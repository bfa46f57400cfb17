"""One evaluation: captions of a split from captioners or files, scored beside baselines and people.

`evaluate` takes captions and what they are judged by, and gives an `Evaluation`; `build_report` shows it, and
`build_document` makes it a JSON document that says all that belongs to a score: protocol, split, references,
decoding settings, captioner, package versions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from captioning_utils.base.errors import InputError
from captioning_utils.evaluation.baselines import (
    average_scores,
    compute_human_agreement,
    find_most_common_caption,
    find_nearest_photos,
)
from captioning_utils.evaluation.comparison import compare_captioners
from captioning_utils.evaluation.records import (
    CONFIDENCE,
    RESAMPLES,
    CandidateSet,
    Evaluation,
    EvaluationData,
    ScoredCaptions,
)
from captioning_utils.metrics.diversity import compute_diversity, compute_set_diversity
from captioning_utils.metrics.java_metrics import keep_meteor
from captioning_utils.metrics.scores import Scores, compute_scores, pair_images
from captioning_utils.metrics.uncertainty import compute_interval
from captioning_utils.scenes.truth_summary import summarize_truth

if TYPE_CHECKING:
    from captioning_utils.datasets.dataset import CaptionDataset
    from captioning_utils.features import FeatureCache


# Of compute_diversity, without meaning where there are no train captions.
NEEDS_TRAIN = ("novel_share", "words_used_share", "unknown_word_rate", "fluency")


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
        protocol: str, a name in `metrics.PROTOCOLS`.
        extra_metrics: names in `metrics.scores.EXTRA_METRICS` to compute as well.
        allow_missing: bool; True leaves out the photos that not every captioner has a caption for, and counts them.
        compare: bool; True tests whether the second captioner differs from the first.

    Returns:
        `Evaluation`.

    Raises:
        InputError: as `metrics.compute_scores`.

    Example:
        >>> from captioning_utils.metrics import format_score
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
    data = data.select(kept)
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
        facts: dict of image_id to a drawn scene's facts, see `scenes.load_facts`; or None.

    Returns:
        `EvaluationData`. Photos that are not in `features` are no part of the nearest-photo baseline; where that
        leaves none to compare or to choose from, the baseline is left out.

    Raises:
        InputError: where the split is empty.

    Example:
        >>> from pathlib import Path
        >>> from captioning_utils.datasets.dataset import CaptionDataset
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
        split_source=dataset.split_source,
        train_captions=train_captions,
        image_paths={image_id: dataset.image_paths[image_id] for image_id in references},
        facts={image_id: facts[image_id] for image_id in references if image_id in facts} if facts else {},
        baselines=baselines,
    )
