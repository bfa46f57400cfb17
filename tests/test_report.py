"""The page holds what was put in, escaped, and needs nothing from elsewhere."""

import base64
import io
import os
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from PIL import Image

from captioning_utils import InputError
from captioning_utils.evaluation import PhotoEntry, Report
from captioning_utils.evaluation.html_page import THUMBNAIL_SIDE
from captioning_utils.plots import plot_caption_lengths, plot_photos

SCRIPT = "<script>alert('1')</script>"
VOID = {"meta", "img"}


class Page(HTMLParser):
    """What a browser would find in a page: tags with their attributes, and the text of each tag."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.tags, self.texts, self.open = [], [], []
        self.feed(source)
        assert self.open == []  # every tag is closed

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data.strip()))

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    def text(self, tag):
        return [text for name, text in self.texts if name == tag]


@pytest.fixture
def photo(tmp_path):
    """`Path` of a wide red photo."""
    path = tmp_path / "photos" / "a red wall.jpg"
    path.parent.mkdir()
    Image.new("RGB", (800, 400), "red").save(path)
    return path


def decoded(source):
    media_type, content = source.removeprefix("data:").split(";base64,")
    return media_type, base64.b64decode(content)


def full_report(photo, photos="embed"):
    report = Report(f"Title {SCRIPT}", f"Intro {SCRIPT}", photos=photos)
    report.add_text(f"Text {SCRIPT}", ["First & second", SCRIPT])
    report.add_table(SCRIPT, ["name", SCRIPT], [[SCRIPT, 0.5], ["people", "18.3"]], caption=SCRIPT)
    report.add_figure("Lengths", plot_caption_lengths(["a dog runs"]), SCRIPT)
    entry = PhotoEntry(photo, SCRIPT, (SCRIPT, '"quoted" reference'), {SCRIPT: SCRIPT, "BLEU-4": "18.3"})
    report.add_photos("Best", [entry, PhotoEntry(photo, "no references")], "The best")
    return report


@pytest.mark.parametrize("photos", ["embed", "link", "none"])
def test_nothing_that_was_put_in_becomes_a_tag(photo, photos):
    source = full_report(photo, photos).to_html()
    page = Page(source)
    assert page.all("script") == []
    assert page.text("h1") == [f"Title {SCRIPT}"]
    assert page.text("title") == [f"Title {SCRIPT}"]
    assert page.text("h2") == [f"Text {SCRIPT}", SCRIPT, "Lengths", "Best"]
    assert page.text("caption") == [SCRIPT]
    assert page.text("th") == ["name", SCRIPT, SCRIPT, "people"]
    assert page.text("td") == ["0.5", "18.3"]
    assert page.text("dt") == [SCRIPT, "BLEU-4"]
    assert page.text("dd") == [SCRIPT, "18.3"]
    assert {SCRIPT, "First & second", "no references", "a red wall.jpg"} <= set(page.text("p"))
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)


@pytest.mark.parametrize("photos", ["embed", "link", "none"])
def test_the_page_needs_nothing_from_other_sites_and_says_what_its_pictures_show(photo, photos):
    source = full_report(photo, photos).to_html(photo.parent)
    page = Page(source)
    assert page.all("link") == []
    addresses = [attributes[name] for _, attributes in page.tags for name in ("src", "href") if name in attributes]
    assert addresses
    assert all(address.startswith(("data:image/", "#section-", "a%20red")) for address in addresses)
    assert not any(part in source for part in ("http:", "https:", "url(", "@import"))
    ids = ["#" + attributes["id"] for attributes in page.all("section")]
    assert [attributes["href"] for attributes in page.all("a")] == ids  # the contents lead to the sections
    assert len(ids) == 4
    of_photos = [] if photos == "none" else [SCRIPT, "Photo a red wall.jpg"]  # the first is what a person wrote of it
    alternatives = [plot_caption_lengths(["a dog runs"]).alt_text, *of_photos]
    assert [attributes["alt"] for attributes in page.all("img")] == alternatives
    assert page.text("p").count("a red wall.jpg") == 2
    captions = [attributes for attributes in page.all("p") if attributes.get("class") == "candidate"]
    assert {attributes.get("dir") for attributes in captions} == {"auto"}  # for words from right to left


def test_embedded_photos_are_small_copies(photo):
    page = Page(full_report(photo).to_html())
    media_type, content = decoded(page.all("img")[1]["src"])
    thumbnail = Image.open(io.BytesIO(content))
    assert (media_type, thumbnail.format) == ("image/jpeg", "JPEG")
    assert thumbnail.size == (THUMBNAIL_SIDE, THUMBNAIL_SIDE // 2)
    red, green, blue = thumbnail.getpixel((10, 10))
    assert red > 240 > 20 > max(green, blue)


def test_linked_photos_are_found_from_the_pages_folder(photo, tmp_path):
    report = Report("Links", photos="link")
    report.add_photos("Photos", [PhotoEntry(photo, "a wall")])
    path = report.write(tmp_path / "runs" / "report.html")
    (image,) = Page(path.read_text(encoding="utf-8")).all("img")
    assert image["src"] == "../photos/a%20red%20wall.jpg"


@pytest.mark.parametrize("photos", ["embed", "link"])
def test_a_photo_that_is_not_there_or_damaged_becomes_a_note(photo, photos, tmp_path):
    (tmp_path / "text.jpg").write_text("this is no photo", encoding="utf-8")
    report = Report("Holes", photos=photos)
    report.add_photos("Photos", [PhotoEntry("/secret/place/gone.jpg", "a dog"), PhotoEntry(photo, "a wall")])
    if photos == "embed":
        report.add_photos("Damaged", [PhotoEntry(tmp_path / "text.jpg", "a dog")])
    source = report.to_html()
    page = Page(source)
    assert len(page.all("img")) == 1
    notes = " ".join(page.text("p"))
    assert "No picture: the photo is not there" in notes
    assert ("is not a photo that can be read here" in notes) == (photos == "embed")
    assert {"a dog", "gone.jpg", "a wall"} <= set(page.text("p"))
    assert "secret" not in source  # where the page was made is nobody's business


@pytest.mark.parametrize("name", ['x"onerror="alert(1)".png', "<script>.png", "javascript:alert(1).png", "100%#?.png"])
@pytest.mark.parametrize("photos", ["embed", "link"])
def test_hostile_file_names_stay_names(tmp_path, name, photos):
    Image.new("RGB", (4, 4)).save(tmp_path / name)
    report = Report("Names", photos=photos)
    report.add_photos("Photos", [PhotoEntry(tmp_path / name, "a dog")])
    page = Page(report.to_html(tmp_path))
    (image,) = page.all("img")
    assert set(image) == {"src", "alt", "loading"}
    assert image["alt"] == f"Photo {name}"
    assert name in page.text("p")
    if photos == "link":
        parts = urlsplit(image["src"])
        assert (parts.scheme, unquote(parts.path)) == ("", name)


@pytest.mark.skipif(os.name == "nt", reason="file names are Unicode on Windows")
@pytest.mark.parametrize("photos", ["embed", "link", "none"])
def test_text_and_names_that_are_no_unicode_can_be_written(tmp_path, photos):
    photo = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    Image.new("RGB", (4, 4)).save(photo)
    report = Report("\ud800 title\x00", photos=photos)
    report.add_photos("Photos", [PhotoEntry(photo, "a \udfff dog\x1b")])
    page = Page(report.write(tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.text("h1") == ["title"]
    assert "a   dog" in page.text("p")
    if photos == "link":
        assert page.all("img")[0]["src"] == "caf%E9.png"


def test_figures_are_sharp_drawings_and_photos_are_jpegs():
    report = Report("Figures")
    report.add_figure("Lengths", plot_caption_lengths(["a dog runs"]))
    report.add_figure("Photos", plot_photos([np.zeros((8, 8, 3), np.uint8)], ["a black square"]))
    drawing, photos = (decoded(image["src"]) for image in Page(report.to_html()).all("img"))
    assert drawing[0] == "image/svg+xml"
    assert b"<svg" in drawing[1]
    assert photos[0] == "image/jpeg"


def test_parts_without_a_heading_go_on_in_the_same_section():
    report = Report("Parts")
    report.add_text("One", "first")
    report.add_text(None, ["second", "third"])
    report.add_text("Two", "fourth")
    page = Page(report.to_html())
    assert len(page.all("section")) == 2
    assert page.text("p") == ["first", "second", "third", "fourth"]
    assert page.all("nav") == []  # two sections need no contents


def test_number_columns_are_aligned_and_others_are_not():
    report = Report("Table")
    rows = [["a", "18.3 (17 to 19)", "5 refs", "…"], ["b", -1, "none", "20.3"]]  # a missing value is one, too
    report.add_table("Scores", ["name", "score", "note", "METEOR"], rows)
    report.add_table("Nothing yet", ["name", "score"], [])
    page = Page(report.to_html())
    assert [attributes.get("class") for attributes in page.all("td")] == ["number", None, "number"] * 2
    assert [attributes["scope"] for attributes in page.all("th")] == ["col"] * 4 + ["row"] * 2 + ["col"] * 2
    assert page.text("th")[-2:] == ["name", "score"]


def test_writing_replaces_the_page_whole(photo, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old", encoding="utf-8")
    assert full_report(photo).write(path) == path
    source = path.read_text(encoding="utf-8")
    assert source.startswith("<!doctype html>")
    assert source.endswith("</html>\n")
    assert '<meta charset="utf-8">' in source
    assert "prefers-color-scheme: dark" in source
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["photos", "report.html"]


def test_bad_calls_are_refused():
    with pytest.raises(InputError, match="photos is 'yes'; choose one of embed, link, none"):
        Report("x", photos="yes")
    with pytest.raises(InputError, match="1 rows of the table do not have 2 cells"):
        Report("x").add_table("t", ["a", "b"], [["1", "2"], ["1"]])
