"""The commands around datasets: `python -m captioning_utils download` and `python -m captioning_utils check`."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from captioning_utils.base.errors import InputError
from captioning_utils.base.files import check_writable, write_json
from captioning_utils.commands.options import add_place_options
from captioning_utils.commands.shell import OK, PARTLY, REFUSED, build_parser, in_shell_words, when_stopped
from captioning_utils.datasets.check import check_dataset
from captioning_utils.datasets.download import (
    COCO_TERMS,
    FLICKR8K_TERMS,
    NAMES,
    WITHOUT_DOWNLOAD,
    download_coco,
    download_flickr8k,
    explain_by_hand,
    find_dataset,
)


@when_stopped("the same command goes on from here")
def download_main(arguments: Sequence[str] | None = None) -> int:
    """`download`: fetch a dataset, or say where to get it. Returns the exit code."""
    options = _download_parser().parse_args(arguments)
    folder = Path(options.to) / options.dataset
    try:
        if options.dataset in WITHOUT_DOWNLOAD:
            dataset = find_dataset(folder)
        elif options.dataset == "flickr8k":
            print(f"{FLICKR8K_TERMS}.\n1.1 GB come into {folder}, where they are not there yet.", flush=True)
            dataset = download_flickr8k(folder)
        else:
            print(f"{COCO_TERMS}.\n20 GB come into {folder}; while it works it needs 39 GB.", flush=True)
            dataset = download_coco(folder)
    except InputError:
        print(explain_by_hand(options.dataset, folder), flush=True)
        raise
    print(f"{dataset.summary()}\nNext: python -m captioning_utils check {folder}")
    return OK


def _download_parser() -> argparse.ArgumentParser:
    parser = build_parser(
        "download",
        "Fetch a dataset: COCO from its own server, Flickr8k from the copy that Keras's example uses. Of Flickr30k,\n"
        "say where to get it. Archives in its folder are unpacked. Given again, it goes on where it stopped.",
        "coco --to data",
    )
    parser.usage = "%(prog)s DATASET [options]"
    parser.add_argument("dataset", metavar="DATASET", choices=NAMES, help=f"one of {', '.join(NAMES)}")
    parser.add_argument("--to", default="data", help="folder in which the dataset's own folder is made")
    return parser


def check_main(arguments: Sequence[str] | None = None) -> int:
    """`check`: what a dataset holds and what is wrong with it. Returns the exit code."""
    options = _check_parser().parse_args(arguments)
    if options.json:
        check_writable(options.json)
    report = check_dataset(options.dataset, options.images, options.captions, not options.skip_photos, progress=True)
    print(in_shell_words(report.format()))
    if options.json:
        write_json(options.json, dataclasses.asdict(report))
    return {"fine": OK, "look": PARTLY, "unusable": REFUSED}[report.verdict]


def _check_parser() -> argparse.ArgumentParser:
    parser = build_parser(
        "check",
        "Look at a dataset before you train on it: which layout it has, photos that are missing, damaged or there\n"
        "twice, what leaks between the splits, captions that teach nothing. It opens every photo and changes nothing.",
        "data/my_photos",
    )
    parser.usage = "%(prog)s DATASET [options]"
    parser.add_argument("dataset", metavar="DATASET", help="dataset folder or caption file, as for training")
    add_place_options(parser)
    parser.add_argument("--skip_photos", action="store_true", help="do not open the photos: quick, and sees less")
    parser.add_argument("--json", metavar="FILE", help="write the findings for programs as well")
    return parser
