"""`generate.py`: sentences for photos."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from captioning_utils.base.backend import load_backend
from captioning_utils.base.files import check_writable
from captioning_utils.base.wording import escape_controls
from captioning_utils.commands.options import (
    add_generation_options,
    add_recursive_option,
    add_weights_option,
    chosen_settings,
    list_photos,
)
from captioning_utils.commands.shell import OK, PARTLY, REFUSED, build_parser
from captioning_utils.settings import FAST_CAPTIONER, GenerationConfig


def generate_main(arguments: Sequence[str] | None = None) -> int:
    """`generate.py`: sentences for photos. Returns the exit code."""
    options = build_generate_parser().parse_args(arguments)
    photos = list_photos(options.image_path, options.recursive)
    if options.out:
        check_writable(options.out)
    load_backend()
    from captioning_utils.bulk import caption_photos, write_captions
    from captioning_utils.captioner import load_captioner

    captioner = load_captioner(options.model_path)
    settings = chosen_settings(GenerationConfig, vars(options))
    captioner.generation_settings(settings)  # refused before the work, not after it
    captioner.image_encoder(options.weights)
    rows: list[dict[str, Any]] = []
    failures: list[str] = []
    notes: list[str] = []
    try:
        for row in caption_photos(captioner, photos, settings, failures, bool(options.out), notes):
            rows.append(row)
            if not options.out:
                print(escape_controls(f"{row['image']}: {row['caption']}"), flush=True)
    finally:  # also when the user stops it: an hour's sentences are not thrown away
        if options.out and rows:
            write_captions(options.out, rows)
            print(f"{options.out}: {len(rows)} sentences for {len({row['image'] for row in rows})} photos")
        for message in [*(f"note: {note}" for note in notes), *(f"left out: {failure}" for failure in failures)]:
            print(escape_controls(message), file=sys.stderr)
    return PARTLY if failures and rows else REFUSED if failures else OK


def build_generate_parser() -> argparse.ArgumentParser:
    """The parser of `generate.py`."""
    parser = build_parser(
        "generate",
        "Describe photos in sentences, with the captioner that ships with the package or one of your own.",
        "--image_path holiday/ --beam_size 5 --out captions.csv",
    )
    parser.add_argument("--image_path", nargs="+", required=True, help="photos, or folders of photos")
    add_recursive_option(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model_path", help="captioner file, or name of a shipped one; predict_caption's otherwise")
    which.add_argument(
        "--fast",
        action="store_const",
        dest="model_path",
        const=FAST_CAPTIONER,
        help=f"a fifth of the work on a photo, for slightly worse sentences: the same as --model_path {FAST_CAPTIONER}",
    )
    add_generation_options(parser)
    add_weights_option(parser)
    parser.add_argument("--out", type=_table_path, help="write a .json or .csv file instead of printing")
    return parser


def _table_path(text: str) -> Path:
    """Refused before the work, not after it."""
    if Path(text).suffix.lower() not in (".json", ".csv"):
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .json or .csv; name one that does")
    return Path(text)
