"""Read the code blocks of a page, and run them as its reader would: in order, in one folder, in this process."""

import argparse
import contextlib
import doctest
import re
import runpy
import shlex
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

from captioning_utils.__main__ import main

PACKAGE = "captioning_utils"
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.DOTALL | re.MULTILINE)

# What no test can do as it stands. Of these, the options are parsed by the real parser and the files must exist.
NOT_RUN = {
    r"python -m pip install": "changes the environment; test_packaging.py installs into one of its own",
    r"python -m pytest|KERAS_BACKEND=jax|bash \.ci/run": "is what runs this test",
    r"jupyter |ruff |python notebooks/execute\.py": "test_notebooks.py runs the notebooks and looks at their format",
    r"streamlit run": "serves until it is stopped; test_streamlit_app.py and test_streamlit_browser.py open the page",
    r"docker ": "needs a Docker daemon",
    r"hf auth login": "asks for a token",
    r"\S+( -m \S+)? download coco": "fetches 20 GB; test_download.py has a server of its own",
    r"\S+( -m \S+)? (push|pull) ": "needs the hub; test_hub.py has a server of its own",
    r"python results/reproduce\.py ": "trains six captioners or more; test_reproduce.py makes a small row",
    r"python train\.py .*(--no-bfloat16|--views) ": "trains VGG16's blocks; test_kept_views.py makes a small run",
    r"python tests/fuzz/": "takes as long as it is told to; test_fuzz.py runs it for some seconds",
    r"\S+( -m \S+)? export .*--calibration_photos": "needs photos and a minute; test_onnx_export.py runs it",
    r"\S+( -m \S+)? (caption|features) ": "needs VGG16 and photos; test_scaling.py runs them",
    r"python tests/faults/run\.py": "takes half an hour; test_faults.py has a share of it",
    r"python benchmarks/": "takes minutes, and says nothing when it is made small",
}
# Options behind those of the page, so that a command takes seconds; a later option replaces an earlier one.
SHORTER = {"train": ["--epochs", "1"], "self_critical": ["--epochs", "1", "--samples", "2"]}
DOCTEST_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Step(NamedTuple):
    """A command of a page, or a whole block of Python."""

    line: int  # of the page, from 1
    language: str  # "bash" or "python"
    text: str

    @property
    def reason(self):
        """Why it is not run, or None."""
        return next((reason for start, reason in NOT_RUN.items() if re.match(start, self.text)), None)


def read_steps(page):
    """The steps of a Markdown page, in order: list of `Step`."""
    text, steps = page.read_text(encoding="utf-8"), []
    for block in BLOCK.finditer(text):
        first = text.count("\n", 0, block.start()) + 2
        steps += [Step(first, "python", block[2])] if block[1] == "python" else _split_commands(block[2], first)
    return steps


def _split_commands(block, first):
    """The commands of a shell block; a backslash at its end goes on with a line, && begins another command."""
    begun = ""
    for number, line in enumerate(block.splitlines(), first):
        begun += line
        if begun.endswith("\\"):
            begun = begun.removesuffix("\\")
            continue
        for command in shlex.join(shlex.split(begun, comments=True)).split(" '&&' "):
            if command:
                yield Step(number, "bash", command)
        begun = ""


def run_step(step, names):
    """Run a step in the working directory; `names` are those that the page's Python blocks share. Returns a code."""
    if step.language == "bash":
        return run_command(*split_command(step.text), shorter=True)
    if ">>> " not in step.text:
        exec(compile(step.text, f"<block at line {step.line}>", "exec"), names)
        return 0
    test = doctest.DocTestParser().get_doctest(step.text, {}, "block", "the page", step.line - 1)
    test.globs = names
    return doctest.DocTestRunner(optionflags=DOCTEST_FLAGS).run(test, clear_globs=False).failed


def check_step(step):
    """Parse the options of a step that cannot be run, and look for its files."""
    if re.match(r"(python (\w+/)?\w+\.py|python -m captioning_utils \w+|captioning \w+) ", step.text):
        with only_parsing() as parsers:
            assert run_command(*split_command(step.text)) == 0, f"{step.text}: its options are refused"
        assert parsers, f"{step.text}: it parsed no options"
    words = shlex.split(step.text)
    for name in words:
        assert not name.endswith((".py", ".txt")) or Path(name).is_file(), f"{step.text}: there is no {name}"
    extras = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for extra in re.findall(r"\.\[(\w+)\]", step.text):
        assert extra in extras, f"{step.text}: there is no extra {extra}"


def split_command(text):
    """A command as (script or module, its arguments)."""
    words = shlex.split(text)
    if words[0] == "captioning":
        return PACKAGE, words[1:]
    if words[:2] == ["python", "-m"] and words[2].partition(".")[0] == PACKAGE:
        return words[2], words[3:]
    if words[0] == "python" and words[1].endswith(".py"):
        return words[1], words[2:]
    raise AssertionError(f"nobody knows how to run {text!r}; teach run_command, or name it in NOT_RUN with the reason")


def run_command(program, arguments, shorter=False):
    """Run a script or a module as `python` would; returns the exit code."""
    command = arguments[0] if program == PACKAGE else Path(program).stem
    arguments = [*arguments, *(SHORTER.get(command, []) if shorter else [])]
    before, sys.argv = sys.argv, [program if program.endswith(".py") else "__main__.py", *arguments]
    places = sys.path[:]
    sys.path.insert(0, str(Path(program).parent.resolve()))  # where a script finds the modules beside it
    try:
        if program == PACKAGE:
            return main(arguments)
        run = runpy.run_path if program.endswith(".py") else runpy.run_module
        run(program, run_name="__main__")
    except SystemExit as stop:
        return stop.code or 0
    except _Parsed:
        return 0
    finally:
        sys.argv, sys.path[:] = before, places
    return 0


class _Parsed(BaseException):
    """Ends a command once its options are parsed; no `Exception`, because the command would report that."""


@contextlib.contextmanager
def only_parsing():
    """Stop every command behind the parsing of its options; gives the list of the parsers that were asked."""
    parse, parsers = argparse.ArgumentParser.parse_args, []

    def parse_and_stop(self, *arguments, **keywords):
        parsers.append(self)
        parse(self, *arguments, **keywords)
        raise _Parsed

    argparse.ArgumentParser.parse_args = parse_and_stop
    try:
        yield parsers
    finally:
        argparse.ArgumentParser.parse_args = parse


def collect_options(commands):
    """All options of some of the package's commands: set of str."""
    with only_parsing() as parsers, contextlib.redirect_stderr(None):
        for command in commands:
            run_command(PACKAGE, [command])
    helps = "\n".join(parser.format_help() for parser in parsers)
    lines = re.findall(r"^  (-.*?)(?:  |$)", helps, re.MULTILINE)
    return {option for line in lines for option in re.findall(r"--?[A-Za-z][\w-]*", line)}
