"""What is started beside the commands: a wrong argument or a missing file ends it with one line and exit code 2."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WRONG = {
    "docs/fill_tables.py": ["", "none.md"],
    "docs/make_api.py": ["--out captions.csv"],
    "docs/make_errors.py": ["--out none"],
    "docs/make_licences.py": ["none"],
    "results/reproduce.py": ["none --data_path none"],
    "benchmarks/coco_scale.py": ["--share 0", "--folder none"],
    "benchmarks/features.py": ["--data_path none"],  # of those that import Keras one; the others do the same
    "benchmarks/growth.py": ["--sizes 0", "--out captions.csv/growth"],
    "benchmarks/metrics.py": ["--data_path none", "--share nan"],
    "benchmarks/one_photo.py": ["--rounds 0"],
    "benchmarks/scale_plan.py": ["--photos -1", "--check none"],
    "benchmarks/soak.py": ["--rounds many", "--small --out captions.csv/soak.json"],
    "tests/faults/run.py": ["--only none", "--kills -1"],
    "tests/fuzz/fuzz.py": ["--seconds 0", "--out none/counts.json", "--corpus captions.csv"],
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "arguments"), [(script, each) for script, several in WRONG.items() for each in several]
)
def test_it_ends_with_one_line(script, arguments, tmp_path):
    (tmp_path / "captions.csv").touch()
    command = [sys.executable, ROOT / script, *arguments.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "error: " in done.stderr.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["captions.csv"]
