"""Command: python evaluate.py --help"""

import sys

from captioning_utils.cli import run_command
from captioning_utils.evaluate_command import evaluate_main

if __name__ == "__main__":
    sys.exit(run_command(evaluate_main))
