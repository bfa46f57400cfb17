"""A share of the faults that `tests/faults/run.py` injects."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from faults.digests import digest, tree
from faults.workloads import QUICK

from captioning_utils.base.storage import write_storage

RUN = Path(__file__).parent / "faults" / "run.py"


def test_the_seconds_are_left_out_of_the_comparison_and_nothing_else(tmp_path):
    def write(seconds=2.5, epoch=3, bias=0.0):
        state = {"state": {"epoch": epoch, "history": [{"seconds": seconds}], "seconds": seconds}}
        write_storage(tmp_path / "a.checkpoint", "toy", 1, state, {"bias": np.float32([bias, 1])})
        return digest(tmp_path / "a.checkpoint")

    assert write(seconds=2.288617440004612) == write()  # more digits: the document is longer
    assert len({write(), write(epoch=4), write(bias=1e-45)}) == 3


def test_which_of_two_equal_constants_is_the_others_makes_no_difference(tmp_path):
    onnx = pytest.importorskip("onnx")

    def write(constant, copy, value=0.0):
        node = onnx.helper.make_node("Identity", [constant], [copy])
        outputs = [onnx.helper.make_tensor_value_info(name, 1, [1]) for name in ("hidden", "cell")]
        held = onnx.helper.make_tensor(constant, 1, [1], [value])
        graph = onnx.helper.make_graph([node], "start", [], outputs, [held])
        onnx.save(onnx.helper.make_model(graph), tmp_path / "a.onnx")
        return digest(tmp_path / "a.onnx")

    assert write("hidden", "cell") == write("cell", "hidden") != write("cell", "hidden", value=1.0)


def test_how_rows_are_split_into_tables_makes_no_difference_and_half_a_table_is_seen(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    found = {}
    for name, parts in {"one": [[1, 2, 3]], "two": [[3, 1], [2]], "less": [[1, 2]]}.items():
        (tmp_path / name).mkdir()
        for number, part in enumerate(parts):
            parquet.write_table(pyarrow.table({"row": part}), tmp_path / name / f"{number}.parquet")
        found[name] = tree(tmp_path / name)
    assert found["one"] == found["two"] != found["less"]
    half = tmp_path / "two" / "1.parquet"
    half.write_bytes(half.read_bytes()[:-9])
    assert "1.parquet" in tree(tmp_path / "two")


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
