import json
import subprocess
import sys
from pathlib import Path

import pytest

from captioning_utils import InputError
from captioning_utils.bulk import write_captions
from captioning_utils.evaluation import load_candidates, load_references
from captioning_utils.evaluation.score_files import match_ids
from captioning_utils.metrics import compute_scores

CANDIDATES = {"1": "a dog runs", "22": 'a man, "smiling"', "3": ""}
REFERENCES = {"1": ["A dog runs .", "A brown dog ."], "22": ["A man smiles ."], "3": ["Nothing here .", "Empty ."]}
SHARED = Path(__file__).parents[2] / "shared"


def as_results(captions):
    return json.dumps([{"image_id": int(image_id), "caption": text} for image_id, text in captions.items()])


def as_csv(captions, mark=","):
    def quote(text):
        return '"' + text.replace('"', '""') + '"'

    return f"Image{mark}Caption\r\n" + "".join(f"{key}{mark}{quote(text)}\r\n" for key, text in captions.items())


def as_lines(captions):
    lines = [json.dumps({"image": key, "caption": text, "score": -1.5}) for key, text in captions.items()]
    return "\n".join(lines) + "\n"


def save(folder, text, name="file"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(CANDIDATES),
        "\ufeff" + json.dumps(CANDIDATES),
        as_results(CANDIDATES),
        as_csv(CANDIDATES),
        as_csv(CANDIDATES, ";"),
        as_csv(CANDIDATES, "\t"),
        "image| number| caption\r\n" + "".join(f"{key}| 0| {text}\r\n" for key, text in CANDIDATES.items()),
        as_lines(CANDIDATES),
    ],
    ids=["object", "byte-order mark", "results", "commas", "semicolons", "tabs", "Flickr30k", "lines"],
)
def test_every_layout_gives_the_same_candidates(tmp_path, text):
    assert load_candidates(save(tmp_path, text)) == CANDIDATES


def test_every_layout_gives_the_same_references(tmp_path):
    rows = [(key, text) for key, several in REFERENCES.items() for text in several]
    coco = {
        "images": [{"id": int(key), "file_name": f"{key}.jpg"} for key in REFERENCES],
        "annotations": [{"id": n, "image_id": int(key), "caption": text} for n, (key, text) in enumerate(rows)],
    }
    table = "image,caption\n" + "".join(f"{key},{text}\n" for key, text in rows)
    lines = "".join(json.dumps({"image_id": key, "caption": text}) + "\n" for key, text in rows)
    for text in (json.dumps(REFERENCES), json.dumps(coco), table, lines):
        assert load_references(save(tmp_path, text)) == REFERENCES


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"image_id": 7, "caption": "a dog"}\n', {"7": "a dog"}),  # one line of JSON is a record
        ("image,caption\n1.jpg,a dog, running\n", {"1.jpg": "a dog, running"}),  # without quotation marks
        ("file_name,image_id,caption\nx.jpg,5,a dog\n", {"5": "a dog"}),  # the ids, as in COCO
        ('{"\\ud800": "a \\udfff dog"}', {"?": "a ? dog"}),  # half characters can be written again
    ],
)
def test_odd_files_are_read(tmp_path, text, expected):
    assert load_candidates(save(tmp_path, text)) == expected


def test_photos_without_captions_and_captions_that_are_no_text_reach_the_scorer(tmp_path):
    coco = {"images": [{"id": 1}, {"id": 2}], "annotations": [{"image_id": 1, "caption": "a dog"}]}
    references = load_references(save(tmp_path, json.dumps(coco)))
    assert references == {"1": ["a dog"], "2": []}
    with pytest.raises(InputError, match=r"photos with an empty list of references: 1 \('2'\)"):
        compute_scores({"1": "a dog", "2": "a cat"}, references)
    candidates = load_candidates(save(tmp_path, '{"1": "a dog", "2": 5, "3": null}'))
    with pytest.raises(InputError, match=r"no text: 2 \('2', '3'\)"):
        compute_scores(candidates, references)
    references = load_references(save(tmp_path, '{"1": "a dog", "2": ["a cat", 5], "3": ["a cow"]}'))
    with pytest.raises(InputError, match=r"no list of texts: 2 \('1', '2'\)"):
        compute_scores({"1": "a dog"}, references)


def test_unknown_and_missing_photos_are_counted_and_can_be_left_out(tmp_path):
    candidates = load_candidates(save(tmp_path, '{"1": "a dog runs", "8": "x", "9": "y"}'))
    references = load_references(save(tmp_path, json.dumps(REFERENCES)))
    with pytest.raises(InputError, match=r"in the references: 2 \('8', '9'\); .*candidate: 2 \('22', '3'\)"):
        compute_scores(candidates, references)
    scores = compute_scores(candidates, references, allow_missing=True)
    assert (scores.num_images, scores.left_out) == (1, 4)


@pytest.mark.parametrize(
    "text",
    [
        '[{"image_id": 1, "caption": "a"}, {"image_id": "1", "caption": "b"}, {"image_id": 2, "caption": "c"}]',
        '{"1": "a", "1": "b", "2": "c"}',
        "image,caption\n1,a\n1,b\n2,c\n",
        '{"image_id": 1, "caption": "a"}\n{"image_id": 1, "caption": "b"}\n',
    ],
)
def test_an_id_that_comes_twice_is_refused(tmp_path, text):
    with pytest.raises(InputError, match=r"several .* 1 \('1'\)"):
        load_candidates(save(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no image and caption"),
        ("{}", "holds no caption"),
        ("[]", "holds no caption"),
        ("image,caption\n", "holds no caption"),
        ("a dog runs\na cat sits\n", "'a dog runs' names no image and caption"),
        ("image,words\n1,a dog\n", "names no image and caption"),
        ("image,caption,split\n1,a,b,test\n2,c\n3,d,test\n", r"in 2 \(line 2, line 3\)"),
        ('{"1": "a dog"', "neither JSON nor JSON lines"),
        ('{"image_id": 1, "caption": "a"}\n{"image_id": 2,\n', "neither JSON nor JSON lines"),
        ("[" * 100_000, "neither JSON nor JSON lines"),
        ("[" + "1" * 5000 + "]", "neither JSON nor JSON lines"),
        (
            '[{"image_id": 1}, 5, {"caption": "a"}, {"image_id": null, "caption": "a"}]',
            r"in 4 \(entry 1: .* and 1 more\)",
        ),
        ('[{"image_id": 1.5, "caption": "a"}]', r"in 1 \(entry 1"),
        ('[{"image_id": true, "caption": "a"}]', r"in 1 \(entry 1"),
        (b"image,caption\n1,caf\xe9\n", "not text in UTF-8; .*Excel"),
        ('image,caption\n1,"' + "x" * 200_000, "not a readable table"),
        ("image,caption," + "x" * 200_000 + "\n1,a\n", "names no image and caption"),
        ('{"images": 5, "annotations": []}', "no list of objects with an id"),
        ('{"images": [5], "annotations": []}', "no list of objects with an id"),
    ],
)
def test_what_is_no_score_file_is_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as error:
        load_references(save(tmp_path, text))
    assert len(str(error.value)) < 500


def test_scoring_files_needs_no_keras(tmp_path):
    save(tmp_path, json.dumps(REFERENCES), "refs.json")
    save(tmp_path, as_csv(CANDIDATES), "cands.csv")
    code = (
        "import sys; from captioning_utils.commands.evaluate import evaluate_main; "
        "code = evaluate_main(['--references', 'refs.json', '--candidates', 'cands.csv', '--out', 'out.json']); "
        "sys.exit(code or any(name in sys.modules for name in ('keras', 'tensorflow', 'jax', 'torch')))"
    )
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r}); {code}"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "cands" in done.stdout
    assert json.loads((tmp_path / "out.json").read_text())["photos"]["22"]["caption"] == CANDIDATES["22"]


@pytest.mark.skipif(not (SHARED / "coco_mini").is_dir(), reason="the real COCO sample is not on this machine")
def test_real_coco_captions():
    references = load_references(SHARED / "coco_mini" / "annotations" / "captions_train2017.json")
    assert min(map(len, references.values())) >= 5
    first = {image_id: captions[0] for image_id, captions in references.items()}
    assert compute_scores(first, references).corpus["bleu_4"] == pytest.approx(1)


def test_boundary_tags_are_no_words(tmp_path):
    tagged = {str(number): f"<start> a dog runs {'<end>' if number % 3 else ''}" for number in range(9)}
    notes = []
    candidates = load_candidates(save(tmp_path, json.dumps(tagged)), notes)
    assert set(candidates.values()) == {"a dog runs"}
    assert notes[0].startswith(f"{tmp_path / 'file'}: '<start>' and '<end>' taken off 9 captions: boundary tags")
    references = {key: ["[START] A dog runs . [END]", "[START] Dogs [END]"] for key in tagged}
    assert load_references(save(tmp_path, json.dumps(references)))["1"] == ["A dog runs .", "Dogs"]


def test_candidates_in_lists_of_one(tmp_path):
    for content in (
        {"1": ["a dog"], "2": "a cat"},
        [{"image": 1, "captions": ["a dog"]}, {"image": 2, "caption": "a cat"}],
    ):
        assert load_candidates(save(tmp_path, json.dumps(content))) == {"1": "a dog", "2": "a cat"}
    for content in ({"1": ["a dog", "a cat"]}, {"1": []}):
        with pytest.raises(InputError, match=r"several captions or none for 1 \('1'\)"):
            load_candidates(save(tmp_path, json.dumps(content)))


def test_of_generated_captions_the_best_counts(tmp_path):
    rows = [{"image": f"photos/{n}.jpg", "caption": text, "score": -n} for n in (1, 2) for text in ("best", "second")]
    notes = []
    write_captions(tmp_path / "a.csv", rows)
    write_captions(tmp_path / "a.json", rows)
    for name in ("a.csv", "a.json"):
        found = load_candidates(tmp_path / name, notes)
        assert found == {"photos/1.jpg": "best", "photos/2.jpg": "best"}
        assert match_ids(found, ["1.jpg", "2.jpg", "3.jpg"], notes) == {"1.jpg": "best", "2.jpg": "best"}
    assert "the first of each, the best, is scored" in notes[0]
    assert notes[1] == "2 of 2 photos found by their file names, not their whole ids"


def test_ids_that_could_be_two_photos_stay_as_they_are():
    captions = {"a/1.jpg": "a dog", "b/1.jpg": "a cat", "b/2.jpg": "a cow"}
    assert match_ids(captions, ["1.jpg", "2.jpg"]) == {"a/1.jpg": "a dog", "b/1.jpg": "a cat", "2.jpg": "a cow"}
    assert match_ids({"1": "a dog"}, ["1.jpg", "1.png"]) == {"1": "a dog"}
    assert match_ids({"1.jpg": "a dog", "x/2.jpg": "a cat"}, ["1.jpg", "2.jpg"]) == {
        "1.jpg": "a dog",
        "x/2.jpg": "a cat",
    }


@pytest.mark.parametrize(
    ("candidate", "reference"),
    [
        ("C:\\photos\\a.JPG", "a.jpg"),
        ("x/cafe\u0301.jpg", "caf\u00e9.jpg"),
        ("val2017/000000000042.jpg", "42"),  # COCO's captions know a photo by its number
        ("COCO_val2014_000000000042.jpg", "42"),
        ("42", "COCO_val2014_000000000042.jpg"),
    ],
)
def test_ids_that_name_the_same_photo_in_other_ways(candidate, reference):
    notes = []
    assert match_ids({candidate: "a dog"}, [reference, "7"], notes) == {reference: "a dog"}
    assert notes == ["1 of 1 photos found by their file names, not their whole ids"]


def test_references_that_hold_nothing_are_left_out_and_told(tmp_path):
    annotations = [{"image_id": 1, "caption": None}, {"image_id": 1, "caption": "A dog"}]
    text = json.dumps({"images": [{"id": 1}], "annotations": annotations})
    for content in (text, '{"1": ["A dog", null, "nan"]}', '[{"image": "1", "caption_1": null, "caption_2": "A dog"}]'):
        notes = []
        path = save(tmp_path, content)
        assert load_references(path, notes) == {"1": ["A dog"]}
        assert notes == [f"{path} has references that hold nothing, left out, of 1 ('1')"]
    assert load_references(save(tmp_path, '{"1": ["A dog"], "2": [null]}'))["2"] == [None]  # the scorer counts these


def test_an_unclosed_quotation_mark_is_told_by_its_line(tmp_path):
    notes = []
    path = save(tmp_path, 'image,caption\n1.jpg,a dog\n2.jpg,"a cat\n3.jpg,a cow\n')
    load_candidates(path, notes)
    assert notes == [f"{path} has a caption over several lines in line 3: check for an unclosed quotation mark"]


def test_references_of_the_files_that_datasets_come_with(tmp_path):
    images = [
        {"filename": f"{n}.jpg", "split": split, "sentences": [{"raw": "A dog ."}, {"raw": "Dogs ."}]}
        for n, split in enumerate(("train", "test", "test"))
    ]
    path = save(tmp_path, json.dumps({"images": images}), "dataset_x.json")
    assert list(load_references(path)) == ["0.jpg", "1.jpg", "2.jpg"]
    assert load_references(path, wanted=["2.jpg"]) == {name: ["A dog .", "Dogs ."] for name in ("1.jpg", "2.jpg")}
    path = save(tmp_path, "0.jpg#0\tA dog .\n0.jpg#1\tDogs .\n", "Flickr8k.token.txt")
    assert load_references(path) == {"0.jpg": ["A dog .", "Dogs ."]}


def test_words_for_nothing_are_no_captions(tmp_path):
    table = "image,caption,caption2\n1,A dog,nan\n2,None,A cat\n3,N/A,\n"
    assert load_references(save(tmp_path, table)) == {"1": ["A dog"], "2": ["A cat"], "3": [""]}


@pytest.mark.parametrize(
    ("start", "message"),
    [(b"PK\3\4\xff", "it is a zip archive or a spreadsheet; unpack it"), (b"\x1f\x8b\x08\xff", "by gzip; unpack it")],
)
def test_a_file_of_another_kind_is_told_by_its_kind(tmp_path, start, message):
    for load in (load_candidates, load_references):
        with pytest.raises(InputError, match=message):
            load(save(tmp_path, start))
