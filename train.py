"""Command: python train.py --help"""

import sys

from captioning_utils.commands.shell import run_command
from captioning_utils.commands.train import train_main

if __name__ == "__main__":
    sys.exit(run_command(train_main))
