"""The decoders by name. Each turns features and the words so far into logits for the next word."""

import dataclasses
from typing import Any, TypeAlias

from captioning_utils.base.errors import InputError
from captioning_utils.base.types import Decoder
from captioning_utils.decoders.attention import AttentionConfig, AttentionDecoder
from captioning_utils.decoders.ensemble import EnsembleConfig, EnsembleDecoder
from captioning_utils.decoders.merge import MergeConfig, MergeDecoder
from captioning_utils.decoders.transformer import TransformerConfig, TransformerDecoder

DecoderConfig: TypeAlias = MergeConfig | AttentionConfig | TransformerConfig | EnsembleConfig

DECODERS: dict[str, tuple[type[Any], type[DecoderConfig]]] = {
    "merge": (MergeDecoder, MergeConfig),
    "attention": (AttentionDecoder, AttentionConfig),
    "transformer": (TransformerDecoder, TransformerConfig),
    "ensemble": (EnsembleDecoder, EnsembleConfig),
}


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
    if name not in DECODERS:
        raise InputError(f"unknown decoder {name!r:.80}; choose from {', '.join(DECODERS)}")
    _, config = DECODERS[name]
    fields = {field.name for field in dataclasses.fields(config)}
    unknown = sorted(set(settings) - fields)
    if unknown:
        raise InputError(f"the {name} decoder has no setting {unknown[0]!r:.80}; it has {', '.join(sorted(fields))}")
    missing = [each for each in ("vocabulary_size", "feature_shape") if each not in settings]
    if missing:
        raise InputError(f"the {name} decoder needs {missing[0]}")
    return config(**settings)


def build_decoder(name: str, **settings: Any) -> Decoder:
    """Build a decoder from its name and the fields of its configuration; see `build_config`.

    Returns:
        `keras.Model` with random weights.

    Example:
        >>> build_decoder("merge", vocabulary_size=9, feature_shape=(8,), hidden_dim=16).config.hidden_dim
        16
    """
    config = build_config(name, **settings)
    return DECODERS[name][0](config)


def decoder_name(decoder: Decoder) -> str:
    """The name under which `build_decoder` builds this decoder's class; str.

    Example:
        >>> decoder_name(build_decoder("merge", vocabulary_size=9, feature_shape=(8,)))
        'merge'
    """
    return next(name for name, (kind, _) in DECODERS.items() if isinstance(decoder, kind))
