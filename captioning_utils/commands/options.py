"""Options that several commands have. Those of a configuration are made from its fields and their help texts."""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captioning_utils.base.checks import Settings, options_of
from captioning_utils.base.files import check_writable
from captioning_utils.base.types import AnyPath
from captioning_utils.base.wording import count_noun, name_some
from captioning_utils.encoders.encoder import DEFAULT_ENCODER, DEFAULT_LAYER, DTYPES, ENCODERS
from captioning_utils.images import find_images, is_photo_name

if TYPE_CHECKING:
    from captioning_utils.datasets.dataset import CaptionDataset

DRAWN, FEATURES_FOLDER = Path("data/drawn"), Path("data/features")
# and their defaults
ENCODER_OPTIONS = {"encoder": DEFAULT_ENCODER, "layer": DEFAULT_LAYER, "image_size": None, "dtype": DTYPES[0]}


def open_dataset(options: argparse.Namespace) -> CaptionDataset:
    """The dataset that `add_data_options` asks for; the drawn one is drawn first when it is not there."""
    from captioning_utils.datasets.dataset import load_dataset
    from captioning_utils.scenes.dataset import draw_dataset

    features = Path(options.features or FEATURES_FOLDER / "features.pkl")
    if not (features.exists() if options.features else FEATURES_FOLDER.is_dir()):
        check_writable(features)  # now, not after the encoder's download
    if Path(options.data_path) == DRAWN:
        draw_dataset(DRAWN)
    return load_dataset(options.data_path, options.images, options.captions)


def list_photos(paths: Iterable[AnyPath], recursive: bool) -> list[Path]:
    """The photos that are meant by paths of photos and folders; says which sub-folders of these are left out."""
    photos = [photo for path in paths for photo in find_images(path, recursive)]
    searched = [path for path in paths if Path(path).is_dir() and not recursive]
    left_out = [inner for path in searched for inner in _find_sub_folders(path)]
    if left_out:
        verb = "is" if len(left_out) == 1 else "are"
        folders = count_noun(len(left_out), "sub-folder")
        print(
            f"note: {folders} with photos {verb} left out ({name_some(left_out)}); --recursive takes them",
            file=sys.stderr,
        )
    return photos


def _find_sub_folders(folder: AnyPath) -> list[str]:
    """The sub-folders that hold photos, at any depth but no hidden ones, among the first thousand."""
    found = []
    for place, inner, names in itertools.islice(os.walk(folder), 1000):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        found += [str(place)] if any(map(is_photo_name, names)) else []
    return [place for place in found if place != str(folder)]


def add_recursive_option(parser: argparse._ActionsContainer) -> None:
    """Add the option for photos in sub-folders."""
    parser.add_argument("--recursive", action="store_true", help="take the photos in sub-folders, too")


def add_settings(parser: argparse._ActionsContainer, config: type[Settings], show_defaults: bool = True) -> None:
    """Add an option for every field of a configuration that a plain value can set; what is not typed is left out.

    Example:
        >>> from captioning_utils.settings import GenerationConfig
        >>> parser = argparse.ArgumentParser()
        >>> add_settings(parser, GenerationConfig)
        >>> parser.parse_args(["--beam_size", "3", "--no-consensus"])
        Namespace(beam_size=3, consensus=False)
    """
    for field in options_of(config):
        kind = field.metadata["allowed"].kind
        how: dict[str, Any] = {"action": argparse.BooleanOptionalAction} if kind is bool else {"type": kind}
        shown = (
            f" (default: {field.default})" if show_defaults and kind is not bool and field.default is not None else ""
        )
        help_text = field.metadata["help"].replace("%", "%%") + shown
        parser.add_argument(f"--{field.name}", default=argparse.SUPPRESS, help=help_text, **how)


def chosen_settings(config: type[Settings], options: Mapping[str, Any]) -> dict[str, Any]:
    """Of options, those that are fields of a configuration.

    Example:
        >>> from captioning_utils.settings import TrainingConfig
        >>> chosen_settings(TrainingConfig, {"epochs": 3, "data_path": "photos"})
        {'epochs': 3}
    """
    return {field.name: options[field.name] for field in options_of(config) if field.name in options}


def add_data_options(parser: argparse.ArgumentParser, encoder_options: bool = False) -> None:
    """Add the options that say which photos, and where their features are.

    Example:
        >>> parser = argparse.ArgumentParser()
        >>> add_data_options(parser)
        >>> parser.parse_args([]).data_path
        'data/drawn'
    """
    group = parser.add_argument_group("photos and features")
    group.add_argument(
        "--data_path",
        default=str(DRAWN),
        help="dataset folder or caption file (Flickr8k, Flickr30k, COCO, Karpathy's JSON, a CSV of your own); "
        f"{DRAWN} is drawn when it is not there",
    )
    add_place_options(group)
    if encoder_options:
        add_encoder_options(group)
    add_weights_option(group)
    group.add_argument("--features", help="feature cache to use or make; a name ending in .pkl is one pickle")


def add_encoder_options(parser: argparse._ActionsContainer) -> None:
    """Add the options that say what turns photos into features; what is not typed is left out."""
    layers = ", ".join(dict.fromkeys(layer for spec in ENCODERS.values() for layer in spec.layers))
    for name, how, purpose in (
        ("encoder", {"choices": list(ENCODERS)}, "what turns photos into features"),
        ("layer", {}, f"what is taken from the encoder: {layers}"),
        ("image_size", {"type": int}, "pixels a side of the photos, such as 448 for four times the regions"),
        ("dtype", {"choices": DTYPES}, "bfloat16 is faster on processors that have it"),
    ):
        purpose += f" (default: {ENCODER_OPTIONS[name] or 'the usual size of the encoder'})"
        parser.add_argument(f"--{name}", default=argparse.SUPPRESS, help=purpose, **how)


def add_place_options(parser: argparse._ActionsContainer) -> None:
    """Add the options that say where photos and captions are, in the words of `load_dataset`."""
    parser.add_argument("--images", help="folder with the photos, where it is not beside the captions")
    parser.add_argument("--captions", help="caption file, where its name is not one of the known ones")


def add_weights_option(parser: argparse._ActionsContainer) -> None:
    """Add the option for machines that cannot download the encoder's weights."""
    parser.add_argument("--weights", help="file with the encoder's weights; found or downloaded otherwise")


def add_generation_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how sentences are chosen; those not given are the captioner's own."""
    from captioning_utils.settings import GenerationConfig

    group = parser.add_argument_group("how sentences are chosen (what is not given is the captioner's own)")
    add_settings(group, GenerationConfig, show_defaults=False)
