"""The one exception that says "the input is at fault", so that commands can answer in one line."""

from captioning_utils.base.wording import escape_controls


class InputError(ValueError):
    """A file, a setting or an argument that cannot be used.

    The message says what was received, what is allowed and what to do, in one line: line breaks and other control
    characters of a stranger's names become numbers. The commands print it and leave with exit code 2; any other
    exception is a defect of this package, exit code 3.

    Example:
        >>> raise InputError("beam_size is 0; give 1 or more")
        Traceback (most recent call last):
        captioning_utils.InputError: beam_size is 0; give 1 or more
    """

    def __str__(self) -> str:
        return escape_controls(super().__str__())


InputError.__module__ = "captioning_utils"  # where users import it from, so that messages name it so
