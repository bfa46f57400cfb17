"""Options that several commands have."""

from __future__ import annotations

import argparse
from typing import Any

from captioning_utils.captioner import Captioner
from captioning_utils.commands.workspace import DRAWN
from captioning_utils.decoders import decoder_name
from captioning_utils.encoders.encoder import DEFAULT_ENCODER, DEFAULT_LAYER, DTYPES, ENCODERS


def describe_options(captioner: Captioner) -> dict[str, str]:
    """The options of `train.py` that a captioner to start from decides: decoder, encoder, layer and dtype; dict of str.

    Example:
        >>> describe_options(find_captioner("flickr8k_merge"))["layer"]
        'grid'
    """
    encoder, layer, dtype = captioner.encoder.split()[:3]
    return {"decoder": decoder_name(captioner.decoder), "encoder": encoder, "layer": layer, "dtype": dtype}


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which photos, and how their features are made.

    Example:
        >>> parser = build_parser("train", "", "")
        >>> add_data_options(parser)
        >>> parser.parse_args([]).encoder
        'vgg16'
    """
    group = parser.add_argument_group("photos and features")
    group.add_argument(
        "--data_path",
        default=str(DRAWN),
        help="dataset folder or caption file (Flickr8k, Flickr30k, COCO, Karpathy's JSON, a CSV of your own); "
        f"{DRAWN} is drawn when it is not there",
    )
    group.add_argument("--encoder", default=DEFAULT_ENCODER, choices=ENCODERS, help="what turns photos into features")
    group.add_argument(
        "--layer", default=DEFAULT_LAYER, help="what is taken from the encoder: grid, two_scales, avg, avgmax, …"
    )
    group.add_argument(
        "--dtype", default=DTYPES[0], choices=DTYPES, help="bfloat16 is faster on processors that have it"
    )
    add_weights_option(group)
    group.add_argument("--features", help="feature cache to use or make; a name ending in .pkl is one pickle")


DATA_OPTIONS = ("data_path", "encoder", "layer", "dtype", "weights", "features")  # of add_data_options


def add_weights_option(parser: argparse._ActionsContainer) -> None:
    """Add the option for machines that cannot download the encoder's weights."""
    parser.add_argument("--weights", help="file with the encoder's weights; found or downloaded by itself otherwise")


def add_generation_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how sentences are chosen; those not given are the captioner's own.

    Example:
        >>> parser = build_parser("generate", "", "")
        >>> add_generation_options(parser)
        >>> parser.parse_args(["--beam_size", "3"]).beam_size
        3
    """
    group = parser.add_argument_group("how sentences are chosen (what is not given is the captioner's own)")
    for name, kind, purpose in GENERATION_OPTIONS:
        how = {"action": argparse.BooleanOptionalAction} if kind is bool else {"type": kind}
        group.add_argument(f"--{name}", help=purpose, **how)


GENERATION_OPTIONS = (  # fields of GenerationConfig: name, type and help
    ("max_length", int, "words at the most"),
    ("beam_size", int, "sentences kept in mind at once; 1 is greedy"),
    ("length_penalty", float, "0 favours short sentences, 2 long ones; 1 compares the mean over their words"),
    ("block_repeats", int, "no run of so many words twice in a sentence; 0 allows repeats"),
    ("consensus", bool, "of the sentences found, the one that agrees most with the others, not the likeliest"),
    ("temperature", float, "sample instead of searching: 0.5 careful, 1 free"),
    ("top_p", float, "sampling: only the likeliest words of this probability together"),
    ("num_captions", int, "alternatives for each photo, best first"),
    ("seed", int, "sampling: the same seed gives the same sentences"),
)


def collect_settings(captioner: Captioner, options: argparse.Namespace) -> dict[str, Any]:
    """The fields of `GenerationConfig` that the options name, checked before the work."""
    settings = {name: getattr(options, name) for name, _, _ in GENERATION_OPTIONS}
    settings = {name: value for name, value in settings.items() if value is not None}
    captioner.generation_settings(settings)
    return settings
