"""The commands for very many photos: `python -m captioning_utils features` and `caption`."""

import argparse
from collections.abc import Callable, Sequence

from captioning_utils.base.wording import count_noun
from captioning_utils.commands.options import (
    ENCODER_OPTIONS,
    add_encoder_options,
    add_generation_options,
    add_weights_option,
    chosen_settings,
)
from captioning_utils.commands.scaling.engines import ENGINES, ROWS_A_PART, process_photos
from captioning_utils.commands.scaling.extra import require_extra
from captioning_utils.commands.scaling.workers import CaptionWorker, FeatureWorker, Worker
from captioning_utils.commands.shell import OK, PARTLY, REFUSED, build_parser, when_stopped
from captioning_utils.settings import GenerationConfig

ABOUT = (
    "PHOTOS is a folder, a name with *, a Parquet table or WebDataset's tar archives, here or at an address such as\n"
    "s3://bucket/photos. OUT gets photos/*.parquet, one row a photo, and failed/*.parquet, those that could not be\n"
    "read. A run that was stopped goes on when the same command is given again. --shard 2/5 does the second fifth;\n"
    "all fifths may write into one folder. The same command without --shard then does what is missing, and counts."
)


def features_main(arguments: Sequence[str] | None = None) -> int:
    """`features`: the features of very many photos. Returns the exit code."""
    parser = build_parser(
        "features",
        f"Compute the features of very many photos into Parquet tables.\n\n{ABOUT}",
        "--photos photos --out features",
    )
    _add_options(parser)
    add_encoder_options(parser)
    options = parser.parse_args(arguments)
    chosen = {name: getattr(options, name, default) for name, default in ENCODER_OPTIONS.items()}
    return _process(options, lambda: FeatureWorker(**chosen, weights_path=options.weights))


def caption_main(arguments: Sequence[str] | None = None) -> int:
    """`caption`: sentences for very many photos. Returns the exit code."""
    parser = build_parser(
        "caption",
        f"Describe very many photos in one sentence each, into Parquet tables.\n\n{ABOUT}",
        "--photos photos --out captions",
    )
    _add_options(parser)
    parser.add_argument("--model_path", help="captioner file, or name of a shipped one; predict_caption's otherwise")
    add_generation_options(parser)
    options = parser.parse_args(arguments)
    settings = chosen_settings(GenerationConfig, vars(options))
    return _process(options, lambda: CaptionWorker(options.model_path, settings, options.weights))


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--photos", required=True, help="where the photos are; a path or an address of fsspec")
    parser.add_argument("--out", required=True, help="folder for the tables; a path or an address of fsspec")
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help="this process alone, or a Ray cluster")
    parser.add_argument("--shard", default="1/1", help="do only such a share of the work, for any scheduler")
    parser.add_argument("--rows_a_part", type=int, default=ROWS_A_PART, help="rows of a Parquet file")
    add_weights_option(parser)


@when_stopped("the same command goes on from here")
def _process(options: argparse.Namespace, make_worker: Callable[[], Worker]) -> int:
    require_extra("pyarrow", "fsspec")  # before Keras, which takes seconds
    progress = process_photos(
        options.photos, options.out, make_worker(), options.engine, options.shard, options.rows_a_part
    )
    print(f"{options.out}: {count_noun(progress.photos, 'photo')}, {progress.failed:,} could not be read")
    return OK if not progress.failed else PARTLY if progress.photos else REFUSED
