"""The caption files that are recognised, and how each is read."""

import itertools
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

from captioning_utils.base.errors import InputError
from captioning_utils.base.files import read_json
from captioning_utils.base.plain_json import parse_json
from captioning_utils.base.raw_captions import is_missing
from captioning_utils.base.tables import (
    CAPTION_COLUMNS,
    IMAGE_COLUMNS,
    explain_no_text,
    find_caption_names,
    read_header,
    read_rows,
    read_start,
)
from captioning_utils.datasets.listing import Listing, valid_text
from captioning_utils.datasets.locating import find_texts
from captioning_utils.datasets.splits import SPLIT_WORDS, split_in_name, split_in_text

TOKEN_LINE = re.compile(r"[^\t\n]*#\d+\t")  # Flickr's own format: "name.jpg#0<tab>caption"
SPLIT_COLUMNS = ("split", "set", "subset")


def read_listing(caption_files: list[Path]) -> Listing:
    listing = Listing()
    for file in caption_files:
        several = len(caption_files) > 1
        listing.file_split = split_in_name(file) if several else None
        # of the folder of a split, where each may number its photos anew
        listing.file_folder = f"{file.parent.name}/" if several and split_in_text(file.stem) is None else ""
        listing.split_folders |= {file.parent.name} if listing.file_folder else set()
        if file.is_dir():
            _read_texts(file, listing)
        elif file.stat().st_size == 0:
            raise InputError(f"{file} is empty; give a file with captions")
        elif file.suffix.lower() == ".json":
            _read_json_captions(file, listing)
        elif file.suffix.lower() == ".jsonl":
            _read_records(_read_json_lines(file), listing, file)
        else:
            _read_text_captions(file, listing)
    listing.note_omissions()
    if not listing.captions:
        advice = "; ".join(note.text for note in listing.notes.values()) or "give a file with at least one caption"
        raise InputError(f"{caption_files[0]} holds no caption; {advice}")
    return listing


def _read_text_captions(file: Path, listing: Listing) -> None:
    try:
        with open(file, encoding="utf-8-sig", newline="") as lines:
            first = lines.readline()
            if TOKEN_LINE.match(first):
                listing.layout = "Flickr's token file"
                _read_token_lines(itertools.chain([first], lines), listing, file)
            else:
                listing.layout = "a table with an image and a caption column"
                _read_table(itertools.chain([first], lines), listing, file)
    except UnicodeDecodeError as error:
        raise InputError(explain_no_text(file)) from error


def _read_token_lines(lines: Iterable[str], listing: Listing, file: Path) -> None:
    """`TOKEN_LINE`s.

    Flickr8k has five captions for "2258277193_586949ec62.jpg.1", a photo that was never published; they leave
    with the other captions whose photo is missing.
    """
    for number, line in enumerate(lines, 1):
        name, tab, caption = line.partition("\t")
        name = name.rpartition("#")[0].strip()
        if tab and name:
            listing.add(safe_name(name, file), caption, None, file)
        elif line.strip():
            listing.broken.append(f"{file.name}, line {number}")


def _read_table(lines: Iterator[str], listing: Listing, file: Path) -> None:
    start = read_start(lines)
    header = read_header("".join(start))
    if header is None:
        raise InputError(
            f"{file} has no image and caption column; its first line is {''.join(start).strip()!r:.120}, where one "
            f"column must be called {_or(IMAGE_COLUMNS)} and one {_or(CAPTION_COLUMNS)}; add that line or rename the "
            "columns"
        )
    split = header.find(SPLIT_COLUMNS)
    for number, row in read_rows(itertools.chain(start[header.lines :], lines), header, file):
        line = f"{file.name}, line {number}"
        if len(row) > len(header.names):
            raise InputError(
                f"{line} has {len(row)} columns and the first line {len(header.names)}; put captions that hold the "
                f"separator {header.delimiter!r} in double quotation marks, and close each"
            )
        needed = max(header.image, header.captions[0], split or 0)
        captions = header.read_captions(row)
        listing.long += [line for caption in captions if "\n" in caption.strip()]
        if len(row) <= needed or not row[header.image].strip():
            listing.broken += [] if line in listing.long[-1:] else [line]
            continue
        split_word = None if split is None else read_split(row[split], line)
        # of several columns some may be empty: not every photo has as many captions as another
        for caption in [caption for caption in captions if caption.strip()] or [""]:
            listing.add(safe_name(row[header.image], file), caption, split_word, file)


def read_split(word: str, line: str) -> str:
    """The split that a file names, by any of its usual names: str."""
    split = SPLIT_WORDS.get(word.strip().lower())
    if split is None:
        raise InputError(f"{line} has the split {word!r:.80}; allowed: {', '.join(SPLIT_WORDS)}")
    return split


def _read_json_captions(file: Path, listing: Listing) -> None:
    content = read_json(file)
    if isinstance(content, list) and content:
        return _read_records(content, listing, file)
    images = content.get("images") if isinstance(content, dict) else None
    # one of several files may be without captions: those of test photos are not always published
    annotations = content.get("annotations", [] if listing.file_split else None) if isinstance(images, list) else None
    if isinstance(images, list) and isinstance(annotations, list):
        listing.layout = "COCO's captions"
        _read_coco(images, annotations, listing, file)
    elif isinstance(images, list) and images and isinstance(images[0], dict) and "sentences" in images[0]:
        listing.layout = "Karpathy's split file"
        _read_karpathy(images, listing, file)
    elif (
        images is None and isinstance(content, dict) and all(isinstance(each, str | list) for each in content.values())
    ):
        _read_records([{"image": name, "captions": captions} for name, captions in content.items()], listing, file)
    else:
        raise InputError(
            f"{file} is neither COCO's captions (lists called images and annotations) nor Karpathy's split "
            "(a list called images with sentences), nor captions by photo ({name: [caption]}, or a list of objects); "
            "give one of these or a CSV"
        )


def _read_coco(images: list[Any], annotations: list[Any], listing: Listing, file: Path) -> None:
    names = {}
    for index, image in enumerate(images):
        where = f"{file}: images[{index}]"
        names[_entry(image, "id", (int, str), where)] = safe_name(_entry(image, "file_name", str, where), file)
    for index, annotation in enumerate(annotations):
        where = f"{file.name}: annotations[{index}]"
        name = names.get(_entry(annotation, "image_id", (int, str), where))
        if name is None:
            listing.broken.append(where)
        else:
            listing.add(name, _caption(annotation, "caption", where), None, file)


def _read_karpathy(images: list[Any], listing: Listing, file: Path) -> None:
    for index, image in enumerate(images):
        where = f"{file}: images[{index}]"
        image_id = safe_name(_entry(image, "filename", str, where), file)
        split = read_split(_entry(image, "split", str, where), where)
        if "filepath" in image:
            listing.folder_of[image_id] = safe_name(_entry(image, "filepath", str, where), file)
        for sentence in _entry(image, "sentences", (list, NoneType), where) or [{}]:
            listing.add(image_id, _caption(sentence, "raw", where), split, file)


def _read_json_lines(file: Path) -> list[Any]:
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(explain_no_text(file)) from error
    records = []
    for number, line in enumerate(lines, 1):
        try:
            records += [parse_json(line)] if line.strip() else []
        except ValueError as error:
            raise InputError(
                f"{file.name}, line {number} is not valid JSON ({error}); give an object a line"
            ) from error
    return records


def _read_records(records: list[Any], listing: Listing, file: Path) -> None:
    """Objects with a photo's name and its captions, as in Hugging Face's metadata.jsonl."""
    listing.layout = "objects with an image and a caption"
    for number, record in enumerate(records, 1):
        where = f"{file.name}, entry {number}"
        names = list(record) if isinstance(record, dict) else []
        image = next((name for name in IMAGE_COLUMNS if name in names), None)
        places = find_caption_names(names)
        if image is None or not places:
            raise InputError(
                f"{where} has no image and caption ({record!r:.120}); give objects with one of {_or(IMAGE_COLUMNS)}, "
                f"and one of {_or(CAPTION_COLUMNS)}"
            )
        split = next((name for name in SPLIT_COLUMNS if name in names), None)
        split_word = None if split is None else read_split(_entry(record, split, str, where), where)
        name = safe_name(_entry(record, image, str, where), file)
        values = [record[names[place]] for place in places]
        captions = [each for value in values for each in (value if isinstance(value, list) else [value])]
        for caption in captions or [""]:
            listing.add(name, _caption({"caption": caption}, "caption", where), split_word, file)


def _read_texts(root: Path, listing: Listing) -> None:
    """A text file beside each photo, with a caption on each line."""
    listing.layout = "a text file beside each photo"
    for folder, folders, _ in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name, text in find_texts(Path(folder), root).items():
            try:
                lines = text.read_text(encoding="utf-8-sig").splitlines()
            except UnicodeDecodeError as error:
                raise InputError(explain_no_text(text)) from error
            for caption in [line for line in lines if line.strip()] or [""]:
                listing.add(name, caption, None, text)


def _caption(record: object, key: str, where: str) -> str:
    """As `_entry`; "" where there is none, which is left out and counted."""
    is_none = isinstance(record, dict) and is_missing(record.get(key))
    return "" if is_none else str(_entry(record, key, str, where))


def _entry(record: object, key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """`record[key]` of a stranger's JSON, if it is what it must be."""
    value = record.get(key) if isinstance(record, dict) else None
    if not isinstance(value, kind):
        raise InputError(f'{where} has no usable "{key}" ({value!r:.80}); mend it, or leave this entry out')
    return value


def safe_name(name: str, file: Path) -> str:
    """The name of a photo inside the photo folder; never one that leads out of it."""
    name = valid_text(name).strip().replace("\\", "/")
    parts = name.split("/")
    if ".." in parts or not parts[0] or "\0" in name or re.match("[A-Za-z]:", name):
        raise InputError(f"{file} names the photo {name!r:.120}; give names inside the photo folder, without '..'")
    return name if "." not in parts and "" not in parts else "/".join(part for part in parts if part not in ("", "."))


def _or(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
