"""The packages of the extra [scale]."""

from __future__ import annotations

import importlib.util

from captioning_utils.base.errors import InputError


def require_extra(*packages: str) -> None:
    """Refuse to begin where packages of the extra are not installed.

    Example:
        >>> require_extra("no_such_package")
        Traceback (most recent call last):
        captioning_utils.InputError: the package no_such_package is not installed; run: python -m pip install ...
    """
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise InputError(
            f'the package {missing[0]} is not installed; run: python -m pip install "captioning-utils[scale]"'
        )
