"""The one exception that says "the input is at fault", so that commands can answer in one line; and its wording."""

from collections.abc import Callable, Sequence
from typing import Any


class InputError(ValueError):
    """A file, a setting or an argument that cannot be used.

    The message says what was received, what is allowed and what to do. The commands print it in one line
    and leave with exit code 2; a traceback therefore always means a defect of this package.

    Example:
        >>> raise InputError("beam_size is 0; give 1 or more")
        Traceback (most recent call last):
        captioning_utils.errors.InputError: beam_size is 0; give 1 or more
    """


def name_some(names: Sequence[Any], limit: int = 3, show: Callable[[Any], str] = repr) -> str:
    """The first of some names, for a message, and how many more there are.

    Args:
        names: sequence.
        limit: int, how many are named.
        show: function from a name to str; `repr` quotes, so that odd characters show and cannot act.

    Returns:
        str.

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
