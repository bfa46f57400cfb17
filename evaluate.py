"""Command: python evaluate.py --help"""

import sys

from captioning_utils.commands.evaluate import evaluate_main
from captioning_utils.commands.shell import run_command

if __name__ == "__main__":
    sys.exit(run_command(evaluate_main))
