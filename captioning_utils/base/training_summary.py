"""What a captioner's file says of its training, checked: pages, cards and reports read it as it is."""

from collections.abc import Callable
from typing import Any

from captioning_utils.base.errors import InputError


def check_training_summary(summary: Any) -> dict[str, Any]:
    """Refuse a training summary, from anywhere, whose known entries are not of their kind; others may be anything.

    Args:
        summary: dict of the entries that training notes, such as "dataset" and "seconds"; each may be missing.

    Returns:
        The summary.

    Raises:
        InputError: for anything else; the message names the entry.

    Example:
        >>> check_training_summary({"dataset": "flickr8k", "seconds": 2.5})
        {'dataset': 'flickr8k', 'seconds': 2.5}
        >>> check_training_summary({"seconds": "x"})
        Traceback (most recent call last):
        captioning_utils.InputError: its training summary has 'x' for seconds; give a number of 0 or more
    """
    if not isinstance(summary, dict):
        raise InputError(f"its training summary is {summary!r:.40}; give an object")
    for name, (is_allowed, wanted) in _ALLOWED.items():
        if name in summary and not is_allowed(summary[name]):
            raise InputError(f"its training summary has {summary[name]!r:.40} for {name}; give {wanted}")
    if "self_critical" in summary:
        check_training_summary(summary["self_critical"])
    for member in summary.get("members", []):
        check_training_summary(member)
    return summary


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and abs(value) < 1e15  # type: ignore[arg-type]  # NaN is not


def _is_history(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(row, dict) and all(each is None or type(each) is float or _is_number(each) for each in row.values())
        for row in value
    )


_ALLOWED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "dataset": (lambda value: value is None or isinstance(value, str), "text"),
    "photos": (lambda value: isinstance(value, dict), "an object"),
    "settings": (lambda value: isinstance(value, dict), "an object"),
    "self_critical": (lambda value: isinstance(value, dict), "an object"),
    "started_from": (lambda value: isinstance(value, dict | str), "an object or a fingerprint"),
    "members": (lambda value: isinstance(value, list), "a list of objects"),
    "seconds": (lambda value: _is_number(value) and value >= 0, "a number of 0 or more"),
    "best_epoch": (lambda value: type(value) is int and _is_number(value), "a whole number"),
    "history": (_is_history, "a list of objects of numbers"),
}
