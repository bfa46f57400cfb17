"""`captioning COMMAND` or `python -m captioning_utils COMMAND`: the commands, also without a clone."""

import sys
from collections.abc import Sequence

from captioning_utils.commands.combine import combine_main
from captioning_utils.commands.data import check_main, download_main, pack_main
from captioning_utils.commands.deploy import export_main, pull_main, push_main
from captioning_utils.commands.evaluate import evaluate_main
from captioning_utils.commands.generate import generate_main
from captioning_utils.commands.quickstart import quickstart_main
from captioning_utils.commands.scale import caption_main, features_main
from captioning_utils.commands.self_critical import self_critical_main
from captioning_utils.commands.shell import REFUSED, package_program, run_command
from captioning_utils.commands.train import train_main

COMMANDS = {
    "quickstart": (quickstart_main, "the whole way on the drawn dataset, in a few minutes"),
    "download": (download_main, "fetch a dataset, or learn where to get it"),
    "check": (check_main, "look at a dataset before you train on it"),
    "pack": (pack_main, "write a dataset as a few large files, to take it elsewhere"),
    "train": (train_main, "train a captioner on a dataset"),
    "generate": (generate_main, "describe photos"),
    "features": (features_main, "features of very many photos, into tables"),
    "caption": (caption_main, "describe very many photos, into tables"),
    "self_critical": (self_critical_main, "train a captioner further, on CIDEr-D"),
    "combine": (combine_main, "make one captioner of several"),
    "evaluate": (evaluate_main, "score a captioner, or captions that others wrote"),
    "export": (export_main, "write a captioner as ONNX graphs, to run without Keras"),
    "push": (push_main, "put a captioner and its model card on Hugging Face's hub"),
    "pull": (pull_main, "fetch a captioner from Hugging Face's hub"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Call the command that the first argument names; returns the exit code. None: the arguments of this process."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] in COMMANDS:
        return run_command(COMMANDS[arguments[0]][0], arguments[1:])
    print(f"usage: {package_program()} COMMAND [options]\n")
    for name, (_, purpose) in COMMANDS.items():
        print(f"  {name:<15}{purpose}")
    print(f"\nEach command explains its options: {package_program()} COMMAND --help")
    return 0 if arguments in ([], ["--help"], ["-h"]) else REFUSED


if __name__ == "__main__":
    sys.exit(main())
