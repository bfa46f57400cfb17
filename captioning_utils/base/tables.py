"""Tables of images and captions: recognised by their first line, and read the same way wherever one is given."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from captioning_utils.base.errors import InputError
from captioning_utils.base.raw_captions import split_cell
from captioning_utils.base.types import AnyPath

# Column names, the preferred ones first; upper case, spaces and hyphens do not matter.
IMAGE_COLUMNS = ("image", "file_name", "filename", "image_name", "image_path", "path", "file", "photo", "image_id")
CAPTION_COLUMNS = ("caption", "text", "sentence", "comment", "raw", "description")
DELIMITERS = ",;\t|"
_MOST_LINES = 100  # that are read in search of the column names
SAVE_AS_UTF8 = "save it as UTF-8 (in Excel: Save As, and the type CSV UTF-8)"


_STARTS = {  # of files that are given where text is meant -> what they are, and what to do
    b"PK\3\4": "is a zip archive or a spreadsheet; unpack it and give the folder, or save the sheet as CSV UTF-8",
    b"\x1f\x8b": "is compressed by gzip; unpack it",
    b"PAR1": "is in the format Parquet; write it as a table with pandas: read_parquet(…).to_csv(…)",
    b"SQLite": "is a database; export its table as CSV",
    b"\x89HDF": "is in the format HDF5; give the file with the captions",
    b"\x89PNG": "is a picture; give the file with the captions",
    b"\xff\xd8\xff": "is a picture; give the file with the captions",
    b"%PDF": "is a PDF; give the file with the captions",
    b"\xd0\xcf\x11\xe0": "is a spreadsheet of an old Excel; save it as CSV UTF-8",
    b"\x80": "is a pickle, which could run programs when it is opened; write it as JSON or CSV where it comes from",
    b"\x93NUMPY": "is an array of NumPy; write it as JSON or CSV",
    **dict.fromkeys((b"BZh", b"\xfd7zXZ", b"Rar!", b"7z\xbc\xaf"), "is compressed; unpack it"),
}


def explain_no_text(path: AnyPath) -> str:
    """What a file is that is no text in UTF-8, and what to do; str.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        ...     _ = file.write(b"PK\\3\\4"), file.flush()
        ...     explain_no_text(file.name).partition(" ")[2]
        'is not text in UTF-8: it is a zip archive or a spreadsheet; unpack it and give the folder, or ...'
    """
    with open(path, "rb") as file:
        start = file.read(8)
    known = next((text for first, text in _STARTS.items() if start.startswith(first)), None)
    if known is None:
        return f"{path} is not text in UTF-8; {SAVE_AS_UTF8}"
    what, advice = known.split("; ", 1)
    return f"{path} is not text in UTF-8: it {what}; {advice}"


class TableHeader(NamedTuple):
    """What the first line of a table says.

    Example:
        >>> read_header("Image Name; Comment")
        TableHeader(names=['image_name', 'comment'], delimiter=';', image=0, captions=(1,), lines=1)
        >>> read_header("image,caption_1,caption_2,rating").captions
        (1, 2)
    """

    names: list[str]  # of str, in lower case and with underscores
    delimiter: str
    image: int  # the number of the column with the image
    captions: tuple[int, ...]  # the numbers of the columns with captions
    lines: int  # of the file, down to its end

    def find(self, names: Iterable[str]) -> int | None:
        """The number of the first column that has one of some names, or None."""
        return next((self.names.index(name) for name in names if name in self.names), None)

    def read_captions(self, row: Sequence[str]) -> list[str]:
        """All captions of a row: of several columns, and of cells that hold a list.

        Example:
            >>> read_header("image,caption,caption").read_captions(["1.jpg", "A dog .", "['A cat', 'A bird']"])
            ['A dog .', 'A cat', 'A bird']
        """
        cells = [row[column] for column in self.captions if column < len(row)]
        return [caption for cell in cells for caption in split_cell(cell)]


def read_start(lines: Iterator[str]) -> list[str]:
    """The lines down to the end of the first row that holds something; a cell of it may go over several.

    Example:
        >>> read_start(iter([";;\\n", 'image;caption;"notes\\n', 'of ours"\\n', "1.jpg;a dog;\\n"]))
        [';;\\n', 'image;caption;"notes\\n', 'of ours"\\n']
    """
    start: list[str] = []
    holds_something, quotation_marks = False, 0
    for line in lines:
        start.append(line)
        holds_something = holds_something or line.strip(f'{DELIMITERS}" \r\n') != ""
        quotation_marks += line.count('"')
        if (holds_something and quotation_marks % 2 == 0) or len(start) == _MOST_LINES:
            break
    return start


def read_header(start: str, image_columns: Sequence[str] = IMAGE_COLUMNS) -> TableHeader | None:
    """Find the separator with which the first row that holds something names an image and a caption column."""
    for delimiter in DELIMITERS:
        rows = csv.reader(io.StringIO(start, newline=""), delimiter=delimiter)
        try:
            cells = next(filter(any, rows), [])
        except csv.Error:  # a field of more than 131,072 characters, which names no column
            continue
        names = [re.sub(r"[\s-]+", "_", cell.strip().lower()) for cell in cells]
        header = TableHeader(names, delimiter, 0, (), rows.line_num)
        image, captions = header.find(image_columns), find_caption_names(header.names)
        if image is not None and captions:
            return header._replace(image=image, captions=captions)
    return None


def find_caption_names(names: Sequence[str]) -> tuple[int, ...]:
    """The places of the names that mean captions: of one kind, also in the plural or numbered in any way.

    Example:
        >>> find_caption_names(["file", "caption", "caption.1", "Caption_2"]), find_caption_names(["id", "sentences"])
        ((1, 2, 3), (1,))
    """
    for kind in CAPTION_COLUMNS:
        numbered = re.compile(rf"{kind}s?[\W_]*(?:\d+[\W_]*)?", re.IGNORECASE)
        found = tuple(place for place, name in enumerate(names) if numbered.fullmatch(name))
        if found:
            return found
    return ()


def read_rows(lines: Iterable[str], header: TableHeader, path: AnyPath) -> Iterator[tuple[int, list[str]]]:
    """The rows below a header, each with the number of its first line, not the empty ones, mended as far as is known.

    Example:
        >>> header = read_header("image,caption")
        >>> list(read_rows(["1.jpg,a dog, running\\n"], header, "a.csv"))
        [(2, ['1.jpg', 'a dog, running'])]
    """
    rows = csv.reader(lines, delimiter=header.delimiter)
    read = header.lines
    try:
        for row in rows:
            if any(row):
                yield read + 1, _mend(row, header)
            read = rows.line_num + header.lines
    except csv.Error as error:
        raise InputError(
            f"{path} is not a readable table ({error}); check the quotation marks in line {read + 1}, where what is "
            "too long begins"
        ) from error


def _mend(row: list[str], header: TableHeader) -> list[str]:
    """Mend what is known to happen: a separator too much or left out, commas in a caption without quotation marks."""
    last = len(header.names) - 1
    while len(row) > last + 1 and not row[-1].strip():
        row = row[:-1]
    if header.captions != (last,):
        return row
    if header.delimiter == "|" and len(row) == last:
        # Flickr30k's one broken line: "2199200615.jpg| 4   A dog runs across the grass ."
        number_and_caption = re.fullmatch(r"\s*(\d+)\s+(.*)", row[-1], re.DOTALL)
        return [*row[:-1], *number_and_caption.groups()] if number_and_caption else row
    return row if len(row) <= last else [*row[:last], header.delimiter.join(row[last:])]


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as the text of a CSV file with a first line of names.

    Where it is not all ASCII it begins with a byte-order mark: without it Excel shows broken letters.

    Example:
        >>> print(to_csv([{"image": "a.jpg", "caption": "a dog, running"}]))
        image,caption
        a.jpg,"a dog, running"
        >>> to_csv([{"epoch": 0}, {"epoch": 1, "reward": 0.5}])
        'epoch,reward\\n0,\\n1,0.5\\n'
    """
    table = io.StringIO()
    writer = csv.DictWriter(table, dict.fromkeys(name for row in rows for name in row), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    text = table.getvalue()
    return text if text.isascii() else f"\ufeff{text}"
