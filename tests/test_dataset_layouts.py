"""Datasets as people have them on their disks: folders of other names, several files, names in another form."""

import json
import unicodedata

import pytest
from PIL import Image
from test_datasets import (
    NAMES,
    coco,
    expected_captions,
    kaggle_rows,
    karpathy,
    table,
    token_lines,
    touch,
    write,
    write_official_split,
)
from toys import run

from captioning_utils import InputError, load_dataset
from captioning_utils.commands.data import check_main
from captioning_utils.commands.evaluate import evaluate_main
from captioning_utils.commands.self_critical import self_critical_main
from captioning_utils.commands.shell import REFUSED
from captioning_utils.commands.train import train_main

SIX_TWO_TWO = {"train": NAMES[:6], "val": NAMES[6:8], "test": NAMES[8:]}


# ---- layouts


@pytest.mark.parametrize("how", ["folder", "file"])
@pytest.mark.parametrize("texts", ["Flickr_TextData", "somewhere"])
def test_flickr8k_with_its_texts_in_a_folder_of_another_name(tmp_path, texts, how):
    touch(tmp_path / "Images", NAMES)
    file = write(tmp_path / texts / "Flickr8k.token.txt", token_lines())
    write_official_split(tmp_path / texts)
    dataset = load_dataset(tmp_path if how == "folder" else file)
    assert dataset.name == tmp_path.name
    assert dataset.captions == expected_captions()
    assert dataset.splits == SIX_TWO_TWO


@pytest.mark.parametrize("how", ["folder", "file"])
def test_karpathys_layout_of_other_datasets(tmp_path, how):
    touch(tmp_path / "RSICD_images", NAMES)
    splits = ["train"] * 6 + ["val"] * 2 + ["test"] * 2
    file = write(tmp_path / "dataset_rsicd.json", karpathy(NAMES, splits))
    dataset = load_dataset(tmp_path if how == "folder" else file)
    assert dataset.image_paths["0.jpg"] == tmp_path / "RSICD_images" / "0.jpg"
    assert dataset.splits == SIX_TWO_TWO


@pytest.mark.parametrize("name", ["captions_{}2017.json", "{}.json", "annotations/captions_{}.json", "{}_set.csv"])
def test_a_caption_file_for_each_split(tmp_path, name):
    touch(tmp_path / "photos", NAMES)
    for first_id, (word, names) in enumerate(zip(("train", "val", "test"), SIX_TWO_TWO.values(), strict=True)):
        content = table(kaggle_rows(names)) if name.endswith("csv") else coco(names, 100 * first_id)
        write(tmp_path / name.format(word), content)
    dataset = load_dataset(tmp_path)
    assert dataset.captions == expected_captions()
    assert dataset.splits == SIX_TWO_TWO
    assert dataset.split_source == "the caption files"


def test_test_photos_without_published_captions_are_no_test_split(tmp_path):
    touch(tmp_path / "photos", NAMES)
    write(tmp_path / "train.json", coco(NAMES[:6]))
    write(tmp_path / "val.json", coco(NAMES[6:], 100))
    write(tmp_path / "test.json", {"images": [{"id": 7, "file_name": "x.jpg"}]})
    assert [len(each) for each in load_dataset(tmp_path).splits.values()] == [6, 2, 2]


def test_coco_with_photos_of_val_only(tmp_path):
    names = [f"{number:012}.jpg" for number in range(20)]
    touch(tmp_path / "val2017", names[10:])
    for part, some, first_id in (("train", names[:10], 0), ("val", names[10:], 100)):
        content = {"images": [], "annotations": []}
        for number, name in enumerate(some, first_id):
            content["images"].append({"id": number, "file_name": name})
            content["annotations"].append({"image_id": number, "caption": "A dog"})
        write(tmp_path / "annotations" / f"captions_{part}2017.json", content)
    dataset = load_dataset(tmp_path)
    assert [len(each) for each in dataset.splits.values()] == [8, 1, 1]
    assert dataset.split_source.startswith("only photos of val are there, so drawn at random")
    assert dataset.notes["missing_photos"].count == 10


def test_karpathys_file_of_2014_with_the_photos_of_2017(tmp_path):
    names = [f"COCO_val2014_{number:012}.jpg" for number in range(10)]
    touch(tmp_path / "train2017", [name[-16:] for name in names[:5]])
    touch(tmp_path / "val2017", [name[-16:] for name in names[5:]])
    images = [
        {"filename": name, "filepath": "val2014", "split": "test", "sentences": [{"raw": "A dog"}]} for name in names
    ]
    write(tmp_path / "dataset_coco.json", {"images": images})
    dataset = load_dataset(tmp_path)
    assert dataset.splits["test"] == names
    assert dataset.image_paths[names[0]] == tmp_path / "train2017" / "000000000000.jpg"
    assert dataset.problems == ("10 photos found by another form of the name: 10 under the name of another COCO year",)


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_an_image_folder_of_hugging_face(tmp_path, kind):
    def metadata(names):
        if kind == "csv":
            return table((f"{name},A dog" for name in names), "file_name,text")
        return "".join(json.dumps({"file_name": name, "text": "A dog", "width": 9}) + "\n" for name in names)

    touch(tmp_path / "top", NAMES)
    write(tmp_path / "top" / f"metadata.{kind}", metadata(NAMES))
    assert load_dataset(tmp_path / "top").captions == {name: ["A dog"] for name in NAMES}
    by_folder = [f"{folder}/{name}" for folder in ("train", "validation", "test") for name in NAMES[:3]]
    for folder in ("train", "validation", "test"):
        touch(tmp_path / "split" / folder, NAMES[:3])
        touch(tmp_path / "named" / folder, NAMES[:3])
        write(tmp_path / "split" / folder / f"metadata.{kind}", metadata(NAMES[:3]))
    write(tmp_path / "named" / f"metadata.{kind}", metadata(by_folder))
    for root in ("split", "named"):
        dataset = load_dataset(tmp_path / root)
        assert sorted(dataset.captions) == sorted(by_folder)
        assert dataset.splits["val"] == [f"validation/{name}" for name in NAMES[:3]]
        assert dataset.image_paths["test/0.jpg"] == tmp_path / root / "test" / "0.jpg"


@pytest.mark.parametrize("name", ["captions.csv", "captions.txt", "captions.json", "_annotations.coco.json"])
@pytest.mark.parametrize("photos", ["", "images"])
@pytest.mark.parametrize("numbered", ["apart", "anew"])
def test_a_caption_file_in_the_folder_of_each_split(tmp_path, name, photos, numbered):
    splits = {"train": NAMES[:6], "valid": NAMES[6:8], "test": NAMES[8:]}
    if numbered == "anew":
        splits = {"train": NAMES[:6], "valid": NAMES[:2], "test": NAMES[:2]}
    for folder, names in splits.items():
        touch(tmp_path / folder / photos, names)
        write(tmp_path / folder / name, coco(names) if name.endswith("json") else table(kaggle_rows(names)))
    dataset = load_dataset(tmp_path)
    assert [len(each) for each in dataset.splits.values()] == [6, 2, 2]
    assert dataset.split_source == "the caption files"
    assert dataset.captions["valid/1.jpg" if numbered == "anew" else "valid/6.jpg"][1] == "Grass"
    assert dataset.image_paths["train/0.jpg"] == tmp_path / "train" / photos / "0.jpg"
    assert dataset.problems == ()


@pytest.mark.parametrize("place", ["photos", "Images"])
def test_a_caption_file_in_the_folder_of_each_split_and_photos_elsewhere(tmp_path, place):
    touch(tmp_path / place, NAMES)
    for folder, names in SIX_TWO_TWO.items():
        write(tmp_path / folder / "captions.csv", table(kaggle_rows(names)))
    dataset = load_dataset(tmp_path, images=tmp_path / place)
    assert dataset.image_paths["val/6.jpg"] == tmp_path / place / "6.jpg"
    assert [len(each) for each in dataset.splits.values()] == [6, 2, 2]


def test_a_missing_photo_is_not_that_of_another_split(tmp_path):
    for folder in ("train", "val", "test"):
        touch(tmp_path / folder, NAMES[:2] if folder == "train" else NAMES[:1])
        write(tmp_path / folder / "captions.csv", table(kaggle_rows(NAMES[:2])))
    assert sorted(load_dataset(tmp_path).captions) == ["test/0.jpg", "train/0.jpg", "train/1.jpg", "val/0.jpg"]


def test_caption_files_in_several_folders_need_a_choice(tmp_path):
    for folder in ("cats", "dogs"):
        touch(tmp_path / folder, NAMES)
        write(tmp_path / folder / "captions.csv", table(kaggle_rows()))
    with pytest.raises(
        InputError, match=r"several caption files in .*'cats/captions\.csv', 'dogs/captions\.csv'; give"
    ):
        load_dataset(tmp_path)


def test_a_dataset_in_a_folder_of_its_own(tmp_path):
    inner = tmp_path / "unpacked" / "data"
    touch(inner / "Images", NAMES)
    touch(tmp_path / "unpacked" / "__MACOSX", ["._data"])
    touch(tmp_path / "unpacked", [".DS_Store"])
    write(inner / "Flickr_TextData" / "Flickr8k.token.txt", token_lines())
    assert load_dataset(tmp_path / "unpacked").name == "data"


@pytest.mark.parametrize("folder", ["", "Images/", "train/"])
def test_a_text_file_beside_each_photo(tmp_path, folder):
    touch(tmp_path / folder, [*NAMES, "alone.jpg"])
    for name in NAMES:
        write(tmp_path / folder / f"{name[0]}.txt", f"A dog , number {name[0]} .\n\nGrass\n")
    dataset = load_dataset(tmp_path)
    assert dataset.captions == {f"{folder}{name}": captions for name, captions in expected_captions().items()}
    assert dataset.problems == ("1 photo without caption left out: 'alone.jpg'",)


def test_objects_with_lists_of_captions(tmp_path):
    touch(tmp_path, NAMES)
    content = [{"image": name, "captions": ["A dog", None, "Grass"], "split": "train"} for name in NAMES]
    dataset = load_dataset(write(tmp_path / "mine.json", content))
    assert dataset.captions["0.jpg"] == ["A dog", "Grass"]
    assert len(dataset.splits["train"]) == 10
    for bad in ([{"image": "0.jpg"}], [7], [{"image": "0.jpg", "caption": 7}], [{"image": 7, "caption": "A dog"}]):
        with pytest.raises(InputError, match=r"mine\.json, entry 1"):
            load_dataset(write(tmp_path / "mine.json", bad))
    with pytest.raises(InputError, match=r"mine\.jsonl, line 2 is not valid JSON"):
        load_dataset(write(tmp_path / "mine.jsonl", '{"image": "0.jpg", "caption": "A dog"}\n{\n'))


def test_one_empty_caption_does_not_refuse_cocos_file(tmp_path):
    touch(tmp_path, NAMES)
    content = coco(NAMES)
    content["annotations"][0]["caption"] = None
    del content["annotations"][2]["caption"]
    dataset = load_dataset(write(tmp_path / "x.json", content))
    assert dataset.captions["0.jpg"] == ["Grass"]
    assert dataset.problems == ("2 empty captions left out, of '0.jpg', '1.jpg'",)


def test_captions_by_photo(tmp_path):
    touch(tmp_path / "Images", NAMES)
    for cut in (0, 4):  # with the ending, and without
        content = {name[: len(name) - cut]: captions for name, captions in expected_captions().items()}
        dataset = load_dataset(write(tmp_path / "mine.json", content))
        assert list(dataset.captions.values()) == list(expected_captions().values())
    write(tmp_path / "mine.json", {"0.jpg": "A dog", "1.jpg": ["A cat", None]})
    assert load_dataset(tmp_path).captions == {"0.jpg": ["A dog"], "1.jpg": ["A cat"]}


def test_one_empty_caption_does_not_refuse_karpathys_file(tmp_path):
    touch(tmp_path, NAMES)
    content = karpathy(NAMES, ["train"] * 10)
    content["images"][0]["sentences"][0] = {"raw": None, "tokens": []}
    content["images"][1]["sentences"] = None
    dataset = load_dataset(write(tmp_path / "dataset_x.json", content))
    assert dataset.captions["0.jpg"] == ["Grass"]
    assert dataset.notes["empty_captions"].text == "2 empty captions left out, of '0.jpg', '1.jpg'"


@pytest.mark.parametrize("name", ["archive.zip", "captions.csv"])
def test_an_archive_is_told_to_be_unpacked(tmp_path, name):
    with pytest.raises(InputError, match="it is a zip archive or a spreadsheet; unpack it and give the folder"):
        load_dataset(write(tmp_path / name, b"PK\3\4\x14\0\xff\xfe"))
    for start, kind in ((b"Rar!\x1a\x07\xff", "compressed; unpack it"), (b"\x80\x04\x95", "a pickle, which could run")):
        with pytest.raises(InputError, match=kind):
            load_dataset(write(tmp_path / name, start))


@pytest.mark.parametrize("name", ["captions.jsonl", "0.txt", "Flickr_8k.trainImages.txt"])
def test_what_is_not_text_is_refused_in_every_layout(tmp_path, name):
    touch(tmp_path, ["0.jpg", "1.jpg"])
    if name.startswith("Flickr"):
        write(tmp_path / "captions.csv", table(["0.jpg,A dog", "1.jpg,A cat"]))
        for split in ("train", "dev", "test"):
            write(tmp_path / f"Flickr_8k.{split}Images.txt", "0.jpg")
    write(tmp_path / name, b"A caf\xe9")
    with pytest.raises(InputError, match=f"{name} is not text in UTF-8; save it as UTF-8"):
        load_dataset(tmp_path)


# ---- names in another form


@pytest.mark.parametrize(
    ("name", "file", "how"),
    [
        ("café.jpg", unicodedata.normalize("NFD", "café.jpg"), "in another form of Unicode"),
        ("a.jpg", "A.JPG", "in other upper and lower case"),
        ("a", "a.jpg", "with another ending"),
        ("a.jpeg", "a.PNG", "with another ending"),
        ("a.jpg", "a", "with another ending"),
        ("cats/a.JPG", "cats/a.jpg", "in other upper and lower case"),
        ("Cats/Grey/a.jpg", "cats/grey/a.jpg", "in other upper and lower case"),
        ("café/a.jpg", unicodedata.normalize("NFD", "café/a.jpg"), "in another form of Unicode"),
    ],
)
def test_names_that_differ_only_in_form(tmp_path, name, file, how):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    touch(tmp_path, [file, "b.jpg"])
    dataset = load_dataset(write(tmp_path / "captions.csv", table([f"{name},A dog", "b.jpg,A cat"])).parent)
    assert dataset.image_paths == {name: tmp_path / file, "b.jpg": tmp_path / "b.jpg"}
    assert dataset.problems == (f"1 photo found by another form of the name: 1 {how}",)


def test_exact_names_come_first_and_no_photo_comes_twice(tmp_path):
    touch(tmp_path, ["a.jpg", "A.JPG", "b.jpg", "c.png", "c.webp", "notes.txt"])
    rows = [f"{name},A dog" for name in ("a.jpg", "A.JPG", "B.jpg", "B.JPG", "c", "notes")]
    dataset = load_dataset(write(tmp_path / "captions.csv", table(rows)).parent)
    assert {name: path.name for name, path in dataset.image_paths.items()} == {
        "a.jpg": "a.jpg",
        "A.JPG": "A.JPG",
        "B.jpg": "b.jpg",
    }
    assert dataset.notes["missing_photos"].text.endswith("'B.JPG', 'notes'")
    text = dataset.notes["unclear_names"].text
    assert text.startswith("1 name left out, because several photos fit: 'c' (")
    assert "c.png" in text


def test_a_name_that_two_folders_have_is_left_out(tmp_path):
    for folder in ("cats", "dogs"):
        touch(tmp_path / folder, ["1.jpg", f"{folder}.jpg"])
    rows = ["1.jpg,A pet", "cats.jpg,A cat", "dogs.jpg,A dog"]
    dataset = load_dataset(write(tmp_path / "captions.csv", table(rows)).parent)
    assert sorted(dataset.image_paths) == ["cats.jpg", "dogs.jpg"]
    assert "'1.jpg'" in dataset.notes["unclear_names"].text


# ---- the shell


@pytest.mark.parametrize("main", [check_main, train_main, evaluate_main, self_critical_main])
def test_every_command_that_reads_a_dataset_takes_photos_and_captions_from_elsewhere(
    tmp_path, monkeypatch, capsys, main
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    write(tmp_path / "texts" / "mine.csv", table(["0.jpg,A dog"]))
    data = [] if main is check_main else ["--data_path"]
    more = ["--start_from", "flickr8k_merge"] if main is self_critical_main else []
    code = run(main, *data, tmp_path / "texts" / "mine.csv", *more)
    captured = capsys.readouterr()
    assert code == REFUSED
    assert "give the photo folder with --images" in " ".join((captured.out + captured.err).split())
    Image.new("RGB", (90, 90)).save(tmp_path / "photos" / "0.jpg")
    given = ["--images", tmp_path / "photos", "--captions", tmp_path / "texts" / "mine.csv"]
    assert run(main, *data, tmp_path, *given, *more) == REFUSED  # one photo is no dataset, and it was found
    captured = capsys.readouterr()
    assert "1 photo" in captured.out
