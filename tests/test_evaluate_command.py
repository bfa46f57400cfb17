"""The command evaluate.py on a tiny dataset of coloured squares, with captioners trained in a second."""

import json
import pickle
import re
import shutil

import numpy as np
import pytest
from toys import COLOURS, ENCODER, ToyEncoder, small, write_squares

from captioning_utils.commands import evaluate as evaluate_command
from captioning_utils.commands import shell
from captioning_utils.datasets import load_dataset
from captioning_utils.features import load_features
from captioning_utils.scenes import draw_dataset
from captioning_utils.training import train_captioner


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with a dataset, its features, and two captioners: a good one and a useless one."""
    folder = tmp_path_factory.mktemp("evaluate")
    names = [f"{number}.png" for number in range(60)]
    splits = [*["train"] * 30, *["val"] * 6, *["test"] * 24]
    captions = ("A {} square .", "This is a {} square .", "{} on every side")
    write_squares(folder / "squares", splits, captions=captions)
    noise = np.random.default_rng(0).normal(0, 0.1, (60, 8))
    save_features(folder / "features.pkl", names, np.eye(8)[[number % 4 for number in range(60)]] + noise)
    dataset = load_dataset(folder / "squares")
    train(dataset, folder / "features.pkl", folder / "good.h5", epochs=40)
    train(dataset, folder / "features.pkl", folder / "useless.h5", epochs=1)
    return folder


def save_features(path, names, rows, skipped=None):
    contents = {
        "format_version": 1,
        "fingerprint": ENCODER,
        "output_shape": rows.shape[1:],
        "image_ids": list(names),
        "skipped": skipped or {},
        "features": rows.astype("float16"),
    }
    path.write_bytes(pickle.dumps(contents, protocol=4))


def train(dataset, features, path, epochs):
    config = small(epochs=epochs, batch_size=10, learning_rate=2e-2, patience=epochs, save_every=epochs)
    train_captioner(dataset, load_features(features), path, config, verbose=0)


@pytest.fixture
def run(workplace, tmp_path, monkeypatch, capsys):
    """A function that runs evaluate.py in an empty folder: (exit code, what it printed, its errors)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments, data=workplace / "squares", features=workplace / "features.pkl"):
        common = ["--data_path", data, "--features", features] if data else []
        code = shell.run_command(evaluate_command.evaluate_main, [str(argument) for argument in [*common, *arguments]])
        return code, *capsys.readouterr()

    return call


def test_one_captioner_beside_baselines_and_people(run, workplace, tmp_path):
    code, text, _ = run("--model_path", workplace / "good.h5")
    assert code == shell.OK
    names = [line.split("  ")[0] for line in text.splitlines()]
    for name in ("good", "most common train caption", "nearest train photo", "people (2 references)"):
        assert name in names
    (folder,) = (tmp_path / "runs" / "evaluate").iterdir()
    document = json.loads((folder / "results.json").read_text())
    assert folder.name == f"squares-test-standard-good-{document['captioner']['fingerprint'][:6]}"
    assert document["captioner"]["encoder"] == ENCODER
    assert document["captioner"]["trained_on"] == "squares"
    assert document["decoding"]["beam_size"] == 5
    assert document["num_images"] == len(document["photos"]) == 24
    right = [COLOURS[int(name[:-4]) % 4] in photo["caption"].split() for name, photo in document["photos"].items()]
    assert np.mean(right) > 0.9
    assert document["baselines"]["nearest train photo"]["scores"]["bleu_1"]["value"] == 1
    assert "keras" in document["packages"]
    page = (folder / "report.html").read_text()
    assert "<h2>Best photos</h2>" in page
    assert ".png" in page
    assert '<img src="data:image/jpeg' not in page  # no photos unless asked for
    assert "Images/" not in page


def test_a_split_without_a_word_is_refused_before_the_work(run, workplace, tmp_path):
    rows = (workplace / "squares" / "captions.csv").read_text().splitlines()
    rows = [re.sub(",.*,test$", ",!!,test", row) for row in rows]
    (tmp_path / "wordless.csv").write_text("\n".join(rows))
    code, text, errors = run("--model_path", workplace / "good.h5", "--captions", tmp_path / "wordless.csv")
    assert code == shell.REFUSED
    assert "no caption of the test split of squares holds a word, such as '!!' of '36.png'" in errors
    assert "Captioning" not in text


def test_the_same_command_writes_the_same_file(run, workplace, tmp_path):
    settings = ["--temperature", 1, "--seed", 3, "--max_length", 6, "--split", "val"]
    for name in ("a", "b"):
        files = ["--out", f"{name}.json", "--report", "x.html"]
        code, text, _ = run("--model_path", workplace / "good.h5", *settings, *files)
        assert code == shell.OK
    assert "sampled at temperature 1" in text
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert not (tmp_path / "runs").exists()
    document = json.loads((tmp_path / "a.json").read_text())
    assert (document["split"], document["num_images"], document["decoding"]["seed"]) == ("val", 6, 3)


@pytest.mark.parametrize(("choice", "mark"), [("embed", "data:image/jpeg;base64"), ("link", "squares/Images/")])
def test_photos_are_in_the_page_at_the_users_wish(run, workplace, tmp_path, choice, mark):
    assert run("--model_path", workplace / "good.h5", "--photos", choice, "--report", "page.html")[0] == shell.OK
    assert mark in (tmp_path / "page.html").read_text()


@pytest.mark.slow  # trains
def test_compare_says_whether_the_difference_is_significant(run, workplace, tmp_path):
    good, useless = workplace / "good.h5", workplace / "useless.h5"
    code, text, _ = run("--compare", useless, good, "--out", "out.json")
    assert code == shell.OK
    assert "good is better than useless by" in text
    assert "significant on these photos" in text
    document = json.loads((tmp_path / "out.json").read_text())
    assert [each["name"] for each in document["captioners"]] == ["useless", "good"]
    assert document["comparison"][0]["significant"] is True
    copy = shutil.copy(good, tmp_path / "copy.h5")
    _, text, _ = run("--compare", good, copy)
    assert text.count("no significant difference") == 4
    other = shutil.copy(useless, tmp_path / "good.h5")  # of the same file name
    _, text, _ = run("--compare", good, other)
    assert f"{good} is better than {other} by" in text


def test_several_seeds_are_shown_with_mean_and_range(run, workplace):
    code, text, _ = run("--model_path", workplace / "useless.h5", workplace / "good.h5", "--num_captions", 6)
    assert code == shell.OK
    assert "mean of 2" in text
    assert "lowest–highest" in text
    assert "self-CIDEr" in text
    assert "beam search with 6 beams" in text


@pytest.fixture
def toy_encoder(monkeypatch):
    monkeypatch.setattr("captioning_utils.captioner.build_encoder", lambda *_, **__: ToyEncoder((8,), ENCODER))


def test_unreadable_photos_stop_or_are_left_out_and_counted(run, workplace, tmp_path, toy_encoder):
    data = shutil.copytree(workplace / "squares", tmp_path / "squares")
    (data / "Images" / "59.png").write_bytes(b"torn")
    full = load_features(workplace / "features.pkl")
    save_features(tmp_path / "some.pkl", full.image_ids[:58], full.get(full.image_ids[:58]))
    arguments = ["--model_path", workplace / "good.h5"]
    code, _, errors = run(*arguments, data=data, features=tmp_path / "some.pkl")
    assert code == shell.REFUSED
    assert "1 of 24 photos have no features, first ['59.png']" in errors.splitlines()[-1]
    code, text, _ = run(*arguments, "--allow-missing", data=data, features=tmp_path / "some.pkl")
    assert code == shell.PARTLY
    assert "23 photos (1 left out)" in text


def test_train_photos_are_extracted_only_when_asked_for(run, workplace, tmp_path, toy_encoder):
    full = load_features(workplace / "features.pkl")
    save_features(tmp_path / "test.pkl", full.image_ids[36:], full.get(full.image_ids[36:]))
    arguments = ["--model_path", workplace / "good.h5"]
    code, text, _ = run(*arguments, features=tmp_path / "test.pkl")
    assert code == shell.OK
    assert "30 of 30 train photos have no features yet; --nearest extracts them" in text
    assert "\nnearest train photo" not in text
    assert len(load_features(tmp_path / "test.pkl")) == 24
    code, text, _ = run(*arguments, "--nearest", features=tmp_path / "test.pkl")
    assert code == shell.OK
    assert "\nnearest train photo" in text
    assert len(load_features(tmp_path / "test.pkl")) == 54


def test_features_of_another_encoder_are_refused(run, workplace, tmp_path):
    content = pickle.loads((workplace / "features.pkl").read_bytes()) | {"fingerprint": "vgg16 grid14 float32"}
    (tmp_path / "other.pkl").write_bytes(pickle.dumps(content, protocol=4))
    code, _, errors = run("--model_path", workplace / "good.h5", features=tmp_path / "other.pkl")
    assert code == shell.REFUSED
    assert "vgg16 grid14 float32" in errors
    assert ENCODER in errors


@pytest.mark.slow  # trains
def test_drawn_scenes_are_checked_for_truth(run, workplace, tmp_path):
    draw_dataset(tmp_path / "drawn", num_scenes=30)
    names = [f"scene_{number:04}.jpg" for number in range(1, 31)]
    save_features(tmp_path / "drawn.pkl", names, np.random.default_rng(0).normal(size=(30, 8)))
    train(load_dataset(tmp_path / "drawn"), tmp_path / "drawn.pkl", tmp_path / "drawn.h5", epochs=4)
    code, text, _ = run("--model_path", "drawn.h5", data=tmp_path / "drawn", features=tmp_path / "drawn.pkl")
    assert code == shell.OK
    people = next(line for line in text.splitlines() if line.startswith("captions without a mistake")).split("  ")[-1]
    assert people.strip() == "100.0 %"
    (folder,) = (tmp_path / "runs" / "evaluate").iterdir()
    assert "confusion" in json.loads((folder / "results.json").read_text())["truth"]["kinds"]["objects"]
    assert "<h2>Truth</h2>" in (folder / "report.html").read_text()


def test_files_of_other_captioners(run, tmp_path):
    references = {str(number): [f"a {COLOURS[number % 4]} ball", "a ball"] for number in range(8)}
    few = {"1": "a ball", "2": "the sky", "77": "x"}
    candidates = {key: several[0] for key, several in references.items()}
    for name, content in (("refs", references), ("cands", candidates), ("few", few)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))

    def score(candidates, *options, references="refs.json"):
        return run("--references", references, "--candidates", candidates, *options, data=None)

    code, text, _ = score("cands.json")
    assert code == shell.OK
    assert "people (1 reference)" in text
    code, _, errors = score("cands.json", "--seed", 3)
    assert code == shell.REFUSED
    assert errors == "error: --seed would have no effect on captions from files; leave that out\n"
    code, _, errors = score("cands.json", references="nothing.json")
    assert code == shell.REFUSED
    assert "nothing.json" in errors
    code, _, errors = score("few.json")
    assert code == shell.REFUSED
    assert "1 ('77')" in errors
    assert "6 ('0', '3', '4' and 3 more)" in errors
    assert errors.endswith("score the rest with --allow_missing\n")
    for option in ("--allow-missing", "--allow_missing"):
        code, text, _ = score("few.json", option)
        assert code == shell.PARTLY
        assert "2 photos (7 left out)" in text
    code, text, _ = run("--references", "refs.json", "--compare", "few.json", "cands.json", option, data=None)
    assert code == shell.PARTLY
    assert "BLEU-1 points" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--references", "refs.json"], "--references and --candidates belong together"),
        (["--candidates", "cands.json"], "--references and --candidates belong together"),
        (["--references", "r.json", "--candidates", "c.json"], "--data_path, --features would have no effect"),
        (["--model_path", "nothing.h5"], "nothing.h5"),
        (["--data_path", "nowhere"], "nowhere"),
        (["--model_path", "a.h5", "--compare", "a.h5", "b.h5"], "--model_path and --compare are different questions"),
        (["--seed", "-1"], "seed is -1"),
        (["--out", "features.pkl/a.json"], "cannot write to features.pkl"),
    ],
)
def test_bad_input_gets_one_line(run, tmp_path, arguments, message):
    (tmp_path / "features.pkl").touch()
    code, _, errors = run(*arguments)
    assert code == shell.REFUSED
    assert message in errors
    assert errors.count("\n") == 1


def test_a_metric_that_cannot_be_computed_is_refused_before_the_work(run, workplace, monkeypatch):
    monkeypatch.setenv("PATH", "")  # no Java
    code, text, errors = run("--model_path", workplace / "good.h5", "--metrics", "meteor")
    assert code == shell.REFUSED
    assert text == ""
    assert "Java" in errors or "pycocoevalcap" in errors
