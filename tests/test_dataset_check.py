import json
import shutil

import numpy as np
import pytest
from PIL import Image, ImageDraw

from captioning_utils.__main__ import main
from captioning_utils.commands import shell
from captioning_utils.datasets import check_dataset
from captioning_utils.datasets.check_captions import MAX_WORDS, MIN_COUNT
from captioning_utils.scenes import draw_dataset


def draw_photo(path, seed, size=(120, 90), **options):
    """A picture of coloured shapes that no other seed has."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (240, 180), tuple(map(int, rng.integers(0, 256, 3))))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y, width, height = map(int, rng.integers(20, 160, 4))
        draw.ellipse((x - 20, y - 20, x + width, y + height), fill=tuple(map(int, rng.integers(0, 256, 3))))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.resize(size).save(path, **options)


def write_table(folder, rows):
    lines = ["image,caption,split", *(",".join(row) for row in rows)]
    (folder / "captions.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def words_for(number):
    """A caption of its own for each photo, of words that all of them share."""
    names = ("one", "two", "three", "four", "five", "six", "seven", "eight")
    return f"{names[number % 8]} and {names[number // 8 % 8]} dogs run"


@pytest.fixture
def folder(tmp_path):
    """A dataset without fault: 40 photos to train on, 30 to validate, 30 to test."""
    folder = tmp_path / "pets"
    rows = []
    for number in range(100):
        draw_photo(folder / "Images" / f"{number:03d}.jpg", number)
        split = "train" if number < 40 else "val" if number < 70 else "test"
        extra = f"{words_for(number)} in {split}"  # no photo of val has captions that are all in train
        rows += [(f"{number:03d}.jpg", text, split) for text in (words_for(number), extra)]
    write_table(folder, rows)
    return folder


def rows_of(folder):
    lines = (folder / "captions.csv").read_text(encoding="utf-8").splitlines()[1:]
    return [tuple(line.split(",")) for line in lines]


def found(report, level=None):
    return {finding.kind: finding for finding in report.findings if level in (None, finding.level)}


def test_nothing_to_say_about_a_good_dataset(folder):
    report = check_dataset(folder)
    assert found(report).keys() == {"few_train_photos"}
    assert report.verdict == "fine"
    assert report.layout == "a table with an image and a caption column (captions.csv)"
    assert report.split_source == "the caption file"
    assert report.photos == {"train": 40, "val": 30, "test": 30}
    assert report.captions == {"train": 80, "val": 60, "test": 60}


# ---- photos


def test_damaged_photos_are_named(folder):
    images = folder / "Images"
    content = (images / "000.jpg").read_bytes()
    (images / "000.jpg").write_bytes(content[: len(content) // 2])
    (images / "001.jpg").write_bytes(b"")
    (images / "002.jpg").write_text("<html>not found</html>")
    report = check_dataset(folder)
    assert found(report, "look")["unreadable_photos"].examples == ["000.jpg", "001.jpg", "002.jpg"]
    assert report.verdict == "look"
    assert "unreadable_photos" not in found(check_dataset(folder, open_photos=False))


def test_missing_unused_tiny_and_long_photos(folder):
    (folder / "Images" / "002.jpg").rename(folder / "Images" / "spare.jpg")
    draw_photo(folder / "Images" / "000.jpg", 0, size=(40, 30))
    draw_photo(folder / "Images" / "001.jpg", 1, size=(400, 100))
    report = check_dataset(folder)
    assert found(report, "look")["missing_photos"].count == 1
    assert found(report, "note")["photos_without_caption"].count == 1
    assert found(report)["small_photos"].examples == ["000.jpg"]
    assert found(report)["long_photos"].examples == ["001.jpg"]


def test_the_same_file_twice_and_in_two_splits(folder):
    images = folder / "Images"
    shutil.copy(images / "000.jpg", images / "001.jpg")  # both in train
    shutil.copy(images / "002.jpg", images / "050.jpg")  # train and val
    report = check_dataset(folder)
    assert found(report, "note")["same_photos"].examples == ["'000.jpg' = '001.jpg'", "'002.jpg' = '050.jpg'"]
    assert found(report, "look")["leaking_photos"].examples == ["'002.jpg' (train) = '050.jpg' (val)"]
    assert "similar_photos" not in found(report)


def test_the_same_picture_saved_again_is_found(folder):
    images = folder / "Images"
    draw_photo(images / "050.jpg", 3, size=(240, 180), quality=30)  # photo 3, larger and in worse quality
    draw_photo(images / "051.jpg", 4, size=(96, 72), format="PNG")  # photo 4, smaller and in another format
    report = check_dataset(folder)
    assert found(report)["similar_photos"].examples == ["'003.jpg' = '050.jpg'", "'004.jpg' = '051.jpg'"]
    assert found(report, "look")["leaking_photos"].count == 2


def test_pictures_that_differ_in_a_small_thing_are_two(folder):
    images = folder / "Images"
    with Image.open(images / "000.jpg") as image:
        image = image.copy()
    ImageDraw.Draw(image).rectangle((0, 0, 20, 20), fill="red" if image.getpixel((10, 10))[0] < 128 else "black")
    image.save(images / "001.jpg")
    Image.new("RGB", (120, 90), (200, 200, 200)).save(images / "002.jpg")  # blank pages are no picture
    Image.new("RGB", (121, 90), (200, 200, 200)).save(images / "003.jpg")
    assert "similar_photos" not in found(check_dataset(folder))


# ---- splits


@pytest.mark.parametrize("split", ["train", "val"])
def test_nothing_to_train_or_validate_on(folder, split):
    rows = rows_of(folder)
    for name, _, its_split in rows:
        if its_split == split:
            (folder / "Images" / name).write_bytes(b"")
    assert f"no photo in {split} that can be read" in found(check_dataset(folder), "unusable")[f"no_{split}"].text
    write_table(folder, [row for row in rows if row[2] != split])
    report = check_dataset(folder)
    assert found(report, "unusable").keys() == {f"no_{split}"}
    assert report.verdict == "unusable"


def test_few_or_no_photos_to_score_on(folder):
    rows = [row for row in rows_of(folder) if row[2] != "test"]
    write_table(folder, rows)
    assert "no_test" in found(check_dataset(folder), "note")
    write_table(folder, rows[: 2 * 45])
    assert found(check_dataset(folder), "note")["few_val_photos"].count == 5


def test_a_photo_in_two_splits_cannot_be_loaded(folder, tmp_path):
    write_table(folder, [*rows_of(folder), ("000.jpg", "a dog", "test")])
    report = check_dataset(folder)
    assert report.verdict == "unusable"
    assert "is in two splits" in found(report)["not_loaded"].text
    assert check_dataset(tmp_path / "nothing").verdict == "unusable"


# ---- captions


def replace_captions(folder, captions, first=0):
    rows = rows_of(folder)
    for number, caption in enumerate(captions):
        rows[first + 2 * number] = (rows[first + 2 * number][0], caption, rows[first + 2 * number][2])
    write_table(folder, rows)


def test_captions_that_teach_nothing(folder):
    replace_captions(folder, ["", "!", "dog", "a dog " * MAX_WORDS])
    report = check_dataset(folder)
    assert found(report, "look")["empty_captions"].count == 1
    assert found(report, "look")["captions_without_word"].examples == ["001.jpg"]
    assert found(report, "note")["short_captions"].examples == ["002.jpg"]
    assert found(report, "look")["long_captions"].examples == ["003.jpg"]


@pytest.mark.parametrize(("split", "level"), [("train", "unusable"), ("val", "unusable"), ("test", "note")])
def test_a_split_whose_captions_hold_no_word(folder, split, level):
    write_table(folder, [(name, "..." if its == split else text, its) for name, text, its in rows_of(folder)])
    report = check_dataset(folder, open_photos=False)
    assert found(report, level)[f"no_words_in_{split}"].text == f"no caption of the {split} split holds a word"


def test_odd_characters_are_found_and_other_languages_are_not_odd(folder):
    odd = ["a cafÃ© with dogs", "two \ufffd dogs", "two \x01 dogs", "the dogâ€™s ball"]
    replace_captions(folder, [*odd, "el niño corre", "ein schöner Hund – “gut”", "一只狗", "a 🐕 runs", "dog’s ball"])
    finding = found(check_dataset(folder, open_photos=False), "look")["odd_characters"]
    assert (finding.count, finding.examples) == (4, odd)


def test_a_script_without_spaces_is_told(folder):
    write_table(folder, [(name, "一只狗在草地上奔跑", split) for name, _, split in rows_of(folder)])
    assert "written without spaces" in found(check_dataset(folder, open_photos=False), "look")["no_spaces"].text
    write_table(folder, [(name, "一只 狗 在 草地 上 奔跑", split) for name, _, split in rows_of(folder)])
    assert "no_spaces" not in found(check_dataset(folder, open_photos=False))


def test_html_is_told(folder):
    replace_captions(folder, ["a man&#39;s dog &amp; cat", "a dog<br>runs", "AT&T", "1 < 2 > 0"])
    assert found(check_dataset(folder, open_photos=False), "note")["html_captions"].count == 2


def test_one_caption_a_photo(folder):
    rows = rows_of(folder)
    write_table(folder, rows[::2])
    assert found(check_dataset(folder), "note")["one_caption_photos"].text == "every photo has a single caption"
    write_table(folder, rows[1:])
    assert found(check_dataset(folder), "note")["one_caption_photos"].text == "1 photo with a single caption"


def test_the_same_caption_again_and_again_and_rare_words(folder):
    replace_captions(folder, ["a picture of dogs"] * 20)
    report = check_dataset(folder, open_photos=False)
    assert found(report, "look")["same_captions"].count == 20
    replace_captions(folder, [f"w{number}a w{number}b w{number}c w{number}d" for number in range(30)])
    assert found(check_dataset(folder, open_photos=False), "look")["rare_words"].count == 120
    replace_captions(folder, [rows_of(folder)[1][1]])  # photo 0 has the same caption twice now
    assert found(check_dataset(folder, open_photos=False), "note")["repeated_captions"].count == 1


def test_captions_that_are_all_in_train(folder):
    known = [row[1] for row in rows_of(folder)[:2]]
    replace_captions(folder, known[:1], first=80)
    replace_captions(folder, known[1:], first=81)
    assert found(check_dataset(folder, open_photos=False), "note")["leaking_captions"].examples == ["040.jpg"]
    replace_captions(folder, known[:1] * 30, first=80)
    replace_captions(folder, known[1:] * 30, first=81)
    assert found(check_dataset(folder, open_photos=False), "look")["leaking_captions"].count == 30


def test_the_limits_are_those_of_training():
    from captioning_utils.settings import TrainingConfig

    assert (TrainingConfig().max_words, TrainingConfig().min_count) == (MAX_WORDS, MIN_COUNT)


# ---- real data, and the command


def test_drawn_scenes_have_nothing_to_mend(tmp_path):
    draw_dataset(tmp_path / "drawn", num_scenes=60)
    report = check_dataset(tmp_path / "drawn")
    assert found(report, "unusable") == {}
    assert found(report).keys().isdisjoint({"same_photos", "similar_photos", "leaking_photos", "odd_characters"})


def test_the_command(folder, tmp_path, capsys):
    assert main(["check", str(folder)]) == shell.OK
    (folder / "Images" / "000.jpg").write_bytes(b"")
    capsys.readouterr()
    assert main(["check", str(folder), "--skip_photos", "--captions", "captions.csv"]) == shell.OK
    captured = capsys.readouterr()
    assert "Nothing to mend was found." in captured.out
    assert "opening" not in captured.err
    assert main(["check", str(folder), "--json", str(tmp_path / "out.json")]) == shell.PARTLY
    assert "worth a look: 1 photo cannot be read: '000.jpg'" in capsys.readouterr().out
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["verdict"] == "look"
    assert written["findings"][0]["kind"] == "unreadable_photos"
    assert main(["check", str(tmp_path / "nothing")]) == shell.REFUSED
    assert "cannot be trained on" in capsys.readouterr().out
