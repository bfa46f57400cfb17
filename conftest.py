"""What holds for all tests, the examples in docstrings included."""

import tempfile

import pytest


@pytest.fixture(autouse=True)
def keep_temporary_files_together(tmp_path, monkeypatch):
    """What an example leaves in a temporary folder goes where pytest keeps its own, and is deleted with it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
