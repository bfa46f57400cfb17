import itertools
import json
import re
import runpy
from pathlib import Path

import pytest

from captioning_utils.__main__ import COMMANDS
from captioning_utils.captioner import load_captioner
from captioning_utils.commands.shell import REFUSED
from captioning_utils.scenes import draw_dataset
from captioning_utils.settings import PRESETS, SelfCriticalConfig, TrainingConfig

DATA = ("--data_path", "flickr8k")
RESULTS = Path(__file__).parents[1] / "results" / "flickr8k"
SCRIPT = runpy.run_path(str(RESULTS.parent / "reproduce.py"))
ROWS, ENSEMBLES, SEEDS, reproduce = (SCRIPT[name] for name in ("ROWS", "ENSEMBLES", "SEEDS", "reproduce"))


def read_commands(text):
    """The commands of a printed way: list of (command, its arguments)."""
    lines = re.findall(r"^(?:\$ )?python -m captioning_utils (\S+) (.*)$", text, flags=re.MULTILINE)
    return [(command, arguments.split()) for command, arguments in lines]


PUBLISHED = {path.stem for path in RESULTS.glob("*.json")}


def test_every_published_row_can_be_made_again():
    assert {*ROWS, *ENSEMBLES} >= PUBLISHED


@pytest.mark.parametrize("name", [name for name in ROWS if name in PUBLISHED])
def test_the_settings_are_those_of_the_published_captioners(name):
    row = ROWS[name]
    captioners = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["captioners"]
    assert len(captioners) == len(SEEDS)
    for seed, captioner in zip(SEEDS, captioners, strict=True):
        recorded = captioner["training"]
        wanted = vars(TrainingConfig(decoder=PRESETS[row.preset].decoder, seed=seed, **PRESETS[row.preset].settings))
        assert recorded["settings"].pop("dropout_from", 1) == 1  # an option that is no more, and was off
        assert {key: wanted[key] for key in recorded["settings"]} == recorded["settings"]
        assert captioner["captioner"]["encoder"].split()[:2] == ["vgg16", PRESETS[row.preset].layer]
        further = recorded.get("self_critical")
        assert (further is None) == (row.self_critical is None)
        if further:
            config = vars(SelfCriticalConfig(seed=seed, **row.self_critical))
            further = vars(SelfCriticalConfig()) | further  # what is not recorded had no choice then
            further["min_length_ratio"] = further.pop("shortest")  # its name then
            # which epochs there are and count, not what they do
            for free in (*SelfCriticalConfig().may_change_on_resume, "min_length_ratio"):
                config[free] = further[free]
            assert {key: further[key] for key in config} == config
            if row.epochs:
                assert further["epochs"] == row.epochs[seed]
            assert further["best_epoch"] <= SelfCriticalConfig(**row.self_critical).epochs


@pytest.mark.parametrize("name", [*ROWS, *ENSEMBLES])
def test_a_row_is_a_list_of_commands(name, tmp_path, capsys):
    assert reproduce([name, *DATA, "--folder", str(tmp_path), "--show"]) == 0
    commands = read_commands(capsys.readouterr().out)
    assert {command for command, _ in commands} <= {*COMMANDS}
    *made, val, test = commands
    assert len({arguments[arguments.index("--model_path") + 1] for _, arguments in made}) == len(made)
    for split, (command, arguments) in {"val": val, "test": test}.items():
        assert command == "evaluate"
        assert arguments[arguments.index("--split") + 1] == split
    assert not any(tmp_path.iterdir())


def test_each_seed_has_its_own_files(tmp_path, capsys):
    places = ["--images", "photos", "--captions", "texts/mine.csv"]
    assert reproduce(["flickr8k_merge", *DATA, *places, "--seeds", "0", "3", "--folder", "rows", "--show"]) == 0
    commands = read_commands(capsys.readouterr().out)
    assert all({*places} <= {*arguments} for _, arguments in commands)
    paths = ["rows/flickr8k_merge.h5", "rows/flickr8k_merge_seed3.h5"]
    for seed, path, (command, arguments) in zip("03", paths, commands, strict=False):
        assert command == "train"
        assert {f"--seed {seed}", f"--model_path {path}"} <= set(map(" ".join, itertools.pairwise(arguments)))
    assert f"--model_path {' '.join(paths)} --data_path" in " ".join(commands[-1][1])


def test_a_row_is_made_and_the_same_command_goes_on(tmp_path, monkeypatch, vgg16_weights, capsys):
    monkeypatch.chdir(tmp_path)
    draw_dataset(tmp_path / "drawn", 20)
    row = ["flickr8k_merge_cider", "--data_path", "drawn", "--folder", "rows", "--epochs", "1", "--seeds", "3"]
    assert reproduce(row) == 0
    assert [name for name, _ in read_commands(capsys.readouterr().out)] == [
        *("train", "self_critical", "evaluate", "evaluate")
    ]
    results = json.loads(Path("rows/flickr8k_merge_cider.json").read_text(encoding="utf-8"))
    assert results["name"] == "flickr8k_merge_cider_seed3"
    made = load_captioner("rows/flickr8k_merge_cider_seed3.h5")
    assert made.training["settings"]["seed"] == made.training["self_critical"]["seed"] == 3
    assert results["captioner"]["fingerprint"] == made.fingerprint
    assert reproduce(row) == 0
    again = load_captioner("rows/flickr8k_merge_cider_seed3.h5")
    assert again.fingerprint == made.fingerprint
    assert again.training == made.training  # the seconds too: nothing was trained


def test_an_ensemble_has_its_own_seeds(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        reproduce(["flickr8k_ensemble", *DATA, "--seeds", "5", "--folder", str(tmp_path)])
    assert stop.value.code == 2
    assert "--seeds has no effect" in capsys.readouterr().err


def test_the_first_command_that_fails_is_the_last(tmp_path, capsys):
    row = ["flickr8k_merge", "--data_path", str(tmp_path / "nothing"), "--folder", str(tmp_path)]
    assert reproduce(row) == REFUSED
    assert len(read_commands(capsys.readouterr().out)) == 1
