"""How far a score could be luck of the draw: intervals over photos, a test between two captioners, several runs."""

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from captioning_utils.base.errors import InputError
from captioning_utils.metrics.bleu import compute_bleu
from captioning_utils.metrics.scores import Scores

_ToScores: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.float64]]
NUMBERS_AT_ONCE = 4_000_000  # numbers drawn at once: 32 MB, whatever the number of photos


def compute_interval(
    scores: Scores,
    metric: str,
    num_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    numbers_at_once: int = NUMBERS_AT_ONCE,
) -> dict[str, Any]:
    """Percentile bootstrap: the range of a score if other photos of the same kind had been drawn.

    Photos are drawn with replacement, as many as there are, again and again. BLEU is computed anew from the
    counts of the drawn photos, the other metrics are means over them. CIDEr's word rarities stay those of all
    photos. The interval covers the choice of photos, not the luck of a training run: see `summarize_runs`.

    Args:
        scores: `metrics.Scores`.
        metric: str, a key of `scores.corpus` other than `meteor`, which is no mean over photos.
        num_resamples: int, at least 1.
        confidence: float in (0, 1).
        seed: int; the same seed gives the same interval.
        numbers_at_once: int, how many photos are drawn at once; it bounds the memory and changes nothing else.

    Returns:
        dict ready for JSON: `metric`, `value`, `low`, `high` (in the metric's range), `confidence`,
        `num_resamples`, `num_images`.

    Raises:
        InputError: for a metric that is not there or no mean, or settings outside their range.

    Example:
        >>> from captioning_utils.metrics.scores import compute_scores
        >>> references = {1: ["a dog runs"], 2: ["a cat sits"], 3: ["two men talk"]}
        >>> scores = compute_scores({1: "a dog runs", 2: "a cat runs", 3: "a bus"}, references)
        >>> interval = compute_interval(scores, "rouge_l")
        >>> interval["low"] < interval["value"] < interval["high"]
        True

    References:
        Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13; for BLEU: Koehn 2004,
        Statistical Significance Tests for Machine Translation Evaluation.
    """
    _check_settings(num_resamples, confidence)
    rows, to_score = _per_photo(scores, metric)
    counted = _draw_counts(len(rows), num_resamples, seed, numbers_at_once)
    resamples = np.concatenate([to_score(counts @ rows) for counts in counted])
    return {
        "metric": metric,
        "value": scores.corpus[metric],
        **_percentiles(resamples, confidence),
        "confidence": confidence,
        "num_resamples": num_resamples,
        "num_images": len(rows),
    }


def compare_scores(
    first: Scores, second: Scores, metric: str, num_resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> dict[str, Any]:
    """Whether two captioners differ on the same photos by more than luck, by paired resampling.

    The interval of the difference comes from the paired bootstrap (both captioners on the same drawn photos).
    The p-value comes from approximate randomization: how often a difference at least as large, in either
    direction, turns up when each photo's two captions are swapped or not at random.

    Args:
        first, second: `metrics.Scores` of the same photos under the same protocol.
        metric: str, as for `compute_interval`.
        num_resamples: int, for the interval and for the test; the p-value is at least 1 / (1 + this).
        confidence: float in (0, 1).
        seed: int; the same seed gives the same answer.

    Returns:
        dict ready for JSON: `metric`, `first`, `second` (scores of the set), `difference` (second − first),
        its `low` and `high`, `p_value`, `confidence`, `num_resamples`, `num_images`.

    Raises:
        InputError: where photos or protocols differ, and as for `compute_interval`.

    Example:
        >>> from captioning_utils.metrics.scores import compute_scores
        >>> references = {1: ["a dog runs"], 2: ["a cat sits"], 3: ["two men talk"]}
        >>> scores = compute_scores({1: "a dog runs", 2: "a cat runs", 3: "a bus"}, references)
        >>> answer = compare_scores(scores, scores, "bleu_1")
        >>> answer["difference"], answer["p_value"]
        (0.0, 1.0)

    References:
        Koehn 2004, Statistical Significance Tests for Machine Translation Evaluation; Riezler and Maxwell
        2005, On Some Pitfalls in Automatic Evaluation and Significance Testing for MT.
    """
    _check_settings(num_resamples, confidence)
    rows, others, to_score = _paired_rows(first, second, metric)
    counted = _draw_counts(len(rows), num_resamples, seed)
    differences = np.concatenate([to_score(counts @ others) - to_score(counts @ rows) for counts in counted])
    return {
        "metric": metric,
        "first": first.corpus[metric],
        "second": second.corpus[metric],
        "difference": second.corpus[metric] - first.corpus[metric],
        **_percentiles(differences, confidence),
        "p_value": _randomization_test(rows, others, to_score, num_resamples, seed),
        "confidence": confidence,
        "num_resamples": num_resamples,
        "num_images": len(rows),
    }


def _paired_rows(
    first: Scores, second: Scores, metric: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], _ToScores]:
    """The rows of `_per_photo` of two captioners, photo by photo, and the function from their sums to scores."""
    if first.protocol != second.protocol or first.per_image.keys() != second.per_image.keys():
        raise InputError(
            f"the two score sets are not of the same photos and protocol ({first.num_images} photos, "
            f"{first.protocol.name}; {second.num_images} photos, {second.protocol.name}; "
            f"{len(first.per_image.keys() & second.per_image.keys())} photos in both); score both alike"
        )
    rows, to_score = _per_photo(first, metric)
    others, _ = _per_photo(second, metric)
    place = {image_id: index for index, image_id in enumerate(second.per_image)}
    return rows, others[[place[image_id] for image_id in first.per_image]], to_score


def summarize_runs(runs: Iterable[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Mean and range of each metric over several runs, as over training seeds.

    Args:
        runs: list of dicts `{metric: float}` with the same keys, such as `Scores.corpus`.

    Returns:
        dict `{metric: {"mean": float, "low": float, "high": float, "runs": int}}`, ready for JSON.

    Raises:
        InputError: where there is no run, or the runs have different metrics.

    Example:
        >>> summarize_runs([{"bleu_4": 0.25}, {"bleu_4": 0.75}])
        {'bleu_4': {'mean': 0.5, 'low': 0.25, 'high': 0.75, 'runs': 2}}
    """
    runs = list(runs)
    if not runs or any(run.keys() != runs[0].keys() for run in runs):
        raise InputError(f"got {len(runs)} runs with unequal metrics; give at least one, all scored alike")
    summary = {}
    for metric in runs[0]:
        values = [run[metric] for run in runs]
        summary[metric] = {"mean": statistics.fmean(values), "low": min(values), "high": max(values), "runs": len(runs)}
    return summary


def _check_settings(num_resamples: int, confidence: float) -> None:
    if num_resamples < 1:
        raise InputError(f"num_resamples is {num_resamples}; give 1 or more")
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence}; give a number between 0 and 1, such as 0.95")


def _per_photo(scores: Scores, metric: str) -> tuple[NDArray[np.float64], _ToScores]:
    """(float64 `(photos, columns)`, function from sums of rows `(n, columns)` to scores `(n,)`)."""
    if metric not in scores.corpus or metric == "meteor":
        allowed = ", ".join(name for name in scores.corpus if name != "meteor")
        raise InputError(f"metric is {metric!r:.80}; resampling over photos is possible for {allowed}")
    if metric.startswith("bleu_"):
        column, penalty = int(metric.removeprefix("bleu_")) - 1, scores.protocol.brevity_penalty
        return scores.bleu_statistics.astype(float), lambda sums: compute_bleu(sums, penalty)[:, column]
    values = np.array([photo[metric] for photo in scores.per_image.values()])
    return values[:, None], lambda sums: sums[:, 0] / len(values)


def _draw_counts(
    num_images: int, num_resamples: int, seed: int, numbers_at_once: int = NUMBERS_AT_ONCE
) -> Iterator[NDArray[np.float64]]:
    """Blocks of float64 `(resamples, photos)`: how often each photo was drawn. Floats multiply far faster."""
    rng = np.random.default_rng(seed)
    for size in _block_sizes(num_images, num_resamples, numbers_at_once):
        drawn = rng.integers(num_images, size=(size, num_images))
        flat = (drawn + np.arange(size)[:, None] * num_images).ravel()
        yield np.bincount(flat, minlength=size * num_images).reshape(size, num_images).astype(float)


def _block_sizes(num_images: int, num_resamples: int, numbers_at_once: int = NUMBERS_AT_ONCE) -> list[int]:
    size = max(1, numbers_at_once // num_images)
    return [min(size, num_resamples - start) for start in range(0, num_resamples, size)]


def _percentiles(resamples: NDArray[np.float64], confidence: float) -> dict[str, float]:
    low, high = np.quantile(resamples, [(1 - confidence) / 2, (1 + confidence) / 2])
    return {"low": float(low), "high": float(high)}


def _randomization_test(
    rows: NDArray[np.float64], other: NDArray[np.float64], to_score: _ToScores, num_resamples: int, seed: int
) -> float:
    rng = np.random.default_rng([seed, 1])  # apart from the bootstrap's numbers
    first, second = rows.sum(axis=0), other.sum(axis=0)
    observed = abs(to_score(second[None]) - to_score(first[None]))[0]
    as_large = 0
    for size in _block_sizes(len(rows), num_resamples):
        moved = rng.integers(2, size=(size, len(rows))).astype(float) @ (other - rows)  # (resamples, columns)
        swapped = np.abs(to_score(second - moved) - to_score(first + moved))
        as_large += int(np.sum(swapped >= observed - 1e-12))  # equal but for rounding counts as equal
    return (1 + as_large) / (1 + num_resamples)
