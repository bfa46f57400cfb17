"""What an evaluation takes and what it gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from captioning_utils.base.errors import InputError
from captioning_utils.evaluation.provenance import package_versions
from captioning_utils.metrics.protocols import Protocol
from captioning_utils.metrics.scores import Scores

_Value = TypeVar("_Value")
CONFIDENCE = 0.95
RESAMPLES = 1000


@dataclasses.dataclass(frozen=True)
class EvaluationData:
    """What captions are judged by.

    Example:
        >>> data = EvaluationData("pets", {"1.jpg": ["a dog"], "2.jpg": ["a cat"]}, split="test")
        >>> list(data.select(["2.jpg"]).references)
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
    split_source: str = ""  # where the split is from, in words

    def select(self, image_ids: Iterable[str]) -> Self:
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
        """`scores`, where single photos are looked at."""
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
