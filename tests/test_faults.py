"""A share of the faults that `tests/faults/run.py` injects."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from faults.workloads import QUICK

RUN = Path(__file__).parent / "faults" / "run.py"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize(
    ("names", "faults", "kills"),
    [(list(QUICK), 2, 0), (["combining", "evaluation"], 3, 0)],
    ids=["without Keras", "with Keras"],
)
def test_nothing_is_lost_half_written_or_left_behind(names, faults, kills):
    arguments = ["--faults", str(faults), "--kills", str(kills), "--seed", "1", "--only", *names]
    done = subprocess.run([sys.executable, RUN, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts["workloads"] == len(names)
    assert counts["boundaries"] >= 10 * len(names)
    assert counts["faults"] == faults * len(names)
