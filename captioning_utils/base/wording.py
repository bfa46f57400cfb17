"""Words for messages: counts, names, one line."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any


def one_line(error: BaseException) -> str:
    """An exception's message in one line; str, its type where it has none.

    Example:
        >>> one_line(OSError("no\\n  room")), one_line(KeyError())
        ('no room', 'KeyError')
    """
    return " ".join(str(error).split()) or type(error).__name__


def name_some(names: Sequence[Any], limit: int = 3, show: Callable[[Any], str] = repr) -> str:
    """The first of some names, for a message, and how many more there are.

    Example:
        >>> name_some(["a.jpg", "b.jpg", "c.jpg"], limit=2)
        "'a.jpg', 'b.jpg' and 1 more"
    """
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(f"{show(name):.120}" for name in names[:limit]) + more


def count_and_name(names: Sequence[Any], show: Callable[[Any], str] = repr) -> str:
    """How many names there are, and the first of them; as `name_some`.

    Example:
        >>> count_and_name([7, 42])
        '2 (7, 42)'
    """
    return f"{len(names):,} ({name_some(names, show=show)})" if names else "0"


def count_noun(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun in the singular or the plural.

    Example:
        >>> count_noun(1, "photo"), count_noun(2000, "photo"), count_noun(0, "entry", "entries")
        ('1 photo', '2,000 photos', '0 entries')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def escape_controls(text: str) -> str:
    """A stranger's text (str) as it can stand in a line of a terminal: what would break or move it becomes a number.

    Example:
        >>> print(escape_controls("a dog\\x1b[2J.jpg\\nb.jpg"))
        a dog\\x1b[2J.jpg\\nb.jpg
    """
    return _CONTROLS.sub(lambda sign: sign[0].encode("unicode_escape").decode(), text)


_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")  # no part of any text in HTML or SVG


def printable(text: object) -> str:
    """A stranger's text as it can stand in a picture or page: control characters and half characters become spaces.

    Example:
        >>> printable("a dog\\x00on\\ngrass")
        'a dog on grass'
    """
    return _UNPRINTABLE.sub(" ", str(text))
