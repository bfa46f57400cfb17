"""Command: python generate.py --help"""

import sys

from captioning_utils.commands.generate import generate_main
from captioning_utils.commands.shell import run_command

if __name__ == "__main__":
    sys.exit(run_command(generate_main))
