"""JSON nested so deep that reading it succeeds and printing it in a message does not, through every reader of JSON."""

import numpy as np
import pytest

from captioning_utils import InputError
from captioning_utils.base.files import read_json
from captioning_utils.base.plain_json import MAX_DEPTH, parse_json
from captioning_utils.base.storage import read_storage, write_storage
from captioning_utils.datasets import load_dataset
from captioning_utils.evaluation.score_files import load_candidates, load_references


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a": [', "]}]")])
def test_only_deep_values_are_refused(opening, closing):
    levels = MAX_DEPTH // len(opening.replace('"a":', "").replace(" ", "")) - 1
    assert parse_json(opening * levels + "1" + closing * levels)
    for deep in (MAX_DEPTH + 1, *range(900, 1000, 7), 100_000):
        with pytest.raises(ValueError, match="more than 50 deep"):
            parse_json(opening * deep + "1" + closing * deep)


READERS = {
    "a JSON file": (read_json, "{}"),
    "candidates": (load_candidates, '[{{"image_id": 1, "caption": {}}}]'),
    "references": (load_references, '{{"image_id": 1, "caption": {}}}\n{{"image_id": 2, "caption": 5}}'),
    "a dataset": (load_dataset, '[{{"image": "1.jpg", "caption": {}}}]'),
    "JSON lines": (load_dataset, '{{"image": "1.jpg", "caption": {}}}'),
    "COCO": (load_dataset, '{{"images": [{{"id": 1, "file_name": {}}}], "annotations": []}}'),
}


@pytest.mark.parametrize("name", READERS)
def test_every_reader_refuses_them_in_one_line(tmp_path, name):
    read, text = READERS[name]
    path = tmp_path / ("a.jsonl" if name == "JSON lines" else "a.json")
    for depth in (100, *range(850, 1000, 3), 100_000):
        path.write_text(text.format("[" * depth + "]" * depth))
        with pytest.raises(InputError, match=r"not valid JSON|neither JSON") as caught:
            read(path)
        assert len(str(caught.value)) < 400
        assert "\n" not in str(caught.value)


def test_so_does_the_reader_of_captioners(tmp_path):
    value = []
    for _ in range(200):
        value = [value]
    write_storage(tmp_path / "a.h5", "demo", 1, {"words": value}, {"a": np.zeros(2)})
    with pytest.raises(InputError, match="the document 'documents/words' is damaged"):
        read_storage(tmp_path / "a.h5", "demo", 1)
