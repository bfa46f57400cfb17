"""Whether one captioner is better than another on the same photos."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from captioning_utils.evaluation.records import CONFIDENCE, RESAMPLES, ScoredCaptions
from captioning_utils.metrics.scores import METRIC_LABELS, format_score
from captioning_utils.metrics.uncertainty import compare_scores

NOT_COMPARED = ("bleu_2", "bleu_3", "meteor")  # the other two BLEUs say enough; METEOR 1.5 is no mean over photos


def compare_captioners(first: ScoredCaptions, second: ScoredCaptions) -> list[dict[str, Any]]:
    """Whether one captioner is better than another on the same photos, metric by metric.

    Args:
        first, second: `ScoredCaptions` of one `Evaluation`.

    Returns:
        list of dicts as `metrics.compare_scores` gives them, with `significant` (bool): the p-value is below 0.05 and
        0 lies outside the interval.

    Raises:
        InputError: where one of them is people, who have no scores of single photos.
    """
    comparisons = []
    scores, others = first.require_scores(), second.require_scores()
    for metric in scores.corpus:
        if metric not in NOT_COMPARED:
            found = compare_scores(scores, others, metric, RESAMPLES, CONFIDENCE)
            outside = found["low"] > 0 or found["high"] < 0
            comparisons.append(found | {"significant": outside and found["p_value"] < 1 - CONFIDENCE})
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
        >>> describe_comparison(found | {"significant": True}, "A", "B")
        'B is better than A by 2.1 CIDEr-D points (95 % interval 0.8 to 3.4, p = 0.002): significant on these photos'
    """
    difference, low, high = (comparison[key] for key in ("difference", "low", "high"))
    if difference == 0:
        return f"{first} and {second} have the same {METRIC_LABELS[comparison['metric']]}: no significant difference"
    if difference < 0:
        first, second, difference, low, high = second, first, -difference, -high, -low
    better = f"{second} is better than {first} by" if comparison["significant"] else f"{second} scores above {first} by"
    answer = "significant on these photos" if comparison["significant"] else "no significant difference"
    return (
        f"{better} {format_score(difference)} {METRIC_LABELS[comparison['metric']]} points ({100 * CONFIDENCE:.0f} % "
        f"interval {format_score(low)} to {format_score(high)}, p = {comparison['p_value']:.3f}): {answer}"
    )
