"""Captions and references from files that anyone wrote, so that captions of any captioner can be scored.

The layout is recognised by looking, never by the file's name:

- a JSON object `{id: caption}` or `{id: [caption]}` (candidates) or `{id: [caption, ...]}` (references);
- a JSON list of objects with an image and a caption, such as COCO's results `[{"image_id": 1, "caption": "..."}]`;
- JSON lines, one such object a line;
- COCO's captions, an object with lists called `images` and `annotations` (references);
- Karpathy's split file and Flickr's token file (references);
- a table with a first line that names an image and a caption column, separated by commas, semicolons, tabs or bars
  (Flickr30k's).

Ids compare as text: 42 and "42" are the same photo. Where captions have a score, as those of `generate.py`, and a photo
has several, the first counts.
"""

import collections
import io
import itertools
import json
import os
import re
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from captioning_utils.base.errors import InputError
from captioning_utils.base.plain_json import parse_json
from captioning_utils.base.raw_captions import find_boundary_tags, is_missing
from captioning_utils.base.tables import (
    IMAGE_COLUMNS,
    explain_no_text,
    find_caption_names,
    read_header,
    read_rows,
    read_start,
)
from captioning_utils.base.types import AnyPath
from captioning_utils.base.wording import count_and_name
from captioning_utils.datasets.layouts import TOKEN_LINE, read_listing

_IMAGE_NAMES = ("image_id", *IMAGE_COLUMNS)  # where a file has both ids and names, as COCO's, ids are meant
_ADVICE = "give {id: text}, objects or a table with image_id and caption, or COCO's captions (references only)"


def load_candidates(path: AnyPath, notes: list[str] | None = None) -> dict[str, str]:
    """Read one caption a photo.

    Args:
        path: str or `Path`; the module's first lines say which layouts are read.
        notes: list that gets a sentence for each thing that was mended, or None.

    Returns:
        dict of image_id (str) to caption, in the file's order. A caption that is no text stays as it is:
        `metrics.compute_scores` counts and names these together.

    Raises:
        FileNotFoundError: when there is no such file.
        InputError: when it is none of these layouts, is damaged, or has an id twice; the message counts and names.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "results.json"
        >>> _ = path.write_text('[{"image_id": 42, "caption": "a dog"}, {"image_id": 7, "caption": "a cat"}]')
        >>> load_candidates(path)
        {'42': 'a dog', '7': 'a cat'}
    """
    content, ranked = _read(path, notes)
    pairs = content.items() if isinstance(content, dict) else content
    lists = ((image_id, caption if isinstance(caption, list) else [caption]) for image_id, caption in pairs)
    found: dict[str, list[Any]] = {}
    for image_id, captions in lists:
        found.setdefault(_clean_id(image_id), []).extend(map(_clean_text, captions))
    several = [image_id for image_id, captions in found.items() if len(captions) != 1]
    if several and not ranked:
        raise InputError(f"{path} has several captions or none for {count_and_name(several)}; give one a photo")
    if several and notes is not None:
        notes.append(f"{path} has several captions a photo; the first of each, the best, is scored")
    found = {image_id: captions[:1] for image_id, captions in found.items()}
    return {image_id: caption for image_id, [caption] in _without_tags(found, path, notes).items()}


def load_references(
    path: AnyPath, notes: list[str] | None = None, wanted: Collection[str] | None = None
) -> dict[str, list[str]]:
    """Read what people wrote, any number of captions a photo.

    Args:
        path: str or `Path`; the module's first lines say which layouts are read.
        notes: as for `load_candidates`.
        wanted: image_ids (str), of which some are meant: of Karpathy's split file only the splits that hold one of
            them are read. None: all.

    Returns:
        dict of image_id (str) to list of captions, in the file's order. Empty lists and captions that are no text
        stay as they are: `metrics.compute_scores` counts and names these together.

    Raises:
        FileNotFoundError: when there is no such file.
        InputError: when it is none of these layouts, or is damaged.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "references.csv"
        >>> _ = path.write_text("image,caption\\n1.jpg,A dog .\\n1.jpg,A brown dog .\\n")
        >>> load_references(path)
        {'1.jpg': ['A dog .', 'A brown dog .']}
    """
    references = _read_listing(path, wanted)
    references = _read_references(path, notes) if references is None else references
    return _without_tags(_without_missing(references, path, notes), path, notes)


def match_ids(captions: dict[str, str], references: Collection[str], notes: list[str] | None = None) -> dict[str, str]:
    """Give candidates the references' ids, where the two name the same photos in other ways.

    Where no id is the same, file names without folders are compared, then these without their endings, then COCO's
    numbers in them.

    Args:
        captions: dict of image_id (str) to caption.
        references: image_ids (str) of the references.
        notes: as for `load_candidates`.

    Returns:
        dict, as `captions`; ids for which there is not exactly one match stay as they are.

    Example:
        >>> match_ids({"holiday/a.jpg": "a dog", "b.jpg": "a cat"}, ["a", "c"])
        {'a': 'a dog', 'b.jpg': 'a cat'}
        >>> match_ids({"val2017/000000000042.jpg": "a dog"}, ["42"])
        {'42': 'a dog'}
    """
    if not captions.keys().isdisjoint(references):
        return captions
    for shorten in (_file_name, _stem, _coco_number):
        theirs = collections.defaultdict(list)
        for image_id in references:
            theirs[shorten(image_id)].append(image_id)
        counts = collections.Counter(map(shorten, captions))
        found = {
            image_id: theirs[short][0]
            for image_id in captions
            if counts[short := shorten(image_id)] == 1 and len(theirs.get(short, ())) == 1
        }
        if found:
            if notes is not None:
                notes.append(
                    f"{len(found):,} of {len(captions):,} photos found by their file names, not their whole ids"
                )
            return {found.get(image_id, image_id): caption for image_id, caption in captions.items()}
    return captions


def _file_name(image_id: str) -> str:
    return unicodedata.normalize("NFC", re.split(r"[/\\]", image_id)[-1])


def _stem(image_id: str) -> str:
    return os.path.splitext(_file_name(image_id))[0].casefold()


def _coco_number(image_id: str) -> str:
    return re.sub(r"^(?:coco_(?:train|val|test)\d{4}_)?0*(?=\d+$)", "", _stem(image_id))


def _read_listing(path: AnyPath, wanted: Collection[str] | None) -> dict[str, list[str]] | None:
    """The captions of a file that only datasets have, Karpathy's or Flickr's, or None for another file."""
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        start = file.read(10_000)
    is_karpathys = start.lstrip().startswith("{") and '"sentences"' in start and Path(path).suffix.lower() == ".json"
    if not (is_karpathys or TOKEN_LINE.match(start)):
        return None
    listing = read_listing([Path(path)])
    splits = {listing.split_of[image_id] for image_id in wanted or () if image_id in listing.split_of}
    return {
        image_id: captions
        for image_id, captions in listing.captions.items()
        if not splits or listing.split_of.get(image_id) in splits
    }


def _without_tags(captions: dict[str, Any], path: AnyPath, notes: list[str] | None) -> dict[str, Any]:
    """The same lists of captions, without the boundary tags of the program that wrote them."""
    groups = [each for each in captions.values() if isinstance(each, list)]
    texts = [caption for each in groups for caption in each if isinstance(caption, str)]
    tags = find_boundary_tags(texts)
    if tags is None:
        return captions
    if notes is not None:
        notes.append(f"{path}: {tags.tell(len(texts))}")
    return {
        image_id: [tags.drop(caption) if isinstance(caption, str) else caption for caption in each]
        if isinstance(each, list)
        else each
        for image_id, each in captions.items()
    }


def _without_missing(references: dict[str, Any], path: AnyPath, notes: list[str] | None) -> dict[str, Any]:
    """The same lists of captions without null and the like, unless a photo has nothing else."""
    kept = {
        image_id: [caption for caption in captions if not is_missing(caption)] or captions
        if isinstance(captions, list)
        else captions
        for image_id, captions in references.items()
    }
    lost = [image_id for image_id in references if kept[image_id] != references[image_id]]
    if lost and notes is not None:
        notes.append(f"{path} has references that hold nothing, left out, of {count_and_name(lost)}")
    return kept


def _read_references(path: AnyPath, notes: list[str] | None) -> dict[str, Any]:
    content, _ = _read(path, notes)
    if isinstance(content, dict) and isinstance(content.get("annotations"), list):
        return _group(_records(content["annotations"], path), _coco_ids(content.get("images"), path))
    if isinstance(content, dict):
        return {
            _clean_id(image_id): [_clean_text(caption) for caption in captions]
            if isinstance(captions, list)
            else captions
            for image_id, captions in content.items()
        }
    return _group(content)


def _group(pairs: Iterable[tuple[Any, Any]], image_ids: Iterable[str] = ()) -> dict[str, list[str]]:
    """{image_id: [caption, ...]}, with an empty list for a photo that is listed and has none."""
    references: dict[str, list[str]] = {image_id: [] for image_id in image_ids}
    for image_id, captions in pairs:
        texts = map(_clean_text, captions if isinstance(captions, list) else [captions])
        references.setdefault(_clean_id(image_id), []).extend(texts)
    return references


def _coco_ids(images: Any, path: AnyPath) -> list[str]:
    if images is None:
        return []
    ids = [image.get("id") if isinstance(image, dict) else None for image in images] if type(images) is list else [None]
    if not all(map(_is_id, ids)):
        raise InputError(f'{path}: its "images" is no list of objects with an id; {_ADVICE}')
    return list(map(_clean_id, ids))


def _read(path: AnyPath, notes: list[str] | None) -> tuple[dict[str, Any] | list[tuple[Any, Any]], bool]:
    """The content, a dict as it is, anything else as a list of (image_id, caption); and whether it has scores."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(explain_no_text(path)) from error
    is_json = text.lstrip()[:1] in ("{", "[")
    content, ranked = (_parse_json(text, path), False) if is_json else _parse_table(text, path, notes)
    if not content:
        raise InputError(f"{path} holds no caption; {_ADVICE}")
    if not is_json or (isinstance(content, dict) and _fields(content) is None):
        return content, ranked
    records = content if isinstance(content, list) else [content]
    return _records(records, path), all(isinstance(record, dict) and "score" in record for record in records)


def _parse_json(text: str, path: AnyPath) -> Any:
    """One JSON value, or a list of those on the lines of the text."""
    try:
        try:
            return parse_json(text, object_pairs_hook=_unique)
        except json.JSONDecodeError as error:
            if error.msg != "Extra data":
                raise
            return [parse_json(line, object_pairs_hook=_unique) for line in text.split("\n") if line.strip()]
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except ValueError as error:
        raise InputError(f"{path} is neither JSON nor JSON lines ({error}); {_ADVICE}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object as a dict; of a key that comes twice JSON would drop the first value without a word."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = [key for key, count in collections.Counter(key for key, _ in pairs).items() if count > 1]
        raise InputError(f"an object has several values for {count_and_name(twice)}; give one each")
    return found


def _parse_table(text: str, path: AnyPath, notes: list[str] | None) -> tuple[list[tuple[Any, Any]], bool]:
    """The rows of a table as (image_id, caption), and whether it has scores."""
    lines = io.StringIO(text, newline="")
    start = read_start(lines)
    header = read_header("".join(start), _IMAGE_NAMES)
    if header is None:
        first = "".join(start).strip()
        raise InputError(f"{path} is no JSON, and its first line {first!r:.120} names no image and caption; {_ADVICE}")
    pairs, bad, long = [], [], []
    for number, row in read_rows(itertools.chain(start[header.lines :], lines), header, path):
        long += [number] if any("\n" in cell.strip() for cell in row) else []
        if len(row) == len(header.names) and _is_id(row[header.image]):
            captions = [caption.strip() for caption in header.read_captions(row) if not is_missing(caption)]
            pairs += [(row[header.image], caption) for caption in list(filter(None, captions)) or [""]]
        else:
            bad.append(f"line {number}")
    if bad:
        raise InputError(
            f"{path} has not {len(header.names)} columns as its first line, or no image, in "
            f"{count_and_name(bad, show=str)}; put captions that hold the separator {header.delimiter!r} in double "
            "quotation marks, and close each"
        )
    if long and notes is not None:
        notes.append(f"{path} has a caption over several lines in line {long[0]}: check for an unclosed quotation mark")
    return pairs, "score" in header.names


def _fields(record: dict[str, Any]) -> tuple[str, list[str]] | None:
    """The names of the image and of the captions in an object, or None."""
    names = list(record)
    image = next((name for name in _IMAGE_NAMES if name in names), None)
    captions = [names[place] for place in find_caption_names(names)]
    return (image, captions) if image is not None and captions else None


def _records(records: list[Any], path: AnyPath) -> list[tuple[Any, Any]]:
    """(image_id, caption) of each object in a list."""
    pairs, bad = [], []
    for number, record in enumerate(records):
        fields = _fields(record) if isinstance(record, dict) else None
        image_id = record[fields[0]] if fields else None
        if fields and _is_id(image_id):
            values = [record[name] for name in fields[1]]
            several = [each for value in values for each in (value if isinstance(value, list) else [value])]
            pairs.append((image_id, several if len(values) > 1 else values[0]))
        else:
            bad.append(f"entry {number + 1}: {record!r:.60}")
    if bad:
        raise InputError(f"{path} has no image_id and caption in {count_and_name(bad, show=str)}; {_ADVICE}")
    return pairs


def _is_id(value: object) -> bool:
    return type(value) is int or (isinstance(value, str) and value.strip() != "")


def _clean_id(image_id: object) -> str:
    return _clean_text(str(image_id)).strip()


def _clean_text(caption: Any) -> Any:
    """JSON can hold half characters that no file can be written with: they become "?". What is no text stays."""
    return caption.encode("utf-8", "replace").decode() if isinstance(caption, str) else caption
