"""Command: python train.py --help"""

import sys

from captioning_utils.cli import run_command, train_main

if __name__ == "__main__":
    sys.exit(run_command(train_main))
