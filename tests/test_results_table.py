import pytest

from captioning_utils.errors import InputError
from captioning_utils.files import write_json
from captioning_utils.results_table import COLUMNS, build_results_table, fill_tables


def scores(value):
    return {name: {"value": value, "low": value / 2, "high": value * 2} for name in COLUMNS}


def write_results(folder):
    baselines = {"most common train caption": {"scores": scores(0.1)}, "people": {"scores": scores(0.5)}}
    for name, value in (("good", 0.3), ("better", 0.4)):
        write_json(folder / f"{name}.json", {"name": name, "scores": scores(value), "baselines": baselines})


def test_captioners_stand_between_baselines_and_people_the_best_last(tmp_path):
    write_results(tmp_path)
    lines = build_results_table(tmp_path).splitlines()
    names = [line.split("|")[1].strip() for line in lines[2:]]
    assert names == ["most common train caption", "**good**", "**better**", "people"]
    assert lines[3] == "| **good** | 30.0 | 30.0 | 30.0 | 30.0 (15.0–60.0) | 30.0 | 30.0 (15.0–60.0) |"


def test_a_marked_table_is_replaced(tmp_path):
    write_results(tmp_path / "results")
    text = fill_tables("before\n<!-- table: results -->\nold\n<!-- end of table -->\nafter\n", tmp_path)
    assert text.startswith("before\n<!-- table: results -->\n| captioner |")
    assert "old" not in text
    assert text.endswith("|\n<!-- end of table -->\nafter\n")


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no result file"):
        build_results_table(tmp_path)
