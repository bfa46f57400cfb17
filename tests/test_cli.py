import csv
import json

import pytest
from PIL import Image

from captioning_utils import cli
from captioning_utils.__main__ import main as package_main


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, colour in (("b.png", "green"), ("a.jpg", "navy")):
        Image.new("RGB", (300, 200), colour).save(folder / name)
    return folder


def run(main, *arguments):
    return cli.run_command(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("main", [cli.train_main, cli.generate_main, cli.evaluate_main])
def test_help_teaches(main, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "example: python" in text
    assert "exit codes" in text
    assert "(default: None)" not in text


def test_the_options_that_similar_projects_have_are_there():
    train = cli._train_parser().parse_args(
        "--data_path d --model_path m.h5 --epochs 3 --batch_size 8 --learning_rate 0.01 --save_every 2 --encoder "
        "resnet50 --decoder merge --features f.pkl --seed 4".split()
    )
    assert (train.epochs, train.save_every, train.learning_rate) == (3, 2, 0.01)
    generate = cli._generate_parser().parse_args(
        "--image_path a.jpg b.jpg --model_path m.h5 --max_length 9 --beam_size 4 --temperature 0.5".split()
    )
    assert (generate.image_path, generate.beam_size, generate.temperature) == (["a.jpg", "b.jpg"], 4, 0.5)


def test_generate_prints_a_sentence_a_photo(photos, vgg16_weights, capsys):
    assert run(cli.generate_main, "--image_path", photos) == cli.OK
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [str(photos / "a.jpg"), str(photos / "b.png")]
    assert all(len(line.split(": ")[1].split()) >= 2 for line in lines)


@pytest.mark.parametrize("suffix", ["json", "csv"])
def test_generate_writes_a_table(photos, vgg16_weights, tmp_path, suffix):
    out = tmp_path / f"captions.{suffix}"
    assert run(cli.generate_main, "--image_path", photos, "--out", out, "--num_captions", 2, "--beam_size", 1) == cli.OK
    rows = json.loads(out.read_text()) if suffix == "json" else list(csv.DictReader(out.open()))
    assert [row["image"] for row in rows] == [str(photos / name) for name in ("a.jpg", "a.jpg", "b.png", "b.png")]
    assert float(rows[0]["score"]) >= float(rows[1]["score"])


def test_an_unreadable_photo_is_named_and_the_rest_is_done(photos, vgg16_weights, capsys):
    (photos / "c.jpg").write_text("this is no photo")
    (photos / "d.jpg").write_bytes(b"")
    assert run(cli.generate_main, "--image_path", photos) == cli.PARTLY
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 2
    assert "c.jpg" in captured.err
    assert "d.jpg" in captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image_path", "nothing_here.jpg"], "nothing_here.jpg"),
        (["--image_path", "{photos}", "--model_path", "nothing_here.h5"], "nothing_here.h5"),
        (["--image_path", "{photos}", "--model_path", "{photos}/a.jpg"], "a.jpg"),
        (["--image_path", "{photos}", "--beam_size", "0"], "beam_size is 0"),
        (["--image_path", "{photos}", "--temperature", "0"], "temperature is 0"),
    ],
)
def test_generate_refuses_in_one_line(photos, vgg16_weights, capsys, arguments, message):
    arguments = [argument.format(photos=photos) for argument in arguments]
    assert run(cli.generate_main, *arguments) == cli.REFUSED
    errors = capsys.readouterr().err
    assert message in errors
    assert len(errors.splitlines()) == 1
    assert errors.startswith("error: ")


def test_generate_refuses_another_ending_before_the_work(photos, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.generate_main(["--image_path", str(photos), "--out", "captions.txt"])
    assert stop.value.code == cli.REFUSED
    assert "captions.txt" in capsys.readouterr().err


@pytest.fixture
def tiny_dataset(tmp_path):
    folder = tmp_path / "tiny"
    (folder / "images").mkdir(parents=True)
    rows = ["image,caption,split"]
    for number, colour in enumerate(["red", "green", "blue"] * 4):
        Image.new("RGB", (64, 48), colour).save(folder / "images" / f"{number}.png")
        split = "val" if number % 6 == 4 else "test" if number % 6 == 5 else "train"
        rows += [f"{number}.png,A {colour} square .,{split}", f"{number}.png,This is {colour} .,{split}"]
    (folder / "captions.csv").write_text("\n".join(rows))
    return folder


def test_train_then_generate(tiny_dataset, vgg16_weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["--data_path", tiny_dataset, "--epochs", 2, "--min_count", 1, "--model_path", "model.h5"]
    assert run(cli.train_main, *arguments, "--log_dir", "logs") == cli.OK
    assert "model.h5: best after epoch" in capsys.readouterr().out
    assert list((tmp_path / "logs").rglob("events.out.tfevents.*"))  # TensorBoard's
    assert (tmp_path / "model.h5").is_file()
    assert list((tmp_path / "data" / "features").glob("tiny-*-vgg16-*.pkl"))
    assert run(cli.generate_main, "--image_path", tiny_dataset / "images", "--model_path", "model.h5") == cli.OK
    assert len(capsys.readouterr().out.splitlines()) == 12


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda folder: (folder / "captions.csv").write_text(""), "empty"),
        (lambda folder: (folder / "captions.csv").write_text("image,words\n0.png,A red square\n"), "words"),
        (lambda folder: (folder / "captions.csv").write_text("image,caption\nnone.png,A red square\n"), "photo"),
        (lambda folder: (folder / "captions.csv").unlink(), "tiny"),
    ],
)
def test_train_refuses_a_broken_dataset_and_writes_nothing(tiny_dataset, tmp_path, monkeypatch, capsys, edit, message):
    monkeypatch.chdir(tmp_path)
    edit(tiny_dataset)
    assert run(cli.train_main, "--data_path", tiny_dataset, "--model_path", "model.h5") == cli.REFUSED
    errors = capsys.readouterr().err
    assert errors.startswith("error: ")
    assert message in errors
    assert not (tmp_path / "model.h5").exists()


def test_features_of_another_encoder_are_refused(tiny_dataset, vgg16_weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["--data_path", tiny_dataset, "--epochs", 1, "--min_count", 1, "--features", tmp_path / "f.pkl"]
    assert run(cli.train_main, *arguments) == cli.OK
    capsys.readouterr()
    assert run(cli.train_main, *arguments, "--layer", "avgmax", "--model_path", "other.h5") == cli.REFUSED
    errors = capsys.readouterr().err
    assert "vgg16 grid " in errors
    assert "vgg16 avgmax " in errors
    assert not (tmp_path / "other.h5").exists()


def test_collapsed_captions_are_warned_about(capsys):
    class Collapsed:
        def caption_features(self, features):
            from captioning_utils.captioner import ScoredCaption

            return [[ScoredCaption("a dog", -1.0, -3.0)] for _ in features]

    class Dataset:
        splits = {"val": [str(number) for number in range(40)]}  # noqa: RUF012

    class Features(dict):
        def get(self, image_ids):
            return image_ids

    cli.show_samples(Collapsed(), Dataset(), Features.fromkeys(Dataset.splits["val"]))
    captured = capsys.readouterr()
    assert "1 different sentences for 40 photos" in captured.out
    assert "nearly every photo gets the same sentence" in captured.err


def test_the_package_lists_its_commands(capsys):
    assert package_main([]) == 0
    assert "quickstart" in capsys.readouterr().out
    assert package_main(["fly"]) == cli.REFUSED


def test_stopped_by_the_user(capsys):
    def main(arguments):
        raise KeyboardInterrupt

    assert cli.run_command(main) == 130
    assert "goes on" in capsys.readouterr().err


def test_a_defect_is_not_dressed_up_as_bad_input():
    def main(arguments):
        raise ValueError("a defect")

    with pytest.raises(ValueError, match="a defect"):
        cli.run_command(main)
