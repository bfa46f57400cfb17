"""Fields of configurations: what each may be, checked, with the one line of help that every surface shows."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from captioning_utils.base.errors import InputError


@dataclasses.dataclass(frozen=True)
class Allowed:
    """The values that a setting may have.

    Example:
        >>> allowed = Allowed(int, least=2, most=10, also=(0,))
        >>> str(allowed), allowed.holds(0), allowed.holds(2.0), allowed.holds(True)
        ('0, or a whole number from 2 to 10', True, False, False)
    """

    kind: type  # int, float, bool or str
    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf  # as `least`, but not this number itself
    below: float = math.inf
    also: tuple[Any, ...] = ()  # single values besides

    def holds(self, value: object) -> bool:
        """Whether `value` is of the right type and in range; a bool is no number, and a float no whole number."""
        if type(value) in map(type, self.also) and value in self.also:
            return True
        if self.kind in (bool, str):
            return type(value) is self.kind
        if isinstance(value, bool) or not isinstance(value, (int, float) if self.kind is float else int):
            return False
        return self.least <= value <= self.most and self.above < value < self.below

    def __str__(self) -> str:
        if self.kind is bool:
            return "True or False"
        if self.kind is str:
            return "text"
        low, high = self.least, self.most
        text = f" from {low:.10g} to {high:.10g}" if -math.inf < low and high < math.inf else ""
        if self.least > -math.inf and not text:
            text = f" of {low:.10g} or more" if self.below == math.inf else f" from {low:.10g}"
        text += f" above {self.above:.10g}" if self.above > -math.inf else ""
        text += f", up to {high:.10g}" if self.above > -math.inf and high < math.inf else ""
        text += f" up to, not including, {self.below:.10g}" if self.below < math.inf else ""
        text = ("a whole number" if self.kind is int else "a number") + text
        return ", or ".join([*map(str, self.also), text])


def setting(default: Any, help: str, *, slider: Any = None, **allowed: Any) -> Any:
    """A field of a `Settings` class: default, help, the page's slider (lowest, highest, step), and what is allowed.

    `allowed` has fields of `Allowed`; the kind is the default's type unless given.
    """
    values = Allowed(**({"kind": type(default)} | allowed))
    return dataclasses.field(default=default, metadata={"help": help, "allowed": values, "slider": slider})


class Settings:
    """A frozen dataclass whose fields, made by `setting`, are checked when it is made.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Volume(Settings):
        ...     loudness: float = setting(0.5, "0 is silence", least=0, most=1)
        >>> Volume("loud")
        Traceback (most recent call last):
        captioning_utils.InputError: loudness is 'loud'; give a number from 0 to 1
    """

    def __post_init__(self) -> None:
        for field in options_of(type(self)):
            allowed = field.metadata["allowed"]
            if not allowed.holds(getattr(self, field.name)):
                raise InputError(f"{field.name} is {getattr(self, field.name)!r:.80}; give {allowed}")


def options_of(settings: type) -> list[dataclasses.Field[Any]]:
    """The fields of a `Settings` class that `setting` made, in order: those that a user can set by a plain value."""
    return [field for field in dataclasses.fields(settings) if "allowed" in field.metadata]


def check_sizes(config: object, *names: str, least: int = 1) -> None:
    """Refuse a configuration in which one of the fields is not a whole number of `least` or more.

    Example:
        >>> import types
        >>> check_sizes(types.SimpleNamespace(hidden_dim=0), "hidden_dim")
        Traceback (most recent call last):
        captioning_utils.InputError: hidden_dim is 0; give a whole number of 1 or more
    """
    for name in names:
        value = getattr(config, name)
        if type(value) is not int or value < least:
            raise InputError(f"{name} is {value!r:.80}; give a whole number of {least} or more")


def check_shares(config: object, *names: str) -> None:
    """Refuse a configuration in which one of the fields is not a share from 0 up to, not including, 1.

    Example:
        >>> import types
        >>> check_shares(types.SimpleNamespace(dropout=1), "dropout")
        Traceback (most recent call last):
        captioning_utils.InputError: dropout is 1; give a share from 0 up to, not including, 1
    """
    for name in names:
        value = getattr(config, name)
        if not isinstance(value, (int, float)) or not 0 <= value < 1:
            raise InputError(f"{name} is {value!r:.80}; give a share from 0 up to, not including, 1")


def check_feature_shape(config: Any, *, allow_pooled: bool) -> None:
    """Turn `feature_shape` into a tuple of whole numbers; refuse what the decoder cannot read.

    Args:
        config: frozen dataclass with `feature_shape`.
        allow_pooled: bool, whether `(feature_dim,)` is read as well as `(num_regions, feature_dim)`.
    """
    shape = tuple(config.feature_shape) if isinstance(config.feature_shape, (list, tuple)) else ()
    allowed = (1, 2) if allow_pooled else (2,)
    if len(shape) not in allowed or any(type(size) is not int or size < 1 for size in shape):
        wanted = (
            "(feature_dim,) or (num_regions, feature_dim)" if allow_pooled else "a grid, (num_regions, feature_dim)"
        )
        raise InputError(f"feature_shape is {config.feature_shape!r:.80}; this decoder reads {wanted}")
    object.__setattr__(config, "feature_shape", shape)
