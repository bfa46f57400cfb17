"""The plain decoders by name: those that are not made of others."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeAlias

from captioning_utils.base.errors import InputError
from captioning_utils.decoders.attention import AttentionConfig, AttentionDecoder
from captioning_utils.decoders.base import CaptionDecoder, DecoderConfig
from captioning_utils.decoders.merge import MergeConfig, MergeDecoder
from captioning_utils.decoders.transformer import TransformerConfig, TransformerDecoder

Registry: TypeAlias = Mapping[str, tuple[type[CaptionDecoder], type[DecoderConfig]]]
"""Decoders by name, each with the class of its configuration."""

PLAIN_DECODERS: Registry = {
    "merge": (MergeDecoder, MergeConfig),
    "attention": (AttentionDecoder, AttentionConfig),
    "transformer": (TransformerDecoder, TransformerConfig),
}


def configure(registry: Registry, name: str, settings: Mapping[str, Any]) -> DecoderConfig:
    """The checked configuration of a decoder of `registry`; see `decoders.build_config`."""
    if name not in registry:
        raise InputError(f"unknown decoder {name!r:.80}; choose from {', '.join(registry)}")
    _, config = registry[name]
    fields = {field.name for field in dataclasses.fields(config)}
    unknown = sorted(set(settings) - fields)
    if unknown:
        raise InputError(f"the {name} decoder has no setting {unknown[0]!r:.80}; it has {', '.join(sorted(fields))}")
    missing = [field.name for field in dataclasses.fields(DecoderConfig) if field.name not in settings]
    if missing:
        raise InputError(f"the {name} decoder needs {missing[0]}; give it")
    return config(**settings)
