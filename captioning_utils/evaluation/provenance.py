"""What belongs to every score: captioner, settings and package versions."""

from __future__ import annotations

import dataclasses
import importlib
import platform
from typing import TYPE_CHECKING, Any

from captioning_utils import __version__

if TYPE_CHECKING:
    from captioning_utils.captioner import Captioner


def provenance_of(captioner: Captioner, settings: dict[str, Any] | None = None) -> dict[str, Any]:
    """What belongs to every score of a captioner: its fingerprint, its origin and how its sentences were chosen.

    Args:
        captioner: `Captioner`.
        settings: dict, fields of `GenerationConfig` that replaced the captioner's own; or None.

    Returns:
        dict ready for JSON with `captioner`, `training`, `decoding` and `packages`.
    """
    import keras

    from captioning_utils.decoders import decoder_name

    trained = captioner.training
    return {
        "captioner": {
            "fingerprint": captioner.fingerprint,
            "decoder": decoder_name(captioner.decoder),
            "encoder": captioner.encoder,
            "trained_on": trained.get("dataset"),
            "parameters": captioner.decoder.count_params(),
            "training_minutes": captioner.training_minutes,
        },
        "training": {name: trained[name] for name in ("settings", "self_critical") if name in trained},
        "decoding": dataclasses.asdict(captioner.generation_settings(settings or {})),
        "packages": package_versions("keras", keras.backend.backend()),
    }


def package_versions(*names: str) -> dict[str, str]:
    """Versions of installed packages, and of Python and this package.

    Example:
        >>> list(package_versions("numpy"))
        ['python', 'captioning_utils', 'numpy']
    """
    own = {"python": platform.python_version(), "captioning_utils": __version__}
    return own | {name: importlib.import_module(name).__version__ for name in names}
