"""Make a row of the published results again.

    python results/reproduce.py flickr8k_merge_cider --data_path data/flickr8k

Trains the captioners of the row with three seeds, and scores them together on the test split, with METEOR where Java
and pycocoevalcap are there. A run that was stopped goes on when the same command is given again, and rows with the
same --folder share what they have in common.
"""

import argparse
import dataclasses
import shlex
import sys
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from captioning_utils import InputError
from captioning_utils.__main__ import main
from captioning_utils.commands.options import add_place_options
from captioning_utils.commands.shell import OK, PARTLY
from captioning_utils.metrics import find_java_tools

SEEDS = (0, 1, 2)


@dataclasses.dataclass(frozen=True)
class Row:
    """How the captioners of a row are trained."""

    preset: str  # of their training with cross-entropy
    self_critical: dict[str, Any] | None = None  # options of the self-critical training behind it, where there is one
    epochs: tuple[int, ...] = ()  # of the self-critical training with each of `SEEDS`, where the seeds differ


ROWS = {
    "flickr8k_merge": Row("flickr8k_merge"),
    "flickr8k_merge_cider": Row("flickr8k_merge", {}),
    "flickr8k_attention": Row("flickr8k_attention"),
    "flickr8k_attention_cider": Row("flickr8k_attention", {}),
    "flickr8k_transformer": Row("flickr8k_transformer"),
    "flickr8k_transformer_cider": Row("flickr8k_transformer", {}),
    "flickr8k_two_scales_merge": Row("flickr8k_two_scales_merge"),
    "flickr8k_two_scales_merge_cider": Row("flickr8k_two_scales_merge", {"epochs": 2}),
    "flickr8k_two_scales_transformer": Row("flickr8k_two_scales_transformer"),
    "flickr8k_two_scales_transformer_cider": Row(
        "flickr8k_two_scales_transformer", {"learning_rate": 1e-4}, epochs=(3, 2, 2)
    ),
    "flickr8k_fine_tuned": Row("flickr8k_fine_tuned"),
    "flickr8k_fine_tuned_cider": Row(
        "flickr8k_fine_tuned",
        {
            "epochs": 10,
            "batch_size": 64,
            "samples": 8,
            "views": 3,
            "learning_rate": 5e-5,
            "last_rate": 0.1,
            "patience": 10,
            "save_every": 5,
            "choose_length": True,
        },
    ),
}

# The captioners of an ensemble, each a row and a seed.
ENSEMBLES = {
    "flickr8k_ensemble": (
        ("flickr8k_merge_cider", 0),
        ("flickr8k_merge_cider", 1),
        ("flickr8k_transformer_cider", 0),
    ),
    "flickr8k_two_scales_ensemble": (
        ("flickr8k_two_scales_merge_cider", 0),
        *(("flickr8k_two_scales_transformer_cider", seed) for seed in SEEDS),
    ),
}


class Step(NamedTuple):
    """A command of the way to a row."""

    command: str  # of `python -m captioning_utils`
    arguments: list[str]
    path: Path  # the file that it writes


def reproduce(arguments=None):
    """Run the commands of a row until one fails, or print them. Returns the highest exit code."""
    parser = _build_parser()
    options = parser.parse_args(arguments)
    if options.seeds and options.row in ENSEMBLES:
        parser.error(f"{options.row} is made of certain captioners, so --seeds has no effect; leave it out")
    code = OK
    for step in list_steps(options):
        line = shlex.join(["python", "-m", "captioning_utils", step.command, *step.arguments])
        if options.show:
            print(line)
            continue
        print(f"\n$ {line}", flush=True)
        code = max(code, main([step.command, *step.arguments]))  # a finished training ends at once, by its checkpoint
        if code not in (OK, PARTLY):
            break
    return code


def list_steps(options):
    """The commands of a row in their order, each once.

    Args:
        options: parsed options.

    Returns:
        list of `Step`; the last one scores.
    """
    members = ENSEMBLES.get(options.row) or [(options.row, seed) for seed in options.seeds or SEEDS]
    steps = {step.path: step for row, seed in members for step in _train(row, seed, options)}
    paths = [_model_path(row, seed, options) for row, seed in members]
    if options.row in ENSEMBLES:
        ensemble = options.folder / f"{options.row}.h5"
        steps[ensemble] = Step("combine", [*map(str, paths), "--model_path", str(ensemble)], ensemble)
        paths = [ensemble]
    return [*steps.values(), *(_score(paths, split, options) for split in ("val", "test"))]


def _score(paths, split, options):
    """The step that captions a split and scores the captions."""
    results = options.folder / f"{options.row}{'_val' if split == 'val' else ''}.json"
    scoring = ["--model_path", *map(str, paths), *_data_options(options), "--split", split, "--out", str(results)]
    scoring += ["--report", str(results.with_suffix(".html"))]
    if split == "test":
        scoring += ["--nearest"] if options.nearest else []
        scoring += ["--metrics", "meteor"] if _has_meteor() else []
    return Step("evaluate", scoring, results)


def _train(name, seed, options):
    """The steps to one captioner of a row."""
    row = ROWS[name]
    common = [*_data_options(options), "--seed", str(seed)]
    epochs = ["--epochs", str(options.epochs)] if options.epochs is not None else []
    start = _model_path(row.preset, seed, options)
    size = ["--image_size", str(options.image_size)] if options.image_size is not None else []
    yield Step("train", ["--preset", row.preset, *common, "--model_path", str(start), *epochs, *size], start)
    if row.self_critical is not None:
        path = _model_path(name, seed, options)
        settings = row.self_critical | ({"epochs": row.epochs[seed if seed in SEEDS else 0]} if row.epochs else {})
        own = [word for option, value in settings.items() for word in (f"--{option}", str(value)) if word != "True"]
        arguments = ["--start_from", str(start), *common, "--model_path", str(path), *own, *epochs]
        yield Step("self_critical", arguments, path)


def _has_meteor():
    try:
        find_java_tools()
    except InputError:
        return False
    return True


def _model_path(row, seed, options):
    """Where a captioner is written; a row's first goes by the name of the row, as in the table."""
    return options.folder / (f"{row}_seed{seed}.h5" if seed else f"{row}.h5")


def _data_options(options):
    given = {name: getattr(options, name) for name in ("data_path", "images", "captions", "features", "weights")}
    return [word for name, value in given.items() if value for word in (f"--{name}", value)]


def _build_parser():
    rows = [*ROWS, *ENSEMBLES]
    description = "\n".join([__doc__, "rows:", *(f"  {row}" for row in rows)])
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("row", choices=rows, metavar="ROW", help="its name in the table")
    parser.add_argument("--data_path", required=True, help="dataset folder or caption file")
    add_place_options(parser)
    parser.add_argument("--features", help="feature cache to use or make")
    parser.add_argument("--weights", help="weights file of the encoder; default: found or downloaded automatically")
    parser.add_argument("--folder", type=Path, default=Path("runs/reproduce"), help="where everything is written")
    parser.add_argument("--seeds", type=int, nargs="+", help="other seeds than 0, 1 and 2")
    parser.add_argument("--epochs", type=int, help="epochs of every training instead of the row's own, for a try")
    parser.add_argument("--image_size", type=int, help="pixels a side of the photos instead of the row's, for a try")
    parser.add_argument(
        "--nearest",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="score the nearest train photo's captions too, for which all train photos' features are extracted",
    )
    parser.add_argument("--show", action="store_true", help="print the commands and run none")
    return parser


if __name__ == "__main__":
    sys.exit(reproduce())
