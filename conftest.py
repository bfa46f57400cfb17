"""What holds for all tests, the examples in docstrings included."""

import re
import tempfile

import pytest

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
