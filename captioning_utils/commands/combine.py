"""The command that makes one captioner of several: `python -m captioning_utils combine`."""

import argparse
from collections.abc import Sequence

from captioning_utils.base.backend import load_backend
from captioning_utils.base.files import check_writable
from captioning_utils.commands.shell import OK, build_parser


def combine_main(arguments: Sequence[str] | None = None) -> int:
    """`combine`: an ensemble as one captioner file. Returns the exit code."""
    options = _combine_parser().parse_args(arguments)
    check_writable(options.model_path)
    load_backend()
    from captioning_utils.captioner import load_captioner
    from captioning_utils.training.ensembles import combine_captioners

    ensemble = combine_captioners([load_captioner(name) for name in options.captioners])
    ensemble.save(options.model_path)
    print(f"{options.model_path}: {len(ensemble.decoder.members)} decoders as one; use it like any captioner")
    return OK


def _combine_parser() -> argparse.ArgumentParser:
    parser = build_parser(
        "combine",
        "Make one captioner of several: their probabilities are averaged for every word. Captioners of the same data\n"
        "fit together, for example one training with three seeds; their decoders may differ. Together they write\n"
        "better sentences than each alone, and take as long as all of them.",
        "seed0.h5 seed1.h5 seed2.h5 --model_path ensemble.h5",
    )
    parser.add_argument("captioners", nargs="+", help="captioner files, or names of those that ship")
    parser.add_argument("--model_path", default="ensemble.h5", help="where the ensemble is written")
    return parser
