"""The free photographs in data/samples: each named, licensed, small, without metadata, and shown by the quickstart."""

import re

import pytest
from PIL import Image

from captioning_utils import images
from captioning_utils.commands.quickstart import add_photographs
from captioning_utils.evaluation.html_page import Report
from captioning_utils.images import SAMPLES, list_samples

FREE = ("CC0", "public domain", "CC BY 2.0", "CC BY 4.0")
OF_THE_FORMAT = {"jfif", "jfif_version", "jfif_unit", "jfif_density", "progressive", "progression"}


def test_every_photograph_has_a_row_that_says_what_by_whom_and_under_which_licence():
    assert set(SAMPLES.iterdir()) == {*list_samples(), SAMPLES / "README.md"}
    rows = [line.split(" | ") for line in (SAMPLES / "README.md").read_text().splitlines() if line.startswith("| [")]
    assert len(rows) == len(list_samples()) >= 8
    for photo, description, author, licence, source in rows:
        assert re.sub(r"[\[\]]|\(.*?\)", "", licence) in FREE, photo
        assert description.endswith("."), photo
        assert author, photo
        assert "](https://" in source, photo


def test_the_photographs_are_small_and_carry_no_metadata():
    assert sum(path.stat().st_size for path in SAMPLES.iterdir()) <= 2e6
    for path in list_samples():
        with Image.open(path) as photo:
            photo.load()
            assert photo.format == "JPEG"
            assert max(photo.size) <= 512
            assert set(photo.info) <= OF_THE_FORMAT, path.name


def test_an_installed_package_has_none(monkeypatch, tmp_path):
    monkeypatch.setattr(images, "SAMPLES", tmp_path / "data" / "samples")
    assert list_samples() == {}


@pytest.mark.parametrize("own", [True, False])
def test_the_quickstart_puts_what_they_show_beside_the_sentences(own, tmp_path):
    sample, description = next(iter(list_samples().items()))
    Image.new("RGB", (60, 40), "green").save(tmp_path / "mine.png")
    report = Report("Photographs")
    add_photographs(report, [(tmp_path / "mine.png", "a lawn")] * own + [(sample, "two horses")])
    text = report.write(tmp_path / "report.html").read_text(encoding="utf-8")
    assert ("Your photos" in text, "a lawn" in text) == (own, own)
    assert "two horses" in text
    assert description in text
