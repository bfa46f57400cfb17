"""What every command shares: exit codes, parsers, messages."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import re
import shlex
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from captioning_utils import __version__
from captioning_utils.base.errors import InputError
from captioning_utils.base.files import cache_folder, write_text
from captioning_utils.base.wording import one_line

OK, PARTLY, REFUSED, DEFECT = 0, 1, 2, 3
EXIT_CODES = (
    "exit codes: 0 done; 1 done, but something is worth a look, such as photos that could not be read;\n"
    "2 nothing done, or of no use; the message says why; 3 a defect of the package; the message names a log"
)


def run_command(main: Callable[[Sequence[str] | None], int], arguments: Sequence[str] | None = None) -> int:
    """Call a command's main function and turn what is the input's fault into one line and exit code 2.

    Whatever else it raises becomes one line too, with the place of a log that holds the traceback, and exit code 3.

    Args:
        main: function of a list of str (or None for `sys.argv`) that returns an exit code.
        arguments: list of str, or None.

    Returns:
        int, the exit code: 0, 1, 2, 3, or 130 when the user stopped it.

    Example:
        >>> run_command(lambda arguments: OK)
        0
    """
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show must not end the run
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        _refuse_empty(sys.argv[1:] if arguments is None else arguments)
        return main(arguments)
    except BrokenPipeError:  # who reads the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it ends
        return OK
    except (InputError, OSError) as error:
        print(f"error: {in_shell_words(one_line(error))}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt as stop:
        print("; ".join(["stopped", *map(str, stop.args)]), file=sys.stderr)
        return 130
    except MemoryError:
        print("error: not enough memory; close other programs, or give fewer things at once", file=sys.stderr)
        return REFUSED
    except Exception as error:  # Python's own exit code for it, 1, would mean that the work is done
        print(f"error: {describe_defect(error)}", file=sys.stderr)
        return DEFECT


def describe_defect(error: Exception) -> str:
    """One line on an exception that no input should cause; the traceback goes into a log, whose place the line names.

    Args:
        error: the exception, while it is handled.

    Returns:
        str. Where no log can be written, the line ends with where it happened.
    """
    line = f"a defect of the package ({type(error).__name__}: {one_line(error):.300})"
    report = "\n".join(
        [
            f"captioning_utils {__version__}, Python {sys.version}, {platform.platform()}",
            f"command: {shlex.join(sys.argv)}",
            traceback.format_exc(),
        ]
    )
    for folder in (cache_folder() / "logs", Path(tempfile.gettempdir())):
        path = folder / f"{time.strftime('%Y-%m-%d-%H%M%S')}-{os.getpid()}.log"
        with contextlib.suppress(OSError):
            write_text(path, report)
            return f"{line}; please report it with {path}"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{line} in {Path(frame.filename).name}, line {frame.lineno}; please report it"


def _refuse_empty(arguments: Sequence[str]) -> None:
    """An empty argument, as of a variable that is not set, never means the default."""
    for before, argument in zip(["the first argument", *arguments], arguments, strict=False):
        if not argument or re.fullmatch("--[a-z_]+=", argument):
            raise InputError(f"{argument.rstrip('=') or before} has an empty value; give one, or leave the option out")


def in_shell_words(text: str) -> str:
    """A message of the library, whose Python arguments (`images=`) become the options of the same name.

    Example:
        >>> in_shell_words("give the photo folder with images=")
        'give the photo folder with --images'
    """
    return re.sub(r"(?<![\w/.-])([a-z]+(?:_[a-z]+)*)=(?=[\s,;.)]|$)", r"--\1", text)


@contextlib.contextmanager
def when_stopped(advice: str) -> Iterator[None]:
    """Let the message say what to do next when the user stops what runs in here; also a decorator."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(advice) from stop


def build_parser(command: str, description: str, example: str) -> argparse.ArgumentParser:
    """A parser whose `--help` shows every default, an example and the exit codes.

    Example:
        >>> "exit codes" in build_parser("train", "Train.", "--epochs 3").format_help()
        True
    """
    script = f"{command}.py"
    program = f"python {script}" if Path(sys.argv[0]).name == script else f"{package_program()} {command}"
    return argparse.ArgumentParser(
        prog=program,
        usage="%(prog)s [options]",
        description=description.format(program=program),
        epilog=f"example: {program} {example}\n\n{EXIT_CODES}",
        formatter_class=_HelpFormatter,
    )


def package_program() -> str:
    """How the commands of the package were called: "captioning" once it is installed, or through Python; str."""
    return "captioning" if Path(sys.argv[0]).stem == "captioning" else "python -m captioning_utils"


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults, but no "(default: None)", and keeps the line breaks of the example."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        has_default = action.default is not None and action.default is not False
        return super()._get_help_string(action) if has_default else action.help
