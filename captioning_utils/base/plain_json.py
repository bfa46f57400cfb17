"""Reading JSON that anyone may have written: what comes out can be printed, compared and written again."""

import json
from typing import Any

MAX_DEPTH = 50  # of lists and objects in one another; no file that is read here has ten


def parse_json(text: str, **options: Any) -> Any:
    """As `json.loads`, but what is nested so deep that Python gives up, here or later, is a `ValueError`.

    Args:
        text: str.
        **options: of `json.loads`.

    Example:
        >>> parse_json('{"words": ["a", "dog"]}')
        {'words': ['a', 'dog']}
        >>> parse_json(900 * "[" + 900 * "]")
        Traceback (most recent call last):
        ValueError: lists or objects are nested more than 50 deep
    """
    try:
        value = json.loads(text, **options)
    except RecursionError:
        raise ValueError(f"lists or objects are nested more than {MAX_DEPTH} deep") from None
    level = [value]
    for _ in range(MAX_DEPTH):
        inside = (each.values() if isinstance(each, dict) else each for each in level if isinstance(each, list | dict))
        level = [each for values in inside for each in values if isinstance(each, list | dict)]
        if not level:
            return value
    raise ValueError(f"lists or objects are nested more than {MAX_DEPTH} deep")
