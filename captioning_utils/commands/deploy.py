"""The commands that take a captioner elsewhere: `export`, `push` and `pull`."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from captioning_utils.base.backend import load_backend
from captioning_utils.base.errors import InputError
from captioning_utils.base.files import check_writable, read_json
from captioning_utils.base.types import AnyPath
from captioning_utils.commands.options import add_weights_option
from captioning_utils.commands.shell import OK, build_parser
from captioning_utils.images import find_images


def export_main(arguments: Sequence[str] | None = None) -> int:
    """`export`: a captioner as ONNX graphs. Returns the exit code."""
    options = build_export_parser().parse_args(arguments)
    check_writable(options.out / "captioner.json")
    folder = options.calibration_photos
    photos = None if folder is None else find_images(folder, recursive=True)
    load_backend()
    from captioning_utils.captioner import load_captioner
    from captioning_utils.sharing.onnx_export import export_captioner

    captioner = load_captioner(options.captioner)
    for path in export_captioner(captioner, options.out, options.weights, photos):
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    if captioner.generation.consensus or captioner.generation.temperature is not None:
        print(
            "note: this captioner's own settings sample or choose by consensus; caption.py takes the likeliest sentence"
        )
    print(f"try it, without Keras: python {options.out / 'caption.py'} photo.jpg")
    return OK


def build_export_parser() -> argparse.ArgumentParser:
    """The options of `export`: `ArgumentParser`."""
    parser = build_parser(
        "export",
        "Write a captioner as ONNX graphs, with a small program that uses them: they need onnxruntime, numpy and\n"
        "Pillow, and neither Keras nor TensorFlow.",
        "image_caption_model.h5 --out exported",
    )
    parser.usage = "%(prog)s [CAPTIONER] --out FOLDER [options]"
    parser.add_argument(
        "captioner",
        metavar="CAPTIONER",
        nargs="?",
        help="captioner file, or name of a shipped one; predict_caption's otherwise",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write to, made when missing")
    parser.add_argument(
        "--calibration_photos",
        metavar="FOLDER",
        help="write the encoder in 8 bits, smaller and faster, scaled to these photos: 32 are enough, of the kind that "
        "it will see; float32 otherwise",
    )
    add_weights_option(parser)
    return parser


def push_main(arguments: Sequence[str] | None = None) -> int:
    """`push`: a captioner and its model card to the hub. Returns the exit code."""
    options = build_push_parser().parse_args(arguments)
    results = _read_results(options.results)
    load_backend()
    from captioning_utils.sharing.hub import push_captioner

    url = push_captioner(options.captioner, options.repository, options.private, options.license, results)
    print(f"{url} holds the captioner and its model card; read the card, and say more about your data")
    return OK


def build_push_parser() -> argparse.ArgumentParser:
    """The options of `push`: `ArgumentParser`."""
    parser = build_parser(
        "push",
        "Put a captioner on Hugging Face's hub, with a model card made from its training summary. Log in first with\n"
        "`hf auth login`, or set HF_TOKEN.",
        "image_caption_model.h5 me/holiday-captioner --license mit --results runs/evaluate/results.json",
    )
    parser.usage = "%(prog)s CAPTIONER USER/NAME [options]"
    parser.add_argument("captioner", metavar="CAPTIONER", help="captioner file, or name of a shipped one")
    parser.add_argument("repository", metavar="USER/NAME", help="repository; made when it is not there")
    parser.add_argument("--private", action="store_true", help="a repository that is made now is for you alone")
    parser.add_argument("--license", help="identifier of the file's licence, for the card: mit, apache-2.0, …")
    parser.add_argument("--results", help="results file of evaluate.py with this captioner's scores, for the card")
    return parser


def pull_main(arguments: Sequence[str] | None = None) -> int:
    """`pull`: a captioner from the hub. Returns the exit code."""
    options = build_pull_parser().parse_args(arguments)
    path = options.out or Path(f"{options.repository.rpartition('/')[2]}.h5")
    check_writable(path)
    load_backend()
    from captioning_utils.sharing.hub import pull_captioner

    captioner = pull_captioner(options.repository, path, options.revision)
    trained_on = captioner.training.get("dataset", "data that it does not name")
    print(f"{path}: captioner {captioner.fingerprint}, trained on {trained_on!s:.80}")
    return OK


def build_pull_parser() -> argparse.ArgumentParser:
    """The options of `pull`: `ArgumentParser`."""
    parser = build_parser(
        "pull",
        "Fetch a captioner from Hugging Face's hub. It is kept only when it opens as one; nothing in it is executed.",
        "me/holiday-captioner --out holiday.h5",
    )
    parser.usage = "%(prog)s USER/NAME [options]"
    parser.add_argument("repository", metavar="USER/NAME", help="repository that push made")
    parser.add_argument("--out", type=Path, help="file to write; NAME.h5 here otherwise")
    parser.add_argument("--revision", help="commit, branch or tag; the newest otherwise")
    return parser


def _read_results(path: AnyPath | None) -> dict[str, Any] | None:
    """A results file, or None; what is in it is checked where the card is made."""
    if path is None:
        return None
    results = read_json(path)
    if not isinstance(results, dict) or not ("captioner" in results or "captioners" in results):
        raise InputError(f"{path} is no results file of a captioner; write one with evaluate.py --out")
    return results
