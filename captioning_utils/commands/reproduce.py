"""The command that makes a published row again: `python -m captioning_utils reproduce flickr8k_merge_cider`."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from captioning_utils.base.errors import InputError
from captioning_utils.commands.combine import combine_main
from captioning_utils.commands.evaluate import evaluate_main
from captioning_utils.commands.options import add_weights_option
from captioning_utils.commands.self_critical import self_critical_main
from captioning_utils.commands.shell import OK, build_parser, package_program, when_stopped
from captioning_utils.commands.train import train_main
from captioning_utils.metrics.java_metrics import find_java_tools

MAINS = {"train": train_main, "self_critical": self_critical_main, "combine": combine_main, "evaluate": evaluate_main}
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

    command: str  # a name of MAINS
    arguments: list[str]
    path: Path  # the file that it writes


@when_stopped("the same command goes on from here")
def reproduce_main(arguments: Sequence[str] | None = None) -> int:
    """`reproduce`: train, combine and score what a row of the published results has. Returns the exit code."""
    options = _reproduce_parser().parse_args(arguments)
    if options.seeds and options.row in ENSEMBLES:
        raise InputError(f"{options.row} is made of certain captioners, so --seeds has no effect; leave it out")
    code = OK
    for step in list_steps(options):
        line = shlex.join([*package_program().split(), step.command, *step.arguments])
        if options.show:
            print(line)
            continue
        print(f"\n$ {line}", flush=True)
        code = max(code, MAINS[step.command](step.arguments))  # a finished training ends at once, by its checkpoint
    return code


def list_steps(options: argparse.Namespace) -> list[Step]:
    """The commands of a row in their order, each once.

    Args:
        options: parsed options of `reproduce`.

    Returns:
        list of `Step`; the last one scores.

    Example:
        >>> options = _reproduce_parser().parse_args(["flickr8k_merge_cider", "--data_path", "data", "--seeds", "1"])
        >>> [step.path.name for step in list_steps(options)]
        ['flickr8k_merge_seed1.h5', 'flickr8k_merge_cider_seed1.h5', 'flickr8k_merge_cider.json']
    """
    members = ENSEMBLES.get(options.row) or [(options.row, seed) for seed in options.seeds or SEEDS]
    steps = {step.path: step for row, seed in members for step in _train(row, seed, options)}
    paths = [_model_path(row, seed, options) for row, seed in members]
    if options.row in ENSEMBLES:
        ensemble = options.folder / f"{options.row}.h5"
        steps[ensemble] = Step("combine", [*map(str, paths), "--model_path", str(ensemble)], ensemble)
        paths = [ensemble]
    results = options.folder / f"{options.row}.json"
    scoring = ["--model_path", *map(str, paths), *_data_options(options), "--nearest", "--out", str(results)]
    scoring += ["--report", str(results.with_suffix(".html"))]
    scoring += ["--metrics", "meteor"] if _has_meteor() else []
    return [*steps.values(), Step("evaluate", scoring, results)]


def _train(name: str, seed: int, options: argparse.Namespace) -> Iterator[Step]:
    """The steps to one captioner of a row."""
    row = ROWS[name]
    common = [*_data_options(options), "--seed", str(seed)]
    epochs = ["--epochs", str(options.epochs)] if options.epochs is not None else []
    start = _model_path(row.preset, seed, options)
    yield Step("train", ["--preset", row.preset, *common, "--model_path", str(start), *epochs], start)
    if row.self_critical is not None:
        path = _model_path(name, seed, options)
        settings = row.self_critical | ({"epochs": row.epochs[seed if seed in SEEDS else 0]} if row.epochs else {})
        own = [word for option, value in settings.items() for word in (f"--{option}", str(value))]
        arguments = ["--start_from", str(start), *common, "--model_path", str(path), *own, *epochs]
        yield Step("self_critical", arguments, path)


def _has_meteor() -> bool:
    try:
        find_java_tools()
    except InputError:
        return False
    return True


def _model_path(row: str, seed: int, options: argparse.Namespace) -> Path:
    """Where a captioner is written; a row's first goes by the name of the row, as in the table."""
    return options.folder / (f"{row}_seed{seed}.h5" if seed else f"{row}.h5")


def _data_options(options: argparse.Namespace) -> list[str]:
    given = {name: getattr(options, name) for name in ("data_path", "features", "weights")}
    return [word for name, value in given.items() if value for word in (f"--{name}", value)]


def _reproduce_parser() -> argparse.ArgumentParser:
    parser = build_parser(
        "reproduce",
        "Make a row of the published results again: train its captioners with three seeds, and score them together\n"
        "on the test split, with METEOR where Java and pycocoevalcap are there. A run that was stopped goes on when\n"
        "the same command is given again, and rows with the same --folder share what they have in common. The rows:\n"
        + "\n".join(f"  {row}" for row in [*ROWS, *ENSEMBLES]),
        "flickr8k_merge_cider --data_path data/flickr8k",
    )
    parser.add_argument("row", choices=[*ROWS, *ENSEMBLES], metavar="ROW", help="its name in the table")
    parser.add_argument("--data_path", required=True, help="dataset folder or caption file")
    parser.add_argument("--features", help="feature cache to use or make")
    add_weights_option(parser)
    parser.add_argument("--folder", type=Path, default=Path("runs/reproduce"), help="where everything is written")
    parser.add_argument("--seeds", type=int, nargs="+", help="other seeds than 0, 1 and 2")
    parser.add_argument("--epochs", type=int, help="epochs of every training instead of the row's own, for a try")
    parser.add_argument("--show", action="store_true", help="print the commands and run none")
    return parser
