"""Checks that the decoders' configurations share."""

from typing import Any

from captioning_utils.base.errors import InputError


def check_sizes(config: object, *names: str) -> None:
    """Refuse a configuration in which one of the fields is not a whole number of 1 or more.

    Args:
        config: dataclass.
        *names: str, its fields.

    Raises:
        InputError: naming the field, its value and what is allowed.

    Example:
        >>> import types
        >>> check_sizes(types.SimpleNamespace(hidden_dim=0), "hidden_dim")
        Traceback (most recent call last):
        captioning_utils.InputError: hidden_dim is 0; give a whole number of 1 or more
    """
    for name in names:
        value = getattr(config, name)
        if type(value) is not int or value < 1:
            raise InputError(f"{name} is {value!r:.80}; give a whole number of 1 or more")


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
