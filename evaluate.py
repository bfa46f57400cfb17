"""Command: python evaluate.py --help"""

import sys

from captioning_utils.cli import evaluate_main, run_command

if __name__ == "__main__":
    sys.exit(run_command(evaluate_main))
