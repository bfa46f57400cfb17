import csv
import json
import os
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from toys import ENCODER, RowFeatures, ToyEncoder, run, write_squares

from captioning_utils import bulk
from captioning_utils.__main__ import main as package_main
from captioning_utils.base.checks import options_of
from captioning_utils.bulk import features_path
from captioning_utils.captioner import ScoredCaption, load_captioner
from captioning_utils.commands import shell
from captioning_utils.commands.deploy import export_main, pull_main, push_main
from captioning_utils.commands.evaluate import build_evaluate_parser, evaluate_main
from captioning_utils.commands.generate import build_generate_parser, generate_main
from captioning_utils.commands.train import build_train_parser, show_samples, train_main
from captioning_utils.datasets import load_dataset
from captioning_utils.features import extract_features
from captioning_utils.images import load_image
from captioning_utils.settings import GenerationConfig, TrainingConfig


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, colour in (("b.png", "green"), ("a.jpg", "navy")):
        Image.new("RGB", (300, 200), colour).save(folder / name)
    return folder


@pytest.mark.parametrize("main", [train_main, generate_main, evaluate_main, export_main, push_main, pull_main])
def test_help_teaches(main, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "example: python" in text
    assert "exit codes" in text
    assert "(default: None)" not in text


def test_the_options_that_similar_projects_have_are_there():
    train = build_train_parser().parse_args(
        "--data_path d --model_path m.h5 --epochs 3 --batch_size 8 --learning_rate 0.01 --save_every 2 --encoder "
        "resnet50 --decoder merge --features f.pkl --seed 4".split()
    )
    assert (train.epochs, train.save_every, train.learning_rate) == (3, 2, 0.01)
    generate = build_generate_parser().parse_args(
        "--image_path a.jpg b.jpg --model_path m.h5 --max_length 9 --beam_size 4 --temperature 0.5".split()
    )
    assert (generate.image_path, generate.beam_size, generate.temperature) == (["a.jpg", "b.jpg"], 4, 0.5)


def test_fast_names_a_shipped_captioner_that_looks_once(capsys):
    parser = build_generate_parser()
    captioner = load_captioner(parser.parse_args(["--image_path", "a.jpg", "--fast"]).model_path)
    assert (captioner.encoder_id.layer, captioner.encoder_id.image_size) == ("grid", (224, 224))
    with pytest.raises(SystemExit):
        parser.parse_args(["--image_path", "a.jpg", "--fast", "--model_path", "b.h5"])
    assert "not allowed with" in capsys.readouterr().err


def test_generate_prints_a_sentence_a_photo_and_names_those_it_cannot_read(photos, vgg16_weights, capsys):
    (photos / "c.jpg").write_text("this is no photo")
    (photos / "d.jpg").write_bytes(b"")
    assert run(generate_main, "--image_path", photos) == shell.PARTLY
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [str(photos / "a.jpg"), str(photos / "b.png")]
    assert all(len(line.split(": ")[1].split()) >= 2 for line in lines)
    assert "c.jpg" in captured.err
    assert "d.jpg" in captured.err


@pytest.mark.parametrize("suffix", ["json", "csv"])
def test_generate_writes_a_table(photos, vgg16_weights, tmp_path, suffix):
    out = tmp_path / f"captions.{suffix}"
    assert run(generate_main, "--image_path", photos, "--out", out, "--num_captions", 2, "--beam_size", 2) == shell.OK
    rows = json.loads(out.read_text()) if suffix == "json" else list(csv.DictReader(out.open()))
    assert [row["image"] for row in rows] == [str(photos / name) for name in ("a.jpg", "a.jpg", "b.png", "b.png")]
    assert float(rows[0]["score"]) >= float(rows[1]["score"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image_path", "nothing_here.jpg"], "nothing_here.jpg"),
        (["--image_path", "{photos}", "--model_path", "nothing_here.h5"], "nothing_here.h5"),
        (["--image_path", "{photos}", "--model_path", "{photos}/a.jpg"], "a.jpg"),
        (["--image_path", "{photos}", "--beam_size", "0"], "beam_size is 0"),
        (["--image_path", "{photos}", "--temperature", "0"], "temperature is 0"),
        (["--image_path", "{photos}", "--num_captions", "2", "--beam_size", "1"], "beam_size only 1"),
        (["--image_path", "{photos}", "--weights", "nothing_here.h5"], "nothing_here.h5"),
    ],
)
def test_generate_refuses_in_one_line(photos, capsys, arguments, message):
    arguments = [argument.format(photos=photos) for argument in arguments]
    assert run(generate_main, *arguments) == shell.REFUSED
    errors = capsys.readouterr().err
    assert message in errors
    assert len(errors.splitlines()) == 1
    assert errors.startswith("error: ")


@pytest.mark.parametrize(
    ("main", "option", "value"),
    [(generate_main, "--out", "captions.txt"), (train_main, "--encoder", "vgg"), (train_main, "--dtype", "int8")],
)
def test_values_that_are_no_choice_are_refused_before_the_work(photos, capsys, main, option, value):
    with pytest.raises(SystemExit) as stop:
        main([option, value, *(["--image_path", str(photos)] if main is generate_main else [])])
    assert stop.value.code == shell.REFUSED
    assert value in capsys.readouterr().err


# ---- generate, with a captioner that names the colour


class ToyCaptioner:
    """Says "navy" or "green"; remembers the seeds it was given."""

    generation = GenerationConfig()

    def __init__(self):
        self.seeds, self.weights = [], []

    def image_encoder(self, weights_path=None):
        self.weights.append(weights_path)
        return ToyEncoder()

    def generation_settings(self, settings):
        return GenerationConfig(**settings)

    def caption_features(self, features, **settings):
        self.seeds.append(settings.get("seed", 0))
        return [[ScoredCaption("navy" if blue > 100 else "green", -1.0, -3.0)] for _, _, blue in features]


@pytest.fixture
def toy_captioner(monkeypatch):
    captioner = ToyCaptioner()
    monkeypatch.setattr("captioning_utils.captioner.load_captioner", lambda path: captioner)
    monkeypatch.setattr(bulk, "PHOTOS_AT_ONCE", 2)
    return captioner


@pytest.fixture
def five_photos(photos):
    for name in ("c.png", "d.png", "e.png"):
        Image.new("RGB", (30, 20), "navy").save(photos / name)
    return photos


def test_each_part_of_the_photos_draws_anew(five_photos, toy_captioner):
    options = ["--temperature", 1, "--seed", 2**32 - 2, "--weights", "vgg16.h5"]
    assert run(generate_main, "--image_path", five_photos, *options) == shell.OK
    assert toy_captioner.seeds == [2**32 - 2, 0, 2]
    assert toy_captioner.weights[0] == "vgg16.h5"


def test_photos_in_sub_folders_are_told_and_taken_when_asked_for(photos, toy_captioner, capsys):
    (photos / "beach" / "second").mkdir(parents=True)
    (photos / "notes").mkdir()
    for name in ("beach/x.png", "beach/second/y.png"):
        Image.new("RGB", (30, 20), "navy").save(photos / name)
    assert run(generate_main, "--image_path", photos) == shell.OK
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 2
    left_out = f"'{photos / 'beach'}', '{photos / 'beach' / 'second'}'"
    assert f"note: 2 sub-folders with photos are left out ({left_out}); --recursive takes them" in captured.err
    assert run(generate_main, "--image_path", photos, "--recursive") == shell.OK
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 4
    assert captured.err == ""
    (photos / "empty").mkdir()
    assert run(generate_main, "--image_path", photos / "empty") == shell.REFUSED
    assert "sub-folders are looked into with --recursive" in capsys.readouterr().err


def test_what_was_done_is_kept_when_the_user_stops(five_photos, toy_captioner, tmp_path, monkeypatch, capsys):
    def stop(image, size, notes, load=load_image):
        if image.name == "e.png":
            raise KeyboardInterrupt
        return load(image, size, notes)

    monkeypatch.setattr(bulk, "load_image", stop)
    assert run(generate_main, "--image_path", five_photos) == 130
    captured = capsys.readouterr()
    assert [line.split(": ")[1] for line in captured.out.splitlines()] == ["navy", "green", "navy", "navy"]
    assert captured.err == "stopped\n"  # nothing is said about going on: it would begin anew
    assert run(generate_main, "--image_path", five_photos, "--out", tmp_path / "a.json") == 130
    assert len(json.loads((tmp_path / "a.json").read_text())) == 4


def test_a_table_is_not_overwritten_when_no_photo_can_be_read(toy_captioner, tmp_path, capsys):
    (tmp_path / "torn.jpg").write_text("torn")
    (tmp_path / "a.csv").write_text("precious")
    arguments = ["--image_path", tmp_path / "torn.jpg", "--out", tmp_path / "a.csv"]
    assert run(generate_main, *arguments) == shell.REFUSED
    assert (tmp_path / "a.csv").read_text() == "precious"
    assert "torn.jpg" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that are no text")
def test_a_photo_with_a_name_in_latin_1_is_described(photos, toy_captioner, tmp_path, capsys):
    os.rename(photos / "a.jpg", os.fsencode(photos) + b"/caf\xe9.jpg")
    for arguments in ([], ["--out", tmp_path / "a.csv"], ["--out", tmp_path / "a.json"]):
        assert run(generate_main, "--image_path", photos, *arguments) == shell.OK
    assert "caf\ufffd.jpg: navy" in capsys.readouterr().out
    assert "caf\ufffd.jpg,navy" in (tmp_path / "a.csv").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))[1]["image"].endswith("caf\ufffd.jpg")


# ---- train


def test_every_field_of_a_configuration_is_an_option_with_its_help_and_default():
    training = build_train_parser().format_help()
    for field in options_of(TrainingConfig):
        assert re.search(rf"--{field.name}[ ,]", training), field.name
    assert "initial weights, order of the batches" in training.replace("\n" + 24 * " ", " ")
    for parser in (build_generate_parser(), build_evaluate_parser()):
        assert all(f"--{field.name}" in parser.format_help() for field in options_of(GenerationConfig))


@pytest.fixture
def no_extraction(monkeypatch):
    """The expensive step must not be reached."""

    def fail(*arguments):
        raise AssertionError("the features are extracted although the command must fail")

    monkeypatch.setattr("captioning_utils.encoders.encoder.build_encoder", lambda *arguments, **settings: ToyEncoder())
    monkeypatch.setattr("captioning_utils.features.extract_features", fail)


@pytest.mark.parametrize(
    ("table", "arguments", "message"),
    [
        (None, ["--decoder", "attention"], "the attention decoder cannot read --layer avg: feature_shape is (3,)"),
        (None, ["--decoder", "transformer"], "the transformer decoder cannot read --layer avg"),
        (None, ["--epochs", "0"], "epochs is 0"),
        (None, ["--seed", "-1"], "seed is -1"),
        (None, ["--model_path", "tiny/captions.csv/model.h5"], "cannot write to tiny/captions.csv"),
        (None, ["--model_path", "tiny"], "tiny is a folder"),
        (None, ["--model_path", "m" * 250], "File name too long"),
        (None, ["--log_dir", "tiny/captions.csv"], "cannot write to tiny/captions.csv"),
        (",val", [], "the val split of tiny is empty (train 8, val 0, test 4); training needs"),
        (
            "image,caption,split\n0.png,A square,train\n1.png,...,val\n",
            [],
            "no caption of the val split of tiny holds a word",
        ),
        ("", [], "empty"),
        ("image,words\n0.png,A red square\n", [], "words"),
        ("image,caption\nnone.png,A red square\n", [], "photo"),
        ("delete", [], "tiny"),
    ],
)
def test_train_refuses_before_the_expensive_step(
    tiny_dataset, tmp_path, monkeypatch, no_extraction, capsys, table, arguments, message
):
    monkeypatch.chdir(tmp_path)
    file = tiny_dataset / "captions.csv"
    if table == "delete":
        file.unlink()
    elif table is not None:
        file.write_text(file.read_text().replace(",val", ",test") if table == ",val" else table)
    assert run(train_main, "--data_path", tiny_dataset, "--layer", "avg", *arguments) == shell.REFUSED
    errors = capsys.readouterr().err
    assert errors.startswith("error: ")
    assert message in errors
    assert errors.count("\n") == 1
    assert not list(tmp_path.glob("*.h5"))


def test_features_belong_to_the_folder_of_the_photos(tiny_dataset, tmp_path):
    by_folder, by_file = load_dataset(tiny_dataset), load_dataset(tiny_dataset / "captions.csv")
    copy = load_dataset(shutil.copytree(tiny_dataset, tmp_path / "copy" / "tiny"))
    path = features_path(by_folder, ENCODER, (3,))
    assert path == features_path(by_file, ENCODER, (3,))
    assert path.name.startswith("tiny-")
    assert path != features_path(copy, ENCODER, (3,))


@pytest.mark.parametrize("place", ["data", "data/features"])
def test_a_folder_that_cannot_be_written_is_found_before_the_work(
    tiny_dataset, tmp_path, monkeypatch, no_extraction, capsys, place
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("a file where a folder should be")
    assert run(train_main, "--data_path", tiny_dataset) == shell.REFUSED
    assert capsys.readouterr().err.startswith("error: ")
    (tmp_path / "runs").write_text("a file where a folder should be")
    assert run(evaluate_main, "--data_path", tiny_dataset, "--features", tmp_path / "f.pkl") == shell.REFUSED
    assert "runs" in capsys.readouterr().err


@pytest.mark.slow  # trains
def test_a_training_that_ends_worse_than_guessing_is_of_no_use(tiny_dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("captioning_utils.encoders.encoder.build_encoder", lambda *arguments, **settings: ToyEncoder())
    arguments = ["--data_path", tiny_dataset, "--epochs", 1, "--min_count", 1, "--features", tmp_path / "f.pkl"]
    arguments += ["--model_path", tmp_path / "m.h5", "--learning_rate", 1e6]
    assert run(train_main, *arguments) == shell.REFUSED
    assert "worse than guessing words at random; lower --learning_rate" in capsys.readouterr().err


@pytest.mark.slow  # trains
def test_photos_of_another_dataset_in_the_same_cache_are_nobodys_fault(tiny_dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("captioning_utils.encoders.encoder.build_encoder", lambda *arguments, **settings: ToyEncoder())
    other = tmp_path / "other.png"
    other.write_text("torn")
    photos = {"other.png": other, "0.png": tiny_dataset / "Images" / "0.png"}
    extract_features(photos, ToyEncoder(), tmp_path / "f.pkl")
    arguments = ["--data_path", tiny_dataset, "--epochs", 1, "--min_count", 1, "--features", tmp_path / "f.pkl"]
    assert run(train_main, *arguments, "--model_path", tmp_path / "a.h5") == shell.OK
    (tiny_dataset / "Images" / "new.png").write_text("torn")
    with open(tiny_dataset / "captions.csv", "a") as table:
        table.write("\nnew.png,A torn photo .,train")
    assert run(train_main, *arguments, "--model_path", tmp_path / "b.h5") == shell.PARTLY


@pytest.fixture
def tiny_dataset(tmp_path):
    splits = [*["train"] * 4, "val", "test"] * 2
    return write_squares(tmp_path / "tiny", splits, ("red", "green", "blue"))


def test_train_then_generate(tiny_dataset, vgg16_weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["--data_path", tiny_dataset, "--epochs", 2, "--min_count", 1, "--model_path", "model.h5"]
    assert run(train_main, *arguments, "--log_dir", "logs") == shell.OK
    assert "model.h5: best after epoch" in capsys.readouterr().out
    assert list((tmp_path / "logs").rglob("events.out.tfevents.*"))  # TensorBoard's
    assert (tmp_path / "model.h5").is_file()
    assert list((tmp_path / "data" / "features").glob("tiny-*-vgg16-*.pkl"))
    arguments = ["--image_path", tiny_dataset / "Images", "--model_path", "model.h5"]
    assert run(generate_main, *arguments) == shell.OK
    assert len(capsys.readouterr().out.splitlines()) == 12


def test_features_of_another_encoder_are_refused(tiny_dataset, vgg16_weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["--data_path", tiny_dataset, "--epochs", 1, "--min_count", 1, "--features", tmp_path / "f.pkl"]
    assert run(train_main, *arguments) == shell.OK
    capsys.readouterr()
    assert run(train_main, *arguments, "--layer", "avg", "--model_path", "other.h5") == shell.REFUSED
    errors = capsys.readouterr().err
    assert "vgg16 grid " in errors
    assert "vgg16 avg " in errors
    assert not (tmp_path / "other.h5").exists()


def test_collapsed_captions_are_warned_about(capsys):
    dataset = SimpleNamespace(splits={"val": [str(number) for number in range(40)]})
    captioner = SimpleNamespace(caption_features=lambda rows: [[ScoredCaption("a dog", -1.0, -3.0)] for _ in rows])
    show_samples(captioner, dataset, RowFeatures(np.zeros((40, 3))))
    captured = capsys.readouterr()
    assert "1 different sentences for 40 photos" in captured.out
    assert "nearly every photo gets the same sentence" in captured.err


def test_the_package_lists_its_commands(capsys):
    assert package_main([]) == 0
    assert "quickstart" in capsys.readouterr().out
    assert package_main(["fly"]) == shell.REFUSED


def raising(error):
    def main(arguments):
        raise error

    return main


@pytest.mark.parametrize("arguments", [["--model_path", ""], ["--features="], [""]])
def test_an_empty_value_is_not_taken_for_the_default(capsys, arguments):
    called = []
    assert shell.run_command(called.append, ["--image_path", "a.jpg", *arguments]) == shell.REFUSED
    assert "has an empty value; give one, or leave the option out" in capsys.readouterr().err
    assert not called


def test_stopped_by_the_user(capsys):
    main = raising(KeyboardInterrupt)
    assert shell.run_command(main) == 130
    assert capsys.readouterr().err == "stopped\n"
    assert shell.run_command(shell.when_stopped("the same command goes on from here")(main)) == 130
    assert capsys.readouterr().err == "stopped; the same command goes on from here\n"


def test_a_defect_is_one_line_a_log_and_an_exit_code_of_its_own(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert shell.run_command(raising(ValueError("wrong\nfrom the start"))) == shell.DEFECT == 3
    message = "error: a defect of the package (ValueError: wrong from the start); please report it with "
    (log,) = (tmp_path / "captioning_utils" / "logs").iterdir()
    assert capsys.readouterr().err == f"{message}{log}\n"
    assert "Traceback (most recent call last)" in log.read_text()
    assert log.read_text().endswith("ValueError: wrong\nfrom the start\n")
    log.unlink()
    log.parent.rmdir()
    log.parent.write_text("a file where a folder should be")
    monkeypatch.setattr("tempfile.tempdir", str(log.parent))
    assert shell.run_command(raising(ValueError("wrong"))) == shell.DEFECT
    assert capsys.readouterr().err.startswith(
        "error: a defect of the package (ValueError: wrong) in test_cli.py, line "
    )


def test_too_little_memory_is_no_defect(capsys):
    assert shell.run_command(raising(MemoryError())) == shell.REFUSED
    assert capsys.readouterr().err.startswith("error: not enough memory")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other pipes")
def test_a_reader_that_has_seen_enough_is_no_error():
    count = "lambda arguments: [print(number, flush=True) for number in range(10**6)]"
    code = f"from captioning_utils.commands.shell import run_command; run_command({count})"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.stderr.read() == b""


def test_a_name_that_the_terminal_cannot_show_does_not_end_the_run(capsys):
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")  # as Linux gives a name in Latin-1
    assert shell.run_command(lambda arguments: print(name) or shell.OK) == shell.OK
    assert capsys.readouterr().out == "caf\\udce9.jpg\n"


@pytest.mark.parametrize(
    ("called", "program"),
    [
        ("/home/me/train.py", "python train.py"),
        ("/lib/captioning_utils/__main__.py", "python -m captioning_utils train"),
    ],
)
def test_help_shows_the_command_as_it_was_called(monkeypatch, called, program):
    monkeypatch.setattr("sys.argv", [called])
    text = build_train_parser().format_help()
    assert f"usage: {program} [options]" in text
    assert f"example: {program} --data_path" in text
