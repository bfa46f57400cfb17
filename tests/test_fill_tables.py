import runpy
from pathlib import Path

import pytest

from captioning_utils import InputError
from captioning_utils.base.checks import options_of
from captioning_utils.base.files import write_json
from captioning_utils.settings import GenerationConfig

SCRIPT = runpy.run_path(str(Path(__file__).parents[1] / "docs" / "fill_tables.py"))
NAMES = ("COLUMNS", "build_results_table", "build_settings_table", "build_speed_table", "fill_tables")
COLUMNS, build_results_table, build_settings_table, build_speed_table, fill_tables = map(SCRIPT.get, NAMES)


def scores(value):
    return {name: {"value": value, "low": value / 2, "high": value * 2} for name in COLUMNS}


def document(value):
    return {"scores": scores(value), "captioner": {"parameters": 2_500_000, "training_minutes": 7.0}}


def write_results(folder):
    baselines = {"most common train caption": {"scores": scores(0.1)}, "people": {"scores": scores(0.5)}}
    for name, value in (("good", 0.3), ("better", 0.4)):
        write_json(folder / f"{name}.json", document(value) | {"baselines": baselines})


def test_captioners_stand_between_baselines_and_people_the_best_last(tmp_path):
    write_results(tmp_path)
    lines = build_results_table(tmp_path).splitlines()
    names = [line.split("|")[1].strip() for line in lines[2:]]
    assert names == ["most common train caption", "**good**", "**better**", "people"]
    good = "| **good** | 30.0 | 30.0 | 30.0 | 30.0 (15.0–60.0) | 30.0 | 30.0 | 30.0 (15.0–60.0) | 2.5 M | 7 |"
    assert lines[3] == good


def test_several_seeds_are_one_row_with_mean_and_range(tmp_path):
    write_results(tmp_path)
    runs = [document(value) | {"baselines": {}} for value in (0.1, 0.3)]
    summary = {name: {"mean": 0.2, "low": 0.1, "high": 0.3, "runs": 2} for name in COLUMNS if name != "meteor"}
    write_json(tmp_path / "seeds.json", {"captioners": runs, "summary": summary})
    row = "| **seeds**, 2 seeds | 20.0 | 20.0 | 20.0 | 20.0 (10.0–30.0) |  | 20.0 | 20.0 (10.0–30.0) | 2.5 M | 7 |"
    assert row in build_results_table(tmp_path)


def test_a_marked_table_is_replaced(tmp_path):
    write_results(tmp_path / "results")
    text = fill_tables("before\n<!-- table: results -->\nold\n<!-- end of table -->\nafter\n", tmp_path)
    assert text.startswith("before\n<!-- table: results -->\n| captioner |")
    assert "old" not in text
    assert text.endswith("|\n<!-- end of table -->\nafter\n")
    text = "before\n<!-- settings: SelfCriticalConfig -->\nold\n<!-- end of table -->\nafter\n"
    filled = text.replace("old\n", build_settings_table("SelfCriticalConfig"))
    assert fill_tables(text, tmp_path) == filled


def test_rows_that_are_named_are_those_of_the_table(tmp_path):
    write_results(tmp_path / "results")
    text = fill_tables("<!-- table: results (good, people) -->\nold\n<!-- end of table -->\n", tmp_path)
    names = [line.split("|")[1].strip() for line in text.splitlines()[3:-1]]
    assert names == ["**good**", "people"]
    with pytest.raises(InputError, match="has no row best; give some of most common train caption, good, better"):
        build_results_table(tmp_path / "results", ["best"])


def test_every_setting_is_a_row_with_default_what_is_allowed_and_what_it_does():
    lines = build_settings_table("GenerationConfig").splitlines()
    assert lines[0] == "| setting | default | allowed | what it does |"
    names = [line.split("|")[1].strip(" `") for line in lines[2:]]
    assert names == [field.name for field in options_of(GenerationConfig)]
    assert lines[2].startswith("| `beam_size` | 5 | a whole number from 1 to 1000 | sentences kept in mind while")


def write_figures(folder):
    machine = {"processor": "P", "extensions": ["avx2"], "cores": 2, "load": 0.1}
    figure = {"median": 31.04, "low": 29.96, "high": 40, "rounds": 3}
    claim = {"what": "an epoch", "figure": figure, "unit": "times", "here": "1 s", "other": "31 s"}
    claims = [claim | {"target": {"at_least": 30}}, claim | {"what": "a photo, cold: all", "target": {}, "unit": "s"}]
    write_json(folder / "a.json", {"script": "a.py", "machine": machine, "claims": claims})


def test_every_figure_of_the_benchmarks_is_a_row(tmp_path):
    write_figures(tmp_path / "speed")
    lines = fill_tables("<!-- speed: speed -->\nold\n<!-- end of table -->\n", tmp_path).splitlines()
    assert lines[3:] == [
        "| an epoch | 1 s | 31 s | 31 (30–40; 3) × | at least 30 |",
        "| a photo, cold: all | 1 s | 31 s | 31 (30–40; 3) s |  |",
        "",
        "P, 2 cores, avx2: `a.py` at load 0.1.",
        "<!-- end of table -->",
    ]


def test_figures_that_are_named_are_rows_in_that_order(tmp_path):
    write_figures(tmp_path)
    lines = build_speed_table(tmp_path, ["a photo, cold", "an epoch"]).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:4]] == ["| a photo, cold: all", "| an epoch"]
    with pytest.raises(InputError, match="has no figure a word; give some of an epoch; a photo, cold"):
        build_speed_table(tmp_path, ["an epoch", "a word"])


def test_an_unknown_configuration_and_a_folder_without_results_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"no configuration 'Path'; give one of .*TrainingConfig"):
        build_settings_table("Path")
    with pytest.raises(InputError, match="holds no result file"):
        build_results_table(tmp_path)
    with pytest.raises(InputError, match="holds no figures"):
        build_speed_table(tmp_path)
