"""Every benchmark runs, at a size that says nothing about speed."""

import subprocess
import sys
from pathlib import Path

import pytest

from captioning_utils.scenes import draw_dataset

OTHERS = {"classic.py", "measure.py", "load.py"}  # what the scripts import, and what test_load.py runs
SCRIPTS = sorted(path for path in (Path(__file__).parents[1] / "benchmarks").glob("*.py") if path.name not in OTHERS)
SMALL = {
    "coco_scale": "--share 0.001 --min_count 2",
    "features": "--small",
    "fluency": "--data_path drawn --photos drawn/Images --number 1 --captioners flickr8k_merge",
    "generation": "--small",
    "growth": "--sizes 50",
    "metrics": "--share 0.01",
    "one_photo": "--small",
    "scale_plan": "--check drawn/Images --photos 8",
    "soak": "--small",
    "training_epoch": "--small",
}
pytest.importorskip("resource", reason="two of them read the memory as Linux and macOS tell it")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_it_runs_and_prints_a_figure(script, tmp_path, vgg16_weights):
    draw_dataset(tmp_path / "drawn", 20)
    command = [sys.executable, str(script), *SMALL[script.stem].split()]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert any(word in result.stdout for word in ("ratio", "times", "on disk", "fluent", "target", "MiB"))
