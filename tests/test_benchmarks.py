"""Every benchmark runs, at a size that says nothing about speed."""

import subprocess
import sys
from pathlib import Path

import pytest

from captioning_utils.scenes import draw_dataset

SCRIPTS = sorted((Path(__file__).parents[1] / "benchmarks").glob("*.py"))
SMALL = {
    "coco_scale": "--share 0.001 --min_count 2",
    "features": "--images 6 --turns 1",
    "fluency": "--data_path drawn --photos drawn/Images --number 1 --captioners flickr8k_merge",
    "growth": "--sizes 50 100",
    "generation": "--photos 4 --slow_photos 1 --turns 1",
    "metrics": "--share 0.01",
    "scale_plan": "--check drawn/Images",
    "training_epoch": "--data_path drawn --feature_dim 8 --hidden_dim 8 --min_count 1 --photos 8 --turns 1",
}
pytest.importorskip("resource", reason="two of them read the memory as Linux and macOS tell it")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_it_runs_and_prints_a_figure(script, tmp_path, vgg16_weights):
    draw_dataset(tmp_path / "drawn", 20)
    command = [sys.executable, str(script), *SMALL[script.stem].split()]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert any(word in result.stdout for word in ("ratio", "times", "on disk", "fluent"))
