"""One web page that shows photos, sentences, tables and pictures, and needs nothing but itself.

The page is a single HTML file without scripts and without links to other sites; it can be mailed, archived and
printed. Everything that comes from captions, files or settings is escaped.
"""

import base64
import html
import io
import os
import re
import urllib.parse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

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
        self._sections: list[
            tuple[str, list[Callable[[AnyPath], str]]]
        ] = []  # (heading, list of functions from the page's folder to HTML)

    def add_text(self, heading: str | None, paragraphs: str | Sequence[str]) -> None:
        """Add paragraphs.

        Args:
            heading: str or None.
            paragraphs: str, or list of str, one a paragraph.
        """
        self._add(heading, lambda folder: _paragraphs(paragraphs))

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
        table = _table(columns, rows, caption)
        self._add(heading, lambda folder: table)

    def add_figure(self, heading: str | None, figure: DescribedFigure, text: str | Sequence[str] = "") -> None:
        """Add a picture.

        Args:
            heading: str or None.
            figure: `plots.DescribedFigure`, from any function of `captioning_utils.plots`.
            text: str or list of str, paragraphs below it: what the reader should see in it.
        """
        picture = _figure(figure) + _paragraphs(text)
        self._add(heading, lambda folder: picture)

    def add_photos(self, heading: str | None, entries: Iterable[PhotoEntry], text: str | Sequence[str] = "") -> None:
        """Add photos with their sentences. A photo that cannot be read becomes a note in its place.

        Args:
            heading: str or None.
            entries: list of `PhotoEntry`.
            text: str or list of str, paragraphs above the photos.
        """
        entries = list(entries)
        self._add(heading, lambda folder: _paragraphs(text) + _photo_list(entries, self.photos, folder))

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
        headings = [heading for heading, _ in self._sections]
        sections = (
            _section(number, heading, [to_html(folder) for to_html in parts])
            for number, (heading, parts) in enumerate(self._sections, 1)
        )
        return _PAGE.format(
            title=_text(self.title),
            style=_STYLE,
            intro=_paragraphs(self.intro, "intro"),
            contents=_contents(headings) if len(headings) > 2 else "",
            sections="\n".join(sections),
        )

    def _add(self, heading: str | None, to_html: Callable[[AnyPath], str]) -> None:
        """Open a section, or go on with the last; `to_html(folder)` is called once it is known where the page lies."""
        if heading is not None or not self._sections:
            self._sections.append((heading or "", []))
        self._sections[-1][1].append(to_html)


def _text(value: object) -> str:
    """Any value as text that HTML takes for text, in tags and in quoted attributes alike."""
    return html.escape(printable(value))


def _section(number: int, heading: str, parts: Iterable[str]) -> str:
    head = f"<h2>{_text(heading)}</h2>\n" if heading else ""
    return f'<section id="section-{number}">\n{head}{"".join(parts)}</section>'


def _contents(headings: Sequence[str]) -> str:
    links = (
        f'<li><a href="#section-{number}">{_text(heading)}</a></li>'
        for number, heading in enumerate(headings, 1)
        if heading
    )
    return f'<nav aria-label="Contents"><ul>{"".join(links)}</ul></nav>'


def _paragraphs(paragraphs: str | Sequence[str], name: str = "") -> str:
    paragraphs = [paragraphs] if isinstance(paragraphs, str) else paragraphs
    attribute = f' class="{name}"' if name else ""
    return "".join(f"<p{attribute}>{_text(paragraph)}</p>\n" for paragraph in paragraphs if paragraph)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str | float]], caption: str) -> str:
    numeric = [all(map(_is_number, cells)) for cells in zip(*rows, strict=True)] or [False] * len(columns)
    marks = [' class="number"' if is_numeric else "" for is_numeric in numeric]
    heads = "".join(f'<th scope="col"{mark}>{_text(name)}</th>' for mark, name in zip(marks, columns, strict=True))
    body = "".join(f"<tr>{_row(row, marks)}</tr>\n" for row in rows)
    below = f"<caption>{_text(caption)}</caption>" if caption else ""
    label = _text(caption or ", ".join(columns))
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{label}"><table>{below}\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n"
    )


def _is_number(cell: object) -> bool:
    return re.match(r"[-−+±]?[\d.]|[…–]?$", str(cell)) is not None  # or the sign that there is none


def _row(cells: Sequence[str | float], marks: Sequence[str]) -> str:
    first, *others = (f"{mark}>{_text(cell)}" for cell, mark in zip(cells, marks, strict=True))
    return f'<th scope="row"{first}</th>' + "".join(f"<td{other}</td>" for other in others)


def _figure(figure: DescribedFigure) -> str:
    media_type, content = figure.encode()
    width, height = figure.display_size
    return (
        f'<figure class="plot scroll" tabindex="0"><img src="data:{media_type};base64,{content}" '
        f'alt="{_text(figure.alt_text)}" width="{width}" height="{height}" '
        f'style="min-width: {SMALLEST_SCALE * width:.0f}px"></figure>\n'
    )


def _photo_list(entries: Iterable[PhotoEntry], photos: str, folder: AnyPath) -> str:
    items = (f"<li>{_photo(entry, photos, folder)}</li>\n" for entry in entries)
    return f'<ul class="photos">\n{"".join(items)}</ul>\n'


def _photo(entry: PhotoEntry, photos: str, folder: AnyPath) -> str:
    references = "".join(f'<li dir="auto">{_text(reference)}</li>' for reference in entry.references)
    scores = "".join(
        f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in entry.scores.items()
    )
    parts = [
        f'<p class="candidate" dir="auto">{_text(entry.candidate)}</p>',
        f'<ul class="references" aria-label="what people wrote">{references}</ul>' if references else "",
        f"<dl>{scores}</dl>" if scores else "",
        f'<p class="name">{_text(Path(entry.path).name)}</p>',
    ]
    return f"<figure>{_picture(entry, photos, folder)}<figcaption>{''.join(parts)}</figcaption></figure>"


def _picture(entry: PhotoEntry, photos: str, folder: AnyPath) -> str:
    """The `<img>` of a photo; a note where it cannot be read; nothing where no photos are wanted."""
    if photos == "none":
        return ""
    try:
        source = _embed(entry.path) if photos == "embed" else _link(entry.path, folder)
    except InputError as error:
        reason = str(error).replace(str(entry.path), "the photo")  # a page to be shared does not tell where it was made
        return f'<p class="note">No picture: {_text(reason)}</p>'
    # A person's sentence describes the photo; without one, the captioner's stands below it anyway.
    alt = entry.references[0] if entry.references else f"Photo {Path(entry.path).name}"
    return f'<img src="{_text(source)}" alt="{_text(alt)}" loading="lazy">'


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


_STYLE = """
:root { color-scheme: light dark; --paper: #fcfcfa; --card: #fff; --ink: #1f2430; --grey: #5c6370; --line: #dfe2e8;
  --link: #00629b; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #15181e; --card: #1e222a; --ink: #e8eaee; --grey: #a5adba; --line: #363c47; --link: #7cc4f5; }
  .plot img { filter: brightness(.92); }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem 1rem 4rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.35rem; line-height: 1.25; margin: 2.5rem 0 .75rem; }
p { max-width: 44rem; margin: 0 0 .75rem; }
.intro { font-size: 1.1rem; color: var(--grey); }
a { color: var(--link); }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: 1rem 0; padding: 0; }
.scroll { overflow-x: auto; margin: 0 0 1rem; }
table { border-collapse: collapse; overflow-wrap: normal; }
caption { caption-side: bottom; text-align: left; color: var(--grey); font-size: .9rem; padding-top: .4rem;
  max-width: calc(100vw - 2rem); }
th, td { text-align: left; padding: .4rem .9rem .4rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { border-bottom-width: 2px; }
tbody th { font-weight: 500; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; padding: .4rem .2rem .4rem 1rem; }
figure { margin: 0; }
.plot img { display: block; max-width: 100%; height: auto; border-radius: .5rem; border: 1px solid var(--line); }
.photos { list-style: none; margin: 0; padding: 0; display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 15rem), 1fr)); }
.photos > li { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; overflow: hidden; }
.photos img { display: block; width: 100%; aspect-ratio: 1; object-fit: contain; background: var(--line); }
.photos figcaption { padding: .75rem; }
.candidate { font-weight: 600; line-height: 1.35; margin: 0 0 .5rem; }
.references { margin: 0 0 .5rem; padding-inline: 1.1rem; color: var(--grey); font-size: .9rem; line-height: 1.4; }
.photos dl { display: flex; flex-wrap: wrap; gap: .1rem 1rem; margin: 0 0 .5rem; font-size: .9rem; }
.photos dl div { display: flex; gap: .35rem; }
.photos dt { color: var(--grey); }
.photos dd { margin: 0; font-variant-numeric: tabular-nums; }
.name { margin: 0; color: var(--grey); font-size: .8rem; }
.note { margin: 0; padding: .75rem; color: var(--grey); font-size: .9rem; border-bottom: 1px solid var(--line); }
@media print {
  :root { --paper: #fff; --card: #fff; --ink: #000; --grey: #444; --line: #ccc; --link: #000; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  .plot img { filter: none; min-width: 0 !important; }
  .scroll { overflow: visible; }
  h2 { break-after: avoid; }
  .photos { grid-template-columns: repeat(4, 1fr); }
  .photos > li, .plot, tr { break-inside: avoid; }
}
"""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
{intro}</header>
{contents}
<main>
{sections}
</main>
</body>
</html>
"""
