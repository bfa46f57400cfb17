"""A few seconds of what tests/fuzz/fuzz.py does for hours."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).with_name("fuzz") / "fuzz.py"


@pytest.mark.slow
def test_no_changed_file_ends_in_anything_but_a_refusal(tmp_path):
    command = [sys.executable, FUZZ, "--seconds", "5", "--corpus", tmp_path / "corpus", "--out", tmp_path / "a.json"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads((tmp_path / "a.json").read_text())["readers"]
    assert len(counts) == 8
    assert all(count["executions"] > 0 for count in counts.values()), counts
