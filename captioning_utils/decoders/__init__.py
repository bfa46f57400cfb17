"""The decoders by name. Each turns features and the words so far into logits for the next word."""

import functools
from typing import Any

from captioning_utils.base.backend import in_standard_settings
from captioning_utils.decoders.attention import compute_coverage_loss
from captioning_utils.decoders.base import CaptionDecoder, DecoderConfig
from captioning_utils.decoders.ensemble import EnsembleConfig, EnsembleDecoder
from captioning_utils.decoders.plain import PLAIN_DECODERS, Registry, configure
from captioning_utils.decoders.transformer import Attention

DECODERS: Registry = {**PLAIN_DECODERS, "ensemble": (EnsembleDecoder, EnsembleConfig)}


def build_config(name: str, **settings: Any) -> DecoderConfig:
    """A decoder's configuration, checked; nothing is built yet.

    Args:
        name: str, one of `DECODERS`.
        **settings: fields of the decoder's configuration, at least `vocabulary_size` and `feature_shape`.

    Raises:
        InputError: for an unknown name, an unknown or missing setting, or a value that is not allowed.

    Example:
        >>> build_config("merge", vocabulary_size=9, feature_shape=(8,), hidden_dim=16).hidden_dim
        16
    """
    return configure(DECODERS, name, settings)


@functools.partial(in_standard_settings, keep_mixed=True)
def build_decoder(name: str, **settings: Any) -> CaptionDecoder:
    """Build a decoder from its name and the fields of its configuration; see `build_config`.

    Returns:
        `CaptionDecoder` with random weights.

    Example:
        >>> build_decoder("merge", vocabulary_size=9, feature_shape=(8,), hidden_dim=16).config.hidden_dim
        16
    """
    config = build_config(name, **settings)
    return DECODERS[name][0](config)


def decoder_name(decoder: CaptionDecoder) -> str:
    """The name under which `build_decoder` builds this decoder's class; str.

    Example:
        >>> decoder_name(build_decoder("merge", vocabulary_size=9, feature_shape=(8,)))
        'merge'
    """
    return next(name for name, (kind, _) in DECODERS.items() if isinstance(decoder, kind))
