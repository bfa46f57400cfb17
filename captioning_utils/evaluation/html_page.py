"""One web page that shows photos, sentences, tables and pictures, and needs nothing but itself.

The page is a single HTML file without scripts and without links to other sites; it can be mailed, archived and
printed. `report.html.jinja` is the page; everything that comes from captions, files or settings is escaped there.
"""

import base64
import functools
import io
import os
import re
import urllib.parse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from PIL import Image

from captioning_utils.base.errors import InputError
from captioning_utils.base.files import write_text
from captioning_utils.base.types import AnyPath
from captioning_utils.base.wording import printable
from captioning_utils.images import load_image
from captioning_utils.plots.figure import DescribedFigure

PHOTO_CHOICES = {
    "embed": "small copies inside the page",
    "link": "the files where they lie, by relative path",
    "none": "no photos, only their names",
}
THUMBNAIL_SIDE = 320  # pixels; the page shows photos at most this wide
THUMBNAIL_QUALITY = 85  # JPEG, about 15 KB a photo
SMALLEST_SCALE = 0.75  # on a phone a plot shrinks to this, still readable, and scrolls sideways


@dataclass(frozen=True)
class PhotoEntry:
    """A photo with what a captioner says of it."""

    path: AnyPath
    candidate: str  # the captioner's sentence
    references: tuple[str, ...] | list[str] = ()  # what people wrote
    scores: dict[str, str] = field(default_factory=dict)  # label -> value, as they are to be printed


class Report:
    """Builds a page section by section; `write` puts it into a file.

    A section's heading may be None: the part then goes on below the one before it, without a heading of its own.

    Args:
        title: str.
        intro: str, or list of str, one a paragraph, below the title; "" for none.
        photos: a key of `PHOTO_CHOICES`: "embed", "link" or "none".

    Raises:
        InputError: for another choice of `photos`.

    Example:
        >>> import tempfile
        >>> report = Report("My captioner", "Scores on 100 photos.")
        >>> report.add_table("Scores", ["captioner", "BLEU-4"], [["merge", "18.3"]])
        >>> path = report.write(Path(tempfile.mkdtemp()) / "report.html")
        >>> "<h1>My captioner</h1>" in path.read_text(encoding="utf-8")
        True
    """

    def __init__(self, title: str, intro: str | Sequence[str] = "", photos: str = "embed") -> None:
        if photos not in PHOTO_CHOICES:
            raise InputError(f"photos is {photos!r:.80}; choose one of {', '.join(PHOTO_CHOICES)}")
        self.title = title
        self.intro = intro
        self.photos = photos
        self._sections: list[tuple[str, list[dict[str, Any]]]] = []  # (heading, parts as the template takes them)

    def add_text(self, heading: str | None, paragraphs: str | Sequence[str]) -> None:
        """Add paragraphs.

        Args:
            heading: str or None.
            paragraphs: str, or list of str, one a paragraph.
        """
        self._add(heading, "text", paragraphs=_as_list(paragraphs))

    def add_table(
        self, heading: str | None, columns: Sequence[str], rows: Sequence[Sequence[str | float]], caption: str = ""
    ) -> None:
        """Add a table. Columns of numbers stand right-aligned; the first column names the rows.

        Args:
            heading: str or None.
            columns: list of str, the column heads.
            rows: list of lists of str or numbers, as they are to be printed.
            caption: str, what the numbers are: protocol, split, settings.

        Raises:
            InputError: where a row has more or fewer cells than there are columns.
        """
        wrong = [row for row in rows if len(row) != len(columns)]
        if wrong:
            raise InputError(
                f"{len(wrong)} rows of the table do not have {len(columns)} cells, such as {wrong[0]!r:.80}; "
                "give each row one cell a column"
            )
        numeric = [all(map(_is_number, cells)) for cells in zip(*rows, strict=True)] or [False] * len(columns)
        self._add(heading, "table", columns=list(columns), rows=list(rows), numeric=numeric, caption=caption)

    def add_figure(self, heading: str | None, figure: DescribedFigure, text: str | Sequence[str] = "") -> None:
        """Add a picture.

        Args:
            heading: str or None.
            figure: `plots.DescribedFigure`, from any function of `captioning_utils.plots`.
            text: str or list of str, paragraphs below it: what the reader should see in it.
        """
        media_type, content = figure.encode()
        width, height = figure.display_size
        self._add(
            heading,
            "figure",
            source=f"data:{media_type};base64,{content}",
            alt=figure.alt_text,
            width=width,
            height=height,
            min_width=round(SMALLEST_SCALE * width),
            paragraphs=_as_list(text),
        )

    def add_photos(self, heading: str | None, entries: Iterable[PhotoEntry], text: str | Sequence[str] = "") -> None:
        """Add photos with their sentences. A photo that cannot be read becomes a note in its place.

        Args:
            heading: str or None.
            entries: list of `PhotoEntry`.
            text: str or list of str, paragraphs above the photos.
        """
        self._add(heading, "photos", entries=list(entries), paragraphs=_as_list(text))

    def write(self, path: AnyPath) -> Path:
        """Write the page, whole or not at all.

        Args:
            path: str or `Path`, for example "report.html".

        Returns:
            `Path` of the page.
        """
        path = Path(path)
        write_text(path, self.to_html(path.parent))
        return path

    def to_html(self, folder: AnyPath = ".") -> str:
        """The page as str; linked photos are looked up from `folder`, where the page is going to lie."""
        return _template().render(
            title=self.title,
            intro=_as_list(self.intro),
            sections=self._sections,
            picture=lambda entry: _picture(entry, self.photos, folder),
        )

    def _add(self, heading: str | None, kind: str, **content: Any) -> None:
        """Open a section, or go on with the last."""
        if heading is not None or not self._sections:
            self._sections.append((heading or "", []))
        self._sections[-1][1].append({"kind": kind} | content)


@functools.cache
def _template() -> jinja2.Template:
    """The page's template; every value it prints is made printable and escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=lambda value: value if isinstance(value, Markup) else printable(value),
        keep_trailing_newline=True,
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["file_name"] = lambda path: Path(path).name
    return environment.get_template("report.html.jinja")


def _as_list(paragraphs: str | Sequence[str]) -> list[str]:
    """Paragraphs without the empty ones."""
    return [paragraph for paragraph in ([paragraphs] if isinstance(paragraphs, str) else paragraphs) if paragraph]


def _is_number(cell: object) -> bool:
    return re.match(r"[-−+±]?[\d.]|[…–]?$", str(cell)) is not None  # or the sign that there is none


def _picture(entry: PhotoEntry, photos: str, folder: AnyPath) -> dict[str, str] | None:
    """A photo's `source` and `alt`, or a `note` where it cannot be read; None where no photos are wanted."""
    if photos == "none":
        return None
    try:
        source = _embed(entry.path) if photos == "embed" else _link(entry.path, folder)
    except InputError as error:
        reason = str(error).replace(str(entry.path), "the photo")  # a page to be shared does not tell where it was made
        return {"note": f"No picture: {reason}"}
    # A person's sentence describes the photo; without one, the captioner's stands below it anyway.
    alt = entry.references[0] if entry.references else f"Photo {Path(entry.path).name}"
    return {"source": source, "alt": alt}


def _embed(path: AnyPath) -> str:
    thumbnail = Image.fromarray(load_image(path))
    thumbnail.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    file = io.BytesIO()
    thumbnail.save(file, "JPEG", quality=THUMBNAIL_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _link(path: AnyPath, folder: AnyPath) -> str:
    if not Path(path).is_file():
        raise InputError(f"{path} is not there; check the path of the photo")
    try:
        relative = Path(os.path.relpath(path, folder))
    except ValueError:  # on Windows, another drive has no relative path
        return Path(path).resolve().as_uri()
    return urllib.parse.quote(os.fsencode(relative.as_posix()))
