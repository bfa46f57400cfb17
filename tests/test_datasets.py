"""Every layout as a tiny tree on disk, hostile files, and the real datasets where they are there."""

import itertools
import json
import random
from pathlib import Path

import pytest

from captioning_utils import InputError
from captioning_utils.datasets import CaptionDataset, load_dataset

SHARED = Path(__file__).parents[2] / "shared"
NAMES = [f"{number}.jpg" for number in range(10)]


def write(path, content, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str | bytes) else json.dumps(content)
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


def touch(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def expected_captions(names=NAMES):
    return {name: [f"A dog , number {name[0]} .", "Grass"] for name in names}


def table(rows, header="image,caption"):
    return "\n".join([header, *rows]) + "\n"


def kaggle_rows(names=NAMES):
    return [row for name in names for row in (f'{name},"A dog , number {name[0]} ."', f"{name},Grass")]


def token_lines(names=NAMES):
    return "".join(f"{name}#0\tA dog , number {name[0]} .\n{name}#1\tGrass\n" for name in names)


def write_official_split(folder, train=NAMES[:6], val=NAMES[6:8], test=NAMES[8:]):
    for name, members in (("train", train), ("dev", val), ("test", test)):
        write(folder / f"Flickr_8k.{name}Images.txt", "\n".join(members) + "\n")


def coco(names, first_id=0):
    ids = {name: first_id + index for index, name in enumerate(names)}
    annotations = [
        {"image_id": ids[name], "id": 1, "caption": caption + " \n"}
        for name in names
        for caption in expected_captions(names)[name]
    ]
    return {"images": [{"id": ids[name], "file_name": name} for name in names], "annotations": annotations}


def karpathy(names, splits, folder=None):
    images = [
        {"filename": name, "split": split, "sentences": [{"raw": text} for text in expected_captions()[name[-5:]]]}
        for name, split in zip(names, splits, strict=True)
    ]
    return {"images": [{**image, "filepath": folder} if folder else image for image in images], "dataset": "tiny"}


@pytest.fixture
def own(tmp_path):
    """A folder with ten photos in Images/ and a function that writes its captions.csv."""
    touch(tmp_path / "Images", NAMES)
    return lambda text, **options: write(tmp_path / "captions.csv", text, **options).parent


@pytest.mark.parametrize(
    ("photos", "file", "content"),
    [
        ("Images", "captions.txt", table(kaggle_rows())),
        ("flickr30k-images", "results_20130124.token", token_lines()),
        ("train2017", "annotations/captions_train2017.json", coco(NAMES)),
        ("images/train2017", "annotations/captions_train2017.json", coco(NAMES)),
    ],
)
def test_published_layouts_without_a_split(tmp_path, photos, file, content):
    touch(tmp_path / photos, NAMES)
    file = write(tmp_path / file, content)
    dataset = load_dataset(tmp_path)
    assert dataset.name == tmp_path.name
    assert dataset.captions == expected_captions()
    assert dataset.image_paths == {name: tmp_path / photos / name for name in NAMES}
    assert [len(dataset.splits[split]) for split in ("train", "val", "test")] == [8, 1, 1]
    assert dataset.problems == ()
    assert load_dataset(file).captions == dataset.captions


@pytest.mark.parametrize("photo_folder", ["Flicker8k_Dataset", "Flickr8k_Dataset/Flicker8k_Dataset", "Images"])
@pytest.mark.parametrize("text_folder", ["", "Flickr8k_text"])
def test_flickr8k_as_first_published(tmp_path, photo_folder, text_folder):
    touch(tmp_path / photo_folder, NAMES)
    bad = "2258277193_586949ec62.jpg.1#0\tA dog\n2258277193_586949ec62.jpg.1#1\tTwo dogs\n"
    write(tmp_path / text_folder / "Flickr8k.token.txt", token_lines() + bad)
    write_official_split(tmp_path / text_folder)
    dataset = load_dataset(tmp_path)
    assert dataset.captions == expected_captions()
    assert dataset.splits == {"train": NAMES[:6], "val": NAMES[6:8], "test": NAMES[8:]}
    assert dataset.problems == ("1 photo is missing and left out with its 2 captions: '2258277193_586949ec62.jpg.1'",)
    assert load_dataset(tmp_path / text_folder / "Flickr8k.token.txt").splits == dataset.splits


def test_the_official_split_serves_the_kaggle_layout_too(tmp_path):
    touch(tmp_path / "Images", NAMES)
    write(tmp_path / "captions.txt", table(kaggle_rows()))
    write_official_split(tmp_path, train=[*NAMES[:5], "not here.jpg"])
    dataset = load_dataset(tmp_path)
    assert dataset.splits == {"train": NAMES[:5], "val": NAMES[6:8], "test": NAMES[8:]}
    assert set(dataset.captions) == set(dataset.image_paths) == set(NAMES) - {"5.jpg"}
    assert dataset.problems == ("1 photo in no list of the official split, left out",)
    write_official_split(tmp_path, test=NAMES[7:])
    with pytest.raises(InputError, match=r"'7\.jpg' is in two splits, val and test"):
        load_dataset(tmp_path)
    (tmp_path / "Flickr_8k.devImages.txt").unlink()
    assert len(load_dataset(tmp_path).image_paths) == 10  # an incomplete official split is none


def test_the_official_split_beside_a_caption_file_that_is_given(tmp_path):
    touch(tmp_path / "photos", NAMES)
    file = write(tmp_path / "texts" / "Flickr8k.token.txt", token_lines())
    assert "drawn at random" in load_dataset(tmp_path / "photos", captions=file).summary()
    write_official_split(tmp_path / "texts")
    for arguments in ({"path": tmp_path / "photos", "captions": file}, {"path": file, "images": tmp_path / "photos"}):
        dataset = load_dataset(**arguments)
        assert dataset.splits == {"train": NAMES[:6], "val": NAMES[6:8], "test": NAMES[8:]}
        assert dataset.summary().endswith("test 2 photos; split: Flickr8k's official lists)")


def test_the_original_layout_is_preferred(tmp_path):
    touch(tmp_path / "Images", NAMES)
    write(tmp_path / "captions.txt", table([f"{name},from Kaggle" for name in NAMES]))
    write(tmp_path / "Flickr8k.token.txt", token_lines())
    assert load_dataset(tmp_path).captions == expected_captions()
    assert load_dataset(tmp_path, captions="captions.txt").captions["0.jpg"] == ["from Kaggle"]


@pytest.mark.parametrize("layout", ["outer", "inner"])
def test_flickr30k(tmp_path, layout):
    outer = tmp_path / "flickr30k_images"
    touch(outer if layout == "outer" else outer / "flickr30k_images", ["2199200615.jpg", *NAMES])
    rows = [
        '2199200615.jpg| 0| A dog , "quoted .',
        "2199200615.jpg| 4   A dog runs across the grass .",
        *(f"{name}| {index}| {text}" for name in NAMES for index, text in enumerate(expected_captions()[name])),
    ]
    text = table(rows, "image_name| comment_number| comment")
    write((tmp_path if layout == "outer" else outer) / "results.csv", text)
    dataset = load_dataset(tmp_path)
    repaired = ['A dog , "quoted .', "A dog runs across the grass ."]
    assert dataset.captions == expected_captions() | {"2199200615.jpg": repaired}
    assert dataset.problems == ()


@pytest.mark.parametrize("year", ["2014", "2017"])
def test_coco_halves_val_into_val_and_test(tmp_path, year):
    prefix = {part: f"COCO_{part}2014_" if year == "2014" else "" for part in ("train", "val")}
    train = [prefix["train"] + f"{number:012}.jpg" for number in range(3)]
    val = [prefix["val"] + f"{number:012}.jpg" for number in range(10, 17)]
    for part, names, first_id in (("train", train, 0), ("val", val, 10)):
        touch(tmp_path / f"{part}{year}", names)
        write(tmp_path / "annotations" / f"captions_{part}{year}.json", coco(names, first_id))
    dataset = load_dataset(tmp_path)
    assert dataset.splits["train"] == train
    assert sorted(dataset.splits["val"] + dataset.splits["test"]) == val
    assert [len(dataset.splits["val"]), len(dataset.splits["test"])] == [3, 4]
    assert dataset.image_paths[val[0]] == tmp_path / f"val{year}" / val[0]
    only_val = load_dataset(tmp_path, captions=tmp_path / "annotations" / f"captions_val{year}.json")
    assert sorted(only_val.captions) == val


def test_coco_captions_of_unknown_photos_are_counted(own):
    content = coco(NAMES)
    content["annotations"].append({"image_id": 99, "id": 1, "caption": "A ghost"})
    (problem,) = load_dataset(write(own("") / "x.json", content)).problems
    assert problem.startswith("1 entry without image or caption left out, the first in x.json: ann")


def test_karpathys_split(tmp_path):
    splits = ["train", "restval", *["train"] * 4, "val", "val", "test", "test"]
    touch(tmp_path / "Images", NAMES)
    write(tmp_path / "captions.txt", table(["0.jpg,not read"]))
    write(tmp_path / "dataset_flickr8k.json", karpathy(NAMES, splits))
    dataset = load_dataset(tmp_path)
    assert dataset.captions == expected_captions()
    assert dataset.splits == {"train": NAMES[:6], "val": NAMES[6:8], "test": NAMES[8:]}


@pytest.mark.parametrize("folder", ["val2014", "somewhere/else"])
def test_karpathys_filepath(tmp_path, folder):
    names = [f"COCO_val2014_{name}" for name in NAMES]
    touch(tmp_path / folder, names)
    write(tmp_path / "dataset_coco.json", karpathy(names, ["test"] * 10, folder))
    dataset = load_dataset(tmp_path)
    assert dataset.image_paths == {name: tmp_path / folder / name for name in names}
    assert dataset.splits["test"] == names


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("image,caption", "{},{}"),
        ("File Name;TEXT", "{};{}"),
        ("path\tsentence", "{}\t{}"),
        ("id,filename,caption,rating", "7,{},{},5"),
        ("caption,image_id,file_name", "{1},17,{0}"),
        ('"image","caption"', '"{}","{}"'),
        ("photo,description,", "{},{}"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_table_of_your_own(own, header, row, encoding):
    text = "\r\n".join([header, "", *(row.format(name, "Ein Hündchen") for name in NAMES)])
    dataset = load_dataset(own(text, encoding=encoding))
    assert dataset.captions == {name: ["Ein Hündchen"] for name in NAMES}


def test_a_table_with_commas_in_captions(own):
    rows = ["0.jpg,One, two, three", '1.jpg,"Four, ""five"""']
    assert load_dataset(own(table(rows))).captions == {"0.jpg": ["One, two, three"], "1.jpg": ['Four, "five"']}
    rows = ["0.jpg,fine,train", "1.jpg,One, two,train"]
    with pytest.raises(InputError, match=r"line 3 has 4 columns and the first line 3; put captions .* in double"):
        load_dataset(own(table(rows, "image,caption,split")))


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("image,caption,caption2,caption3", "{},One,Two,Three"),
        ("image,caption,caption,caption", "{},One,Two,Three"),
        ("caption_0,caption_1,rating,caption_2,image", "One,Two,5,Three,{}"),
        ("Image;Sentence 1;Sentence 2;Sentence 3", "{};One;Two;Three"),
        ("image,caption,caption.1,caption.2", "{},One,Two,Three"),  # as pandas writes the same name again
        ("image,caption (1),caption[2],caption#3", "{},One,Two,Three"),
        ("image,captions", "{},\"['One', 'Two', 'Three']\""),
        ("image,caption", '{},"[""One"", ""Two"", ""Three""]"'),
        ("image,raw", "{},\"['One' 'Two'\n 'Three']\""),  # as NumPy writes it
        ("image,caption,caption2", "{},\"['One', 'Two']\",Three"),
        ("image,caption", "{},\"('One', 'Two', None, 'Three')\""),
        ("image,caption", "{},\"[['One'], {{'Two'}}, nan, 'Three']\""),
        ("image,caption", "{},\"array(['One', 'Two', 'Three'], dtype=object)\""),
    ],
)
def test_several_captions_in_a_row_are_all_read(own, header, row):
    dataset = load_dataset(own(table([row.format(name) for name in NAMES], header)))
    assert dataset.captions == {name: ["One", "Two", "Three"] for name in NAMES}
    assert dataset.problems == ()


def test_fewer_captions_than_columns_are_no_fault_and_none_at_all_is(own):
    rows = ["0.jpg,One,,Three", "1.jpg,One", "2.jpg,,,", "3.jpg,[not a list,]", "4.jpg,\"['One', 2]\""]
    dataset = load_dataset(own(table(rows, "image,caption1,caption2,caption3")))
    assert dataset.captions["0.jpg"] == ["One", "Three"]
    assert dataset.captions["1.jpg"] == ["One"]
    assert dataset.captions["3.jpg"] == ["[not a list", "]"]
    assert dataset.captions["4.jpg"] == ["['One', 2]"]
    assert dataset.problems[0] == "1 empty caption left out, of '2.jpg'"


def test_words_for_nothing_are_no_captions(own):
    words = ("nan", "NaN", "None", "N/A", "null", "#N/A", "#NAME?", "NaT")
    dataset = load_dataset(own(table(["0.jpg,A dog", "0.jpg,None of the dogs", *(f"1.jpg,{word}" for word in words)])))
    assert dataset.captions == {"0.jpg": ["A dog", "None of the dogs"]}
    assert dataset.problems[0].startswith("8 empty captions left out, of '1.jpg', ")


def test_the_official_split_is_whole_or_told(tmp_path):
    touch(tmp_path / "Images", NAMES)
    write(tmp_path / "captions.txt", table(kaggle_rows()))
    write_official_split(tmp_path)
    (tmp_path / "Flickr_8k.devImages.txt").unlink()
    source = load_dataset(tmp_path).split_source
    assert source.startswith("Flickr8k's official lists lack Flickr_8k.devImages.txt, so drawn at random")


@pytest.mark.parametrize(
    "tags",
    [
        *("<start> {} <end>", "[START] {} [END]", "<s>{}</s>", "<bos> {} <EOS> <pad> <pad>", "{} <|endoftext|>"),
        *("<pad><pad><sos>{}<eos>", "<|endoftext|> {} <|endoftext|>", "<|im_start|> {} <|im_end|>", "<st>{}<en>"),
        *("START_ {} _END", "__start__ {} __end__", "#START# {} #END#", "starttoken {} endtoken", "begin {} end"),
        "&lt;start&gt; {} &lt;end&gt;",
    ],
)
def test_boundary_tags_of_other_programs_are_no_words(own, tags):
    dataset = load_dataset(own(table(f"{name},{tags.format('A dog runs .')}" for name in NAMES)))
    assert dataset.captions == {name: ["A dog runs ."] for name in NAMES}
    assert "taken off 10 captions: boundary tags of another program" in dataset.problems[0]


def test_bare_words_are_boundary_tags_only_at_both_ends_of_nearly_all_captions(own):
    rows = [f"{name},start a dog runs end" for name in NAMES]
    assert load_dataset(own(table(rows))).captions["0.jpg"] == ["a dog runs"]
    for text in ("Start of a race", "start a dog", "a race at its end", "[dog] a dog", "<unk> runs", "#dog runs"):
        assert load_dataset(own(table(f"{name},{text}" for name in NAMES))).captions["0.jpg"] == [text]
    padded = [f"{name},<start> a dog <end>{number % 5 * '<pad>'}" for number, name in enumerate(NAMES)]
    assert load_dataset(own(table(padded))).captions["4.jpg"] == ["a dog"]
    others = [f"{name},<start> a dog #fun" for name in NAMES[:6]] + [f"{name},<start> [a] dog" for name in NAMES[6:]]
    captions = load_dataset(own(table(others))).captions
    assert (captions["0.jpg"], captions["9.jpg"]) == (["a dog #fun"], ["[a] dog"])
    few = [f"{name},start a dog runs end" for name in NAMES[:5]] + [f"{name},<start> a cat <end>" for name in NAMES[5:]]
    assert load_dataset(own(table(few))).problems == ()
    only_tags = [f"{name},<start> a dog <end>" for name in NAMES[1:]]
    assert "1 empty caption" in load_dataset(own(table(["0.jpg,<start> <end>", *only_tags]))).problems[1]


def test_a_separator_too_much_at_the_end_is_no_column(own):
    rows = ["0.jpg,A dog,train,", "1.jpg,A cat,train,,"]
    assert load_dataset(own(table(rows, "image,caption,split"))).splits["train"] == ["0.jpg", "1.jpg"]
    assert load_dataset(own(table(["0.jpg,A dog,"]))).captions == {"0.jpg": ["A dog"]}


def test_an_unclosed_quotation_mark_is_told_by_its_line(own):
    rows = [f"{name},A dog" for name in NAMES]
    rows += ['0.jpg,"A dog', *["1.jpg,A dog on a very long line of grass"] * 4000]
    with pytest.raises(InputError, match="check the quotation marks in line 12, "):
        load_dataset(own(table(rows)))
    rows = ["0.jpg,A dog,train", '1.jpg,"A dog,train', *["2.jpg,A dog,val"] * 40]
    (problem, _) = load_dataset(own(table(rows, "image,caption,split"))).problems
    told = "1 caption over several lines, the first in captions.csv, line 3: check for an unclosed quotation mark"
    assert problem == told
    rows = ['0.jpg,"A dog,train', '1.jpg,A "big" dog, a cat,train']
    with pytest.raises(InputError, match=r"line 2 has 4 columns .* quotation marks, and close each"):
        load_dataset(own(table(rows, "image,caption,split")))


def test_a_split_column(own):
    words = ["train", "Training", "val", "valid", "dev", "validation", "test", " testing ", "restval", "train"]
    rows = [f"{name},A dog,{word}" for name, word in zip(NAMES, words, strict=True)]
    splits = load_dataset(own(table(rows, "image,caption,split"))).splits
    assert splits == {"train": ["0.jpg", "1.jpg", "8.jpg", "9.jpg"], "val": NAMES[2:6], "test": NAMES[6:8]}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["0.jpg,A dog,holdout"], "line 2 has the split 'holdout'; allowed: train, "),
        (["0.jpg,A dog,"], "line 2 has the split ''"),
        (["0.jpg,A dog,train", "0.jpg,A cat,test"], r"'0.jpg' is in two splits, train and test"),
    ],
)
def test_bad_splits_are_refused(own, rows, message):
    with pytest.raises(InputError, match=message):
        load_dataset(own(table(rows, "image,caption,split")))


def test_the_table_may_have_any_name_and_the_photos_any_place(tmp_path):
    touch(tmp_path / "photos" / "beach", NAMES)
    touch(tmp_path / "texts", [])
    rows = [f"./beach\\{name},A dog" for name in NAMES]
    write(tmp_path / "texts" / "mine.csv", table(rows))
    dataset = load_dataset(tmp_path / "texts", images=tmp_path / "photos")
    assert dataset.image_paths == {f"beach/{name}": tmp_path / "photos" / "beach" / name for name in NAMES}
    assert load_dataset(tmp_path / "texts" / "mine.csv", images=tmp_path / "photos") == dataset
    assert load_dataset(tmp_path / "photos", captions=tmp_path / "texts" / "mine.csv").captions == dataset.captions


def test_photos_beside_the_table_in_the_working_directory(tmp_path, monkeypatch):
    touch(tmp_path / "cats", NAMES)
    write(tmp_path / "mine.csv", table([f"cats/{name},A cat" for name in NAMES]))
    monkeypatch.chdir(tmp_path)
    for path in (".", "mine.csv"):
        dataset = load_dataset(path)
        assert dataset.name == tmp_path.name
        assert dataset.image_paths["cats/0.jpg"] == Path("cats/0.jpg")
        assert dataset.problems == ()


def test_losses_are_counted_and_told(own):
    rows = [
        *(f"{name},A dog" for name in NAMES[:6]),
        *(f"gone{number:02}.jpg,A bird" for number in range(12)),
        "0.jpg,   ",
        "7.jpg,",
        "1.jpg",
        ",A dog",
        '2.jpg,"A dog\non two lines"',
    ]
    folder = own(table(rows))
    touch(folder / "Images", ["notes.txt", "._0.jpg"])
    dataset = load_dataset(folder)
    assert sorted(dataset.captions) == NAMES[:6]
    assert dataset.captions["2.jpg"] == ["A dog", "A dog\non two lines"]
    gone = ", ".join(f"'gone{number:02}.jpg'" for number in range(10))
    assert dataset.problems == (
        "2 empty captions left out, of '0.jpg', '7.jpg'",
        "2 entries without image or caption left out, the first in captions.csv, line 22",
        "1 caption over several lines, the first in captions.csv, line 24: check for an unclosed quotation mark",
        f"12 photos are missing and left out with their 12 captions: {gone} and 2 more",
        "4 photos without caption left out: '6.jpg', '7.jpg', '8.jpg', '9.jpg'",
    )
    assert dataset.summary().count("\n  note: ") == 5


def test_the_draw_of_splits(tmp_path):
    names = [f"{number:03}.jpg" for number in range(105)]
    touch(tmp_path, names)
    rows = [f"{name},{text}" for name in names for text in ("A dog", "A cat")]
    file = write(tmp_path / "captions.csv", table(rows))
    first = load_dataset(tmp_path)
    assert [len(first.splits[split]) for split in ("train", "val", "test")] == [85, 10, 10]
    assert sorted(itertools.chain(*first.splits.values())) == names
    random.Random(1).shuffle(rows)
    write(file, table(rows))
    assert load_dataset(tmp_path).splits == first.splits
    assert load_dataset(tmp_path, seed=1).splits != first.splits
    # Fixed for ever: a published score must stay reproducible.
    assert first.splits["val"][:3] == ["008.jpg", "012.jpg", "021.jpg"]


@pytest.mark.parametrize(("photos", "sizes"), [(1, [1, 0, 0]), (2, [2, 0, 0]), (3, [1, 1, 1]), (10, [8, 1, 1])])
def test_the_draw_of_a_few_photos(own, photos, sizes):
    dataset = load_dataset(own(table([f"{name},A dog" for name in NAMES[:photos]])))
    assert [len(dataset.splits[split]) for split in ("train", "val", "test")] == sizes


@pytest.mark.parametrize(
    "name",
    [*r"../secret.jpg a/../../secret.jpg /etc/secret.jpg ..\secret.jpg \\host\x.jpg C:\x.jpg".split(), "a\0.jpg"],
)
def test_names_that_leave_the_photo_folder_are_refused(tmp_path, name):
    touch(tmp_path, ["secret.jpg"])
    touch(tmp_path / "data" / "Images", NAMES)
    images = [*coco(NAMES)["images"], {"id": 99, "file_name": name}]
    for file, content in (
        ("captions.csv", table([*kaggle_rows(), f"{name},A secret"])),
        ("coco.json", coco(NAMES) | {"images": images}),
        ("karpathy.json", karpathy(NAMES, ["test"] * 10, name)),
    ):
        with pytest.raises(InputError, match="give names inside the photo folder"):
            load_dataset(tmp_path / "data", captions=write(tmp_path / "data" / file, content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; give a file with captions"),
        ("\n", "has no image and caption column"),
        ("image,caption\n", "holds no caption; give a file with at least one"),
        ("image,caption\n0.jpg,\n", "holds no caption; 1 empty caption left out, of '0.jpg'"),
        ("image,title\n0.jpg,A dog\n", r"first line is 'image,title', .* one caption, text, .* or description; "),
        ("0.jpg,A dog\n", r"first line is '0.jpg,A dog', .* called image, file_name, .* add that line"),
        ("image,caption\n0.jpg," + "x" * 200_000 + "\n", "is not a readable table"),
        (b"image,caption\n0.jpg,caf\xe9\n", r"captions\.csv is not text in UTF-8; .*Excel.* CSV UTF-8"),
        (b"\xff\xfei\0m\0", r"captions\.csv is not text in UTF-8"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", r"captions\.csv is not text in UTF-8"),
        ("image,caption\nnot here.jpg,A dog\n", r"none of the 1 photo named in .*'not here.jpg'\); looked in .*Images"),
    ],
)
def test_bad_tables_get_a_clear_error(own, content, message):
    with pytest.raises(InputError, match=message) as error:
        load_dataset(own(content))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    "content",
    [
        *([], "text", 7, {}),
        *("{", "[" * 100_000, "image,caption"),
        *({"images": {}, "annotations": []}, {"images": []}, {"images": [], "annotations": []}),
        *({"images": [image], "annotations": []} for image in ({"id": 1}, {"id": [], "file_name": "0.jpg"}, "0.jpg")),
        {"images": [{"id": 1, "file_name": 7}], "annotations": []},
        *(
            {"images": [{"id": 1, "file_name": "0.jpg"}], "annotations": [annotation]}
            for annotation in ({"image_id": 1}, {"image_id": {}, "caption": "A dog"}, None)
        ),
        {"images": [{"id": 1, "file_name": "0.jpg"}], "annotations": [{"image_id": 1, "caption": None}]},
        *(
            {"images": [{"filename": "0.jpg", "split": "train", "sentences": sentences}]}
            for sentences in (1, ["A dog"], [])
        ),
        *({"images": [{"filename": "0.jpg", "split": split, "sentences": []}]} for split in (None, "elsewhere")),
        {"images": [{"sentences": []}]},
        {"images": [{"filename": "0.jpg", "split": "train", "filepath": 3, "sentences": []}]},
    ],
)
def test_hostile_json_is_refused(own, content):
    broken = isinstance(content, str) and content != "text"
    file = write(own("") / "x.json", content if broken else json.dumps(content))
    with pytest.raises(InputError, match=r"x\.json is not valid JSON" if broken else r"x\.json"):
        load_dataset(file)


def test_half_characters_cannot_be_passed_on(own):
    content = coco(NAMES)
    content["annotations"][0]["caption"] = "A \ud83d dog"
    content["images"][9]["file_name"] = "\udcff.jpg"
    dataset = load_dataset(write(own("") / "x.json", content))
    assert dataset.captions["0.jpg"][0] == "A ? dog"
    dataset.summary().encode("utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": "nowhere"}, "nowhere does not exist; give the folder of a dataset"),
        ({"captions": "nowhere.csv"}, "the caption file nowhere.csv does not exist, here or in"),
        ({"images": "nowhere"}, "the photo folder nowhere does not exist"),
        ({"images": "empty"}, "none of the 10 photos named in .* looked in empty; give the photo folder"),
    ],
)
def test_missing_paths_get_a_clear_error(own, monkeypatch, arguments, message):
    folder = own(table(kaggle_rows()))
    touch(folder / "empty", [])
    monkeypatch.chdir(folder)
    with pytest.raises(InputError, match=message):
        load_dataset(**{"path": folder, **arguments})


def test_an_unknown_layout_says_what_is_recognised_and_what_was_found(tmp_path):
    with pytest.raises(InputError, match="which holds nothing; recognised are"):
        load_dataset(tmp_path)
    touch(tmp_path, ["notes.docx"])
    with pytest.raises(InputError, match=r"holds 'notes\.docx'; recognised are .*Flickr8k\.token\.txt.* single \.csv"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("names", [("a.csv", "b.csv"), ("dataset_flickr8k.json", "dataset_coco.json")])
def test_several_caption_files_need_a_choice(tmp_path, names):
    touch(tmp_path, names)
    with pytest.raises(InputError, match=f"several caption files in .*'{names[0]}', '{names[1]}'; give the path"):
        load_dataset(tmp_path)


def test_a_split_that_is_needed(own):
    dataset = load_dataset(own(table([f"{name},A dog,train" for name in NAMES], "image,caption,split")))
    assert dataset.require_split("train") == NAMES
    assert dataset.split_captions("train") == {name: ["A dog"] for name in NAMES}
    for ask in (dataset.require_split, dataset.split_captions):
        with pytest.raises(InputError, match=r"the test split of .* is empty \(train 10, val 0, test 0\)"):
            ask("test")
        with pytest.raises(InputError, match="no split 'dev'; choose one of train, val, test"):
            ask("dev")


PHOTOS = {"a": Path("a"), "b": Path("b")}
CAPTIONS = {"a": ["A dog"], "b": ["A cat"]}
EMPTY = {"train": [], "val": [], "test": []}


@pytest.mark.parametrize(
    ("paths", "captions", "splits", "message"),
    [
        (PHOTOS, CAPTIONS, {"train": ["a", "b"]}, r"the splits are \['train'\]; give exactly train, val, test"),
        (PHOTOS, CAPTIONS, {"train": ["a"], "val": ["a"], "test": []}, "'a' is in two splits, train and val"),
        (PHOTOS, CAPTIONS, {"train": ["c"], "val": [], "test": []}, "names 'c', which is no photo"),
        (PHOTOS, {"a": ["A dog"]}, EMPTY, r"without caption: 1 \('b'\)"),
        (PHOTOS, {**CAPTIONS, "b": []}, EMPTY, r"without caption: 1 \('b'\)"),
        ({"a": Path("a")}, CAPTIONS, EMPTY, r"caption: 0, captions without photo: 1 \('b'\)"),
    ],
)
def test_a_contradictory_dataset_is_refused(paths, captions, splits, message):
    with pytest.raises(InputError, match=message):
        CaptionDataset("tiny", paths, captions, splits)


@pytest.mark.skipif(not (SHARED / "flickr8k").is_dir(), reason="Flickr8k is not here")
def test_the_real_flickr8k_reads_the_same_in_both_layouts():
    original = load_dataset(SHARED / "flickr8k")
    assert [len(original.splits[split]) for split in ("train", "val", "test")] == [6000, 1000, 1000]
    assert sum(map(len, original.captions.values())) == 40_000
    assert original.problems == ()
    assert load_dataset(SHARED / "flickr8k", captions="captions.txt") == original


@pytest.mark.skipif(not (SHARED / "coco_mini").is_dir(), reason="the COCO sample is not here")
def test_a_real_piece_of_coco():
    dataset = load_dataset(SHARED / "coco_mini")
    assert [len(dataset.splits[split]) for split in ("train", "val", "test")] == [64, 8, 8]
    assert sum(map(len, dataset.captions.values())) == 400
    assert dataset.problems == ()
