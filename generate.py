"""Command: python generate.py --help"""

import sys

from captioning_utils.cli import generate_main, run_command

if __name__ == "__main__":
    sys.exit(run_command(generate_main))
