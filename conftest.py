"""What holds for all tests, the examples in docstrings included."""

import inspect
import re
import runpy
import tempfile
from pathlib import Path

import pytest

from captioning_utils import InputError

# Real weights, an export to ONNX, a wheel in an environment of its own: what asks for one of these fixtures is slow,
SLOW_FIXTURES = {"vgg16_weights", "exported", "environment"}
# and so is an example that opens a shipped captioner or builds a whole encoder.
SLOW_EXAMPLE = re.compile(r"\b((load|find)_captioner|build_encoder|predict_\w+)\(")


def pytest_collection_modifyitems(items):
    """Mark what is slow; `-m "not slow"` in pyproject.toml then leaves it out."""
    for item in items:
        examples = item.dtest.examples if isinstance(item, pytest.DoctestItem) else ()
        if SLOW_FIXTURES & set(item.fixturenames) or any(SLOW_EXAMPLE.search(each.source) for each in examples):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def keep_temporary_files_together(tmp_path, monkeypatch):
    """What an example leaves in a temporary folder goes where pytest keeps its own, and is deleted with it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def pytest_addoption(parser):
    parser.addoption("--every-refusal", action="store_true", help="fail where no test met one of docs/errors.md")


def pytest_configure(config):
    """Note where each refusal is made, so that those that no test meets can be named in the end."""
    config.refusals_met = set()

    def note(error, *arguments):
        caller = inspect.currentframe().f_back
        config.refusals_met.add((caller.f_code.co_filename, caller.f_lineno))
        ValueError.__init__(error, *arguments)

    if config.getoption("--every-refusal"):
        InputError.__init__ = note


def pytest_sessionfinish(session):
    config = session.config
    config.refusals_missed = []
    if config.getoption("--every-refusal"):
        find_refusals = runpy.run_path(str(Path(__file__).parent / "docs" / "make_errors.py"))["find_refusals"]
        config.refusals_missed = [
            f"{each.path}:{each.line}: {each.messages[0]}"
            for each in find_refusals()
            if issubclass(each.kind, InputError) and (str(each.path), each.line) not in config.refusals_met
        ]
    session.exitstatus = session.exitstatus or int(bool(config.refusals_missed))


def pytest_terminal_summary(terminalreporter, config):
    if config.refusals_missed:
        terminalreporter.section("refusals that no test met", red=True)
        terminalreporter.write("\n".join(config.refusals_missed) + "\n")
