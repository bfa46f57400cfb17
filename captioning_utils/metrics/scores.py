"""BLEU, ROUGE-L and CIDEr-D of captions against what people wrote, equal to coco-caption's to 1e-6, without Java.

`compute_scores` is the entrance: candidates and references in, a `Scores` out. All values are in 0–1 (CIDEr
and CIDEr-D in 0–10); only `format_score` multiplies by 100, for print.
"""

import itertools
import statistics
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from captioning_utils.base.errors import InputError
from captioning_utils.base.raw_captions import find_boundary_tags
from captioning_utils.base.scripts import lack_spaces
from captioning_utils.base.wording import count_and_name, count_noun
from captioning_utils.metrics.bleu import MAX_ORDER, compute_bleu, compute_bleu_statistics
from captioning_utils.metrics.cider import Cider
from captioning_utils.metrics.java_metrics import compute_meteor, compute_nltk_meteor
from captioning_utils.metrics.protocols import Protocol, get_protocol, tokenize_captions
from captioning_utils.metrics.rouge import compute_rouge_l

METRIC_LABELS = {
    "bleu_1": "BLEU-1",
    "bleu_2": "BLEU-2",
    "bleu_3": "BLEU-3",
    "bleu_4": "BLEU-4",
    "rouge_l": "ROUGE-L",
    "cider_d": "CIDEr-D",
    "cider": "CIDEr",
    "meteor": "METEOR 1.5",
    "nltk_meteor": "METEOR (nltk)",
}
EXTRA_METRICS = ("cider", "meteor", "nltk_meteor")  # computed only on request


@dataclass(frozen=True)
class Scores:
    """The scores of one set of captions, for the set and for each photo.

    Example:
        >>> scores = compute_scores({1: "a dog runs on grass"}, {1: ["A dog runs on grass.", "A dog."]})
        >>> print(scores)
        BLEU-1 100.0  BLEU-2 100.0  BLEU-3 100.0  BLEU-4 100.0  ROUGE-L 100.0  CIDEr-D 0.0
        (protocol standard, 1 photo, 2 references each)
        CIDEr-D is 0 for a single photo: it weighs words by how few of the photos' references use them.
    """

    protocol: Protocol
    corpus: dict[str, float]  # metric name -> float for the whole set
    per_image: dict[str, dict[str, float]]  # image_id -> {metric name: float}
    references_per_image: dict[str, float]  # {"min": int, "mean": float, "max": int}
    left_out: int  # photos that could not be scored; 0 unless allow_missing was given
    bleu_statistics: NDArray[np.int64] = field(repr=False, compare=False)  # int64 (photos, 10), in per_image's order
    remarks: tuple[str, ...] = ()  # sentences on what makes a score mean little here

    @property
    def num_images(self) -> int:
        """How many photos were scored."""
        return len(self.per_image)

    def to_dict(self) -> dict[str, Any]:
        """All but the BLEU statistics as plain dicts, ready for JSON; values 0–1, CIDEr 0–10.

        Example:
            >>> sorted(compute_scores({1: "a dog"}, {1: ["a dog"]}).to_dict())
            ['corpus', 'left_out', 'num_images', 'per_image', 'protocol', 'references_per_image']
        """
        return {
            "protocol": self.protocol.name,
            "num_images": self.num_images,
            "references_per_image": self.references_per_image,
            "left_out": self.left_out,
            "corpus": self.corpus,
            "per_image": self.per_image,
        }

    def __str__(self) -> str:
        values = "  ".join(f"{METRIC_LABELS[name]} {format_score(value)}" for name, value in self.corpus.items())
        least, most = self.references_per_image["min"], self.references_per_image["max"]
        references = f"{least} reference{'s' if most > 1 else ''}" if least == most else f"{least} to {most} references"
        left_out = f", {count_noun(self.left_out, 'photo')} left out" if self.left_out else ""
        photos = count_noun(self.num_images, "photo")
        first = f"{values}\n(protocol {self.protocol.name}, {photos}, {references} each{left_out})"
        return "\n".join([first, *self.remarks])


def format_score(value: float, decimals: int = 1) -> str:
    """A score as people print it: times 100. The only place where a score changes its range.

    Args:
        value: float, 0–1 (CIDEr and CIDEr-D 0–10).
        decimals: int, digits after the point.

    Returns:
        str.

    Example:
        >>> format_score(0.2163)
        '21.6'
    """
    return f"{100 * value:.{decimals}f}"


def compute_scores(
    candidates: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    protocol: str = "standard",
    extra_metrics: Collection[str] = (),
    allow_missing: bool = False,
) -> Scores:
    """Score captions: BLEU-1 to 4, ROUGE-L and CIDEr-D for the whole set and for each photo.

    Equal to coco-caption's (pycocoevalcap's) numbers on the same words; a photo's own BLEU is coco-caption's
    sentence BLEU. The whole set's BLEU is no mean over photos; ROUGE-L and CIDEr-D are. CIDEr-D depends on the
    whole set: its word rarities come from the references given here.

    Args:
        candidates: dict `{image_id: str}`, one caption a photo.
        references: dict `{image_id: [str, ...]}`, what people wrote.
        protocol: str, a name in `protocols.PROTOCOLS`.
        extra_metrics: names in `EXTRA_METRICS` to compute as well; `meteor` needs Java, `nltk_meteor` WordNet.
        allow_missing: bool; True leaves photos out that have no candidate or no reference, and counts them.

    Returns:
        `Scores`.

    Raises:
        InputError: for candidates of unknown photos, missing candidates, photos without references, captions
            that are no text, an unknown protocol or metric; the message counts and names the first few.

    Example:
        >>> references = {1: ["a dog runs", "the dog is running"], 2: ["two men sit", "men on a bench"]}
        >>> scores = compute_scores({1: "a dog runs", 2: "two dogs"}, references)
        >>> format_score(scores.corpus["bleu_1"]), format_score(scores.per_image[1]["rouge_l"])
        ('65.5', '100.0')
    """
    rules = get_protocol(protocol)
    unknown = [name for name in extra_metrics if name not in EXTRA_METRICS]
    if unknown:
        raise InputError(f"extra_metrics has {unknown!r:.80}; allowed: {', '.join(EXTRA_METRICS)}")
    image_ids, left_out = pair_images(candidates, references, allow_missing)
    remarks = list(_remark([text for image_id in image_ids for text in references[image_id]], len(image_ids), rules))
    candidates, references = _without_tags(image_ids, candidates, references, remarks)
    words, reference_words = _tokenize(image_ids, candidates, references, rules)
    for whose, texts in (("candidate", [words]), ("reference", reference_words)):
        if not any(itertools.chain(*texts)):
            remarks.append(f"No {whose} holds a word, so every score is 0.")
    bleu_statistics = compute_bleu_statistics(words, reference_words)
    corpus, columns = _score_all(words, reference_words, bleu_statistics, rules, extra_metrics)
    counts = [len(captions) for captions in reference_words]
    return Scores(
        protocol=rules,
        corpus=corpus,
        per_image={
            image_id: dict(zip(columns, map(float, row), strict=True))
            for image_id, row in zip(image_ids, zip(*columns.values(), strict=True), strict=True)
        },
        references_per_image={"min": min(counts), "mean": statistics.fmean(counts), "max": max(counts)},
        left_out=left_out,
        bleu_statistics=bleu_statistics,
        remarks=tuple(remarks),
    )


def _remark(references: Sequence[str], num_images: int, protocol: Protocol) -> Iterator[str]:
    """Sentences on what makes a score mean little."""
    if num_images == 1:
        yield "CIDEr-D is 0 for a single photo: it weighs words by how few of the photos' references use them."
    if not protocol.by_character and lack_spaces(references):
        yield (
            "The references have no spaces between words, so whole sentences are compared as one word; the protocol "
            "by-character compares characters."
        )


def _without_tags(
    image_ids: Sequence[str],
    candidates: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    remarks: list[str],
) -> tuple[Mapping[str, str], Mapping[str, Sequence[str]]]:
    """Candidates and references of some photos, without the boundary tags of the program that wrote them."""
    tags = find_boundary_tags([candidates[image_id] for image_id in image_ids])
    if tags:
        candidates = {image_id: tags.drop(candidates[image_id]) for image_id in image_ids}
        remarks.append(f"candidates: {tags.tell(len(candidates))}")
    tags = find_boundary_tags([text for image_id in image_ids for text in references[image_id]])
    if tags:
        references = {image_id: list(map(tags.drop, references[image_id])) for image_id in image_ids}
        remarks.append(f"references: {tags.tell(sum(map(len, references.values())))}")
    return candidates, references


def _score_all(
    words: list[list[str]],
    reference_words: list[list[list[str]]],
    bleu_statistics: NDArray[np.int64],
    protocol: Protocol,
    extra_metrics: Collection[str],
) -> tuple[dict[str, float], dict[str, Iterable[float]]]:
    """({metric: score of the set}, {metric: scores of the photos})."""
    bleu = compute_bleu(bleu_statistics.sum(axis=0), protocol.brevity_penalty)
    bleu_per_image = compute_bleu(bleu_statistics, protocol.brevity_penalty)
    corpus = {f"bleu_{order}": float(bleu[order - 1]) for order in range(1, MAX_ORDER + 1)}
    columns: dict[str, Iterable[float]] = {
        f"bleu_{order}": bleu_per_image[:, order - 1] for order in range(1, MAX_ORDER + 1)
    }

    cider = Cider(dict(enumerate(reference_words)))
    columns["rouge_l"] = list(map(compute_rouge_l, words, reference_words))
    columns["cider_d"] = [cider.score_d(row, tokens) for row, tokens in enumerate(words)]
    if "cider" in extra_metrics:
        columns["cider"] = [cider.score(row, tokens) for row, tokens in enumerate(words)]
    for name in columns.keys() - corpus.keys():
        corpus[name] = statistics.fmean(columns[name])
    for name, compute in (("meteor", compute_meteor), ("nltk_meteor", compute_nltk_meteor)):
        if name in extra_metrics:
            corpus[name], columns[name] = compute(words, reference_words)
    return {name: corpus[name] for name in columns}, columns


def pair_images(
    candidates: Mapping[str, str], references: Mapping[str, Sequence[str]], allow_missing: bool = False
) -> tuple[list[str], int]:
    """Find the photos that have both a candidate and references, after checking everything that comes in.

    Example:
        >>> pair_images({1: "a dog"}, {1: ["a dog"], 2: ["a cat"]}, allow_missing=True)
        ([1], 1)
    """
    _check_texts(candidates, references)
    unknown = [image_id for image_id in candidates if image_id not in references]
    missing = [image_id for image_id in references if image_id not in candidates]
    bare = [image_id for image_id, captions in references.items() if not captions]
    problems = [
        f"{what}: {count_and_name(image_ids)}"
        for what, image_ids in (
            ("candidates for photos without an entry in the references", unknown),
            ("photos without a candidate", missing),
            ("photos with an empty list of references", bare),
        )
        if image_ids
    ]
    if problems and not allow_missing:
        raise InputError(f"{'; '.join(problems)}; mend the ids, or score the rest with allow_missing=")
    paired = [image_id for image_id, captions in references.items() if captions and image_id in candidates]
    if not paired:
        raise InputError(
            f"no photo has both a candidate and a reference ({len(candidates)} candidates, such as "
            f"{list(candidates)[:2]!r:.80}; references for {len(references)} photos, such as "
            f"{list(references)[:2]!r:.80}); both must use the same ids"
        )
    return paired, len(unknown) + len({*missing, *bare})


def _check_texts(candidates: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> None:
    bad = [image_id for image_id, caption in candidates.items() if not isinstance(caption, str)]
    if bad:
        raise InputError(f"candidates that are no text: {count_and_name(bad)}; give one str a photo")
    bad = [
        image_id
        for image_id, captions in references.items()
        if not isinstance(captions, (list, tuple)) or not all(isinstance(caption, str) for caption in captions)
    ]
    if bad:
        raise InputError(f"references that are no list of texts: {count_and_name(bad)}; give a list of str a photo")


def _tokenize(
    image_ids: Sequence[str], candidates: Mapping[str, str], references: Mapping[str, Sequence[str]], protocol: Protocol
) -> tuple[list[list[str]], list[list[list[str]]]]:
    """Words of each photo's candidate and of its references; one call, because Java starts slowly."""
    captions = [candidates[image_id] for image_id in image_ids]
    for image_id in image_ids:
        captions.extend(references[image_id])
    words = tokenize_captions(captions, protocol)
    rest = iter(words[len(image_ids) :])
    return words[: len(image_ids)], [[next(rest) for _ in references[image_id]] for image_id in image_ids]
