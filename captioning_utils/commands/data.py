"""The commands around datasets: `python -m captioning_utils download`, `check` and `pack`."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from captioning_utils.base.errors import InputError
from captioning_utils.base.files import check_writable, write_json
from captioning_utils.base.wording import count_noun, escape_controls
from captioning_utils.commands.options import add_place_options
from captioning_utils.commands.shell import OK, PARTLY, REFUSED, build_parser, in_shell_words, when_stopped
from captioning_utils.datasets.check import check_dataset
from captioning_utils.datasets.dataset import load_dataset
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
from captioning_utils.datasets.packing import FORMATS, ORIGINAL, PHOTOS_PER_SHARD, pack_dataset


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


@when_stopped("the same command goes on after the last whole archive")
def pack_main(arguments: Sequence[str] | None = None) -> int:
    """`pack`: a dataset as a few large files. Returns the exit code."""
    options = _pack_parser().parse_args(arguments)
    dataset = load_dataset(options.dataset, options.images, options.captions)
    print(dataset.summary(), flush=True)
    settings = {name: getattr(options, name) for name in ("size", "quality", "photos_per_shard")}
    packed = pack_dataset(dataset, options.out, photo_format=options.format, compress=options.gzip, **settings)
    size = sum(shard.stat().st_size for shard in packed.shards)
    print(f"{count_noun(len(packed.shards), 'archive')} in {options.out}, {size / 1e6:,.1f} MB")
    for image_id, reason in packed.skipped.items():
        print(escape_controls(f"left out: {image_id}: {reason}"))
    return PARTLY if packed.skipped else OK


def _pack_parser() -> argparse.ArgumentParser:
    parser = build_parser(
        "pack",
        "Write a dataset as a few large files, WebDataset's tar archives, to take it to another machine or to train\n"
        "on it faster. OUT, or one of the archives, is then given wherever a dataset is.",
        "data/flickr8k data/flickr8k_packed --size 224 --format webp --quality 40 --gzip",
    )
    parser.usage = "%(prog)s DATASET OUT [options]"
    parser.add_argument("dataset", metavar="DATASET", help="dataset folder or caption file, as for training")
    parser.add_argument("out", metavar="OUT", help="new folder for the archives")
    add_place_options(parser)
    parser.add_argument("--size", type=int, help="pixels, in both directions, to which photos are squashed")
    parser.add_argument("--format", default=ORIGINAL, choices=(ORIGINAL, *FORMATS), help="of the photos' files")
    parser.add_argument("--quality", type=int, default=90, help="from 1 to 100, in the format's own measure")
    parser.add_argument("--photos_per_shard", type=int, default=PHOTOS_PER_SHARD, help="at most, in an archive")
    parser.add_argument("--gzip", action="store_true", help="gzip the archives: worth it where photos have few kB")
    return parser
