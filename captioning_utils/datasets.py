"""Photographs and their captions, from any of the layouts that captioning datasets come in.

`load_dataset(path)` looks at what is there and recognises Flickr8k and Flickr30k in their original and their Kaggle
layouts, COCO's annotations, Karpathy's split JSON, and a CSV of your own. `data/README.md` shows the expected trees.

The split is, in this order: the one in the caption file (Karpathy's, or a split column); for COCO with train and val,
COCO's train as train, and its val halved into val and test; Flickr8k's official one where its three files are
present; otherwise 80 % train, 10 % val, 10 % test. Photos are drawn, never captions, so a photo's captions stay
together; the draw depends on the seed and the photos' names only, not on the order of files or lines.

References: Hodosh et al. 2013 (Flickr8k, JAIR 47); Young et al. 2014 (Flickr30k, TACL 2); Chen et al. 2015 (COCO's
captions, arXiv:1504.00325); Karpathy and Li 2015 (splits, arXiv:1412.2306).
"""

import contextlib
import dataclasses
import hashlib
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from captioning_utils.errors import InputError, count_and_name, count_noun, name_some
from captioning_utils.files import read_json
from captioning_utils.images import is_photo_name
from captioning_utils.interfaces import AnyPath
from captioning_utils.tables import CAPTION_COLUMNS, IMAGE_COLUMNS, SAVE_AS_UTF8, read_header, read_rows

SPLITS = ("train", "val", "test")
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "restval"), "train"),  # restval: the part of COCO's val that trains
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}

# The caption files that are recognised by name, in the order of preference; the first group that is there is read.
CAPTION_FILES = (
    ("dataset_flickr8k.json", "dataset_flickr30k.json", "dataset_coco.json"),  # Karpathy
    ("Flickr8k.token.txt",),
    ("results_20130124.token",),  # Flickr30k as first published
    ("captions.txt",),  # Flickr8k and Flickr30k on Kaggle
    ("results.csv",),  # Flickr30k on Kaggle
    ("captions_train2017.json",),
    ("captions_val2017.json",),
    ("captions_train2014.json",),
    ("captions_val2014.json",),
    ("captions.csv",),
)
TEXT_FOLDERS = ("annotations", "Flickr8k_text", "Flickr8k_Text", "flickr30k_images")
FLICKR8K_SPLIT_FILES = {
    "train": "Flickr_8k.trainImages.txt",
    "val": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}

PHOTO_FOLDERS = (
    "Images",
    "images",
    "Flicker8k_Dataset",  # the misspelling is the original's
    "Flickr8k_Dataset",
    "flickr30k_images",
    "flickr30k-images",
    *("train2017", "val2017", "train2014", "val2014"),
)

SPLIT_COLUMNS = ("split", "set", "subset")


class Note(NamedTuple):
    """What was left out or repaired while loading."""

    count: int  # type: ignore[assignment]  # a tuple's own count() is of no use here
    text: str  # a sentence for people


@dataclasses.dataclass(frozen=True)
class CaptionDataset:
    """Photographs, the captions people wrote for them, and which of them train, validate and test.

    Raises:
        InputError: where a photo has no captions, a split names an unknown photo, or a photo is in two splits.

    Example:
        >>> dataset = CaptionDataset(
        ...     name="pets",
        ...     image_paths={"1.jpg": Path("pets/1.jpg"), "2.jpg": Path("pets/2.jpg")},
        ...     captions={"1.jpg": ["A cat .", "A cat sleeps ."], "2.jpg": ["A dog ."]},
        ...     splits={"train": ["1.jpg"], "val": [], "test": ["2.jpg"]},
        ... )
        >>> dataset.split_captions("test")
        {'2.jpg': ['A dog .']}
        >>> print(dataset.summary())
        pets: 2 photos with 3 captions (train 1 photo, val 0 photos, test 1 photo)
    """

    name: str  # the dataset folder's name
    image_paths: dict[str, Path]  # image_id -> file; the image_id is the name that the caption file uses
    captions: dict[str, list[str]]  # image_id -> at least one caption, as written but for spaces at the ends
    splits: dict[str, list[str]]  # "train", "val", "test" -> image_ids, sorted; no photo is in two of them
    notes: dict[str, Note] = dataclasses.field(default_factory=dict)  # by kind: missing_photos, empty_captions, …
    layout: str = dataclasses.field(default="", compare=False)  # what was recognised; contents alone make it equal
    split_source: str = ""  # where the split is from, in words

    def __post_init__(self) -> None:
        if set(self.splits) != set(SPLITS):
            raise InputError(f"the splits are {sorted(self.splits)!r:.80}; give exactly {', '.join(SPLITS)}")
        without = [image_id for image_id in self.image_paths if not self.captions.get(image_id)]
        if without or len(self.captions) != len(self.image_paths):
            unknown = [image_id for image_id in self.captions if image_id not in self.image_paths]
            raise InputError(
                f"captions and photos do not belong together: photos without caption: {count_and_name(without)}, "
                f"captions without photo: {count_and_name(unknown)}; give both for each photo"
            )
        split_of: dict[str, str] = {}
        for split, image_ids in self.splits.items():
            for image_id in image_ids:
                if image_id not in self.image_paths:
                    raise InputError(f"the {split} split names {image_id!r:.120}, which is no photo of the dataset")
                _assign(split_of, image_id, split, self.name)

    @property
    def problems(self) -> tuple[str, ...]:
        """tuple of str: the sentences of `notes`, on what was left out or repaired while loading."""
        return tuple(note.text for note in self.notes.values())

    def require_split(self, split: str, advice: str = "choose another split or add photos") -> list[str]:
        """The image_ids of a split that must not be empty.

        Args:
            split: "train", "val" or "test".
            advice: str, the end of the message where it is empty: what to do.

        Returns:
            list of str, sorted.

        Raises:
            InputError: where there is no such split or it has no photo; the message says which splits have some.

        Example:
            >>> CaptionDataset("none", {}, {}, {"train": [], "val": [], "test": []}).require_split("test")
            Traceback (most recent call last):
            captioning_utils.errors.InputError: the test split of none is empty (train 0, val 0, test 0); ...
        """
        if split not in self.splits:
            raise InputError(f"there is no split {split!r:.80}; choose one of {', '.join(SPLITS)}")
        if not self.splits[split]:
            sizes = ", ".join(f"{name} {len(self.splits[name])}" for name in SPLITS)
            raise InputError(f"the {split} split of {self.name} is empty ({sizes}); {advice}")
        return self.splits[split]

    def split_captions(self, split: str) -> dict[str, list[str]]:
        """The captions of one split: what a vocabulary is built from, and the references of a score.

        Args:
            split: "train", "val" or "test".

        Returns:
            dict of image_id to list of raw captions, in the split's order.

        Raises:
            InputError: as `require_split`.
        """
        return {image_id: self.captions[image_id] for image_id in self.require_split(split)}

    def summary(self) -> str:
        """One line with the sizes, and a line for each problem: for people, to print after loading."""
        sizes = ", ".join(f"{split} {count_noun(len(self.splits[split]), 'photo')}" for split in SPLITS)
        number = sum(map(len, self.captions.values()))
        first = f"{self.name}: {count_noun(len(self.captions), 'photo')} with {count_noun(number, 'caption')} ({sizes})"
        return "\n".join([first, *(f"  note: {problem}" for problem in self.problems)])


def load_dataset(
    path: AnyPath, images: AnyPath | None = None, captions: AnyPath | None = None, seed: int = 0
) -> CaptionDataset:
    """Load a captioning dataset; its layout is recognised by looking.

    The module's first lines say which layouts are read and how the split is chosen. Where both layouts of Flickr8k
    are present the original one is read; they hold the same captions.

    Captions without photo, photos without caption and empty captions are left out, counted, and told in `problems`.

    Args:
        path: str or `Path`, the dataset's folder, or its caption file (CSV, JSON or token file).
        images: str, `Path` or None, the folder with the photos, where it is not beside the captions.
        captions: str, `Path` or None, the caption file, where its name is not one of the known ones.
        seed: int, another one draws another split.

    Returns:
        `CaptionDataset`.

    Raises:
        InputError: where something is missing, empty, not UTF-8, not recognised or contradictory, a name points
            out of the photo folder, or no photo at all is found; the message says where it looked.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp()) / "pets"
        >>> (folder / "Images").mkdir(parents=True)
        >>> for name in ("1.jpg", "2.jpg"):
        ...     (folder / "Images" / name).touch()
        >>> table = "image,caption,split\\n1.jpg,A cat .,train\\n2.jpg,A dog .,test\\n3.jpg,A bird .,test\\n"
        >>> _ = (folder / "captions.csv").write_text(table)
        >>> print(load_dataset(folder).summary())
        pets: 2 photos with 2 captions (train 1 photo, val 0 photos, test 1 photo)
          note: 1 photo is missing and left out with its 1 caption: '3.jpg'
    """
    root, caption_files = _locate(Path(path), captions)
    listing = _read_listing(caption_files)
    image_paths = _find_photos(listing, _PhotoFinder(root if images is None else Path(images)), caption_files[0])
    split_of, split_source = _choose_splits(listing, root, caption_files, sorted(image_paths), seed)
    kept = sorted(image_id for image_id in image_paths if image_id in split_of)
    if len(kept) < len(image_paths):
        text = f"{count_noun(len(image_paths) - len(kept), 'photo')} in no list of the official split, left out"
        listing.note("photos_in_no_split", len(image_paths) - len(kept), text)
    return CaptionDataset(
        name=root.resolve().name or "dataset",
        image_paths={image_id: image_paths[image_id] for image_id in kept},
        captions={image_id: listing.captions[image_id] for image_id in kept},
        splits={split: [image_id for image_id in kept if split_of[image_id] == split] for split in SPLITS},
        notes=listing.notes,
        layout=f"{listing.layout} ({' and '.join(file.name for file in caption_files)})",
        split_source=split_source,
    )


# --- Which files are there ---


def _locate(path: Path, captions: AnyPath | None) -> tuple[Path, list[Path]]:
    """The dataset's folder and its caption files: one, or COCO's train and val."""
    if path.is_file():
        root = path.parent.parent if path.parent.name in TEXT_FOLDERS else path.parent
        captions = path if captions is None else captions
    elif path.is_dir():
        root = path
    else:
        raise InputError(f"{path} does not exist; give the folder of a dataset, or its caption file")
    if captions is None:
        return root, _recognise(root)
    places = [Path(captions), root / captions]
    found = [place for place in places if place.is_file()]
    if not found:
        raise InputError(f"the caption file {captions} does not exist, here or in {root}; give a CSV or JSON file")
    return root, found[:1]


def _recognise(root: Path) -> list[Path]:
    folders = [root, *(root / name for name in TEXT_FOLDERS)]
    for names in CAPTION_FILES:
        found = [folder / name for name in names for folder in folders if (folder / name).is_file()]
        if found:
            return _only(found[:1] if len(names) == 1 else found) + _coco_sibling(found[0])
    tables = sorted(file for file in root.glob("*.csv") if file.is_file())
    if tables:
        return _only(tables)
    entries = sorted(entry.name for entry in itertools.islice(root.iterdir(), 1000))
    known = ", ".join(itertools.chain(*CAPTION_FILES))
    raise InputError(
        f"no caption file recognised in {root}, which holds {name_some(entries, 10) or 'nothing'}; recognised are "
        f"{known} (here or in {', '.join(TEXT_FOLDERS)}) and a single .csv; else give the caption file itself"
    )


def _only(files: list[Path]) -> list[Path]:
    if len(files) > 1:
        names = [file.name for file in files]
        raise InputError(
            f"several caption files in {files[0].parent}: {name_some(names, 10)}; give the path of the one to read"
        )
    return files


def _coco_sibling(file: Path) -> list[Path]:
    """COCO's val file beside its train file, as a list of one or none."""
    sibling = file.with_name(file.name.replace("captions_train", "captions_val"))
    return [sibling] if sibling != file and sibling.is_file() else []


# --- What the caption files say ---


@dataclasses.dataclass
class _Listing:
    """What caption files say, before anybody looked for the photos."""

    captions: dict[str, list[str]] = dataclasses.field(default_factory=dict)  # image_id -> list of str
    # image_id -> split; empty where the file has none
    split_of: dict[str, str] = dataclasses.field(default_factory=dict)
    folder_of: dict[str, str] = dataclasses.field(default_factory=dict)  # image_id -> folder, where the file names one
    notes: dict[str, Note] = dataclasses.field(default_factory=dict)  # kind -> Note
    layout: str = ""
    empty: list[str] = dataclasses.field(default_factory=list)  # image_id of each caption without any text
    broken: list[str] = dataclasses.field(default_factory=list)  # "file, line" of what cannot be used
    long: list[str] = dataclasses.field(default_factory=list)  # "file, line" where a caption of several lines ends

    def add(self, image_id: str, caption: str, split: str | None, file: Path) -> None:
        caption = _valid_text(caption).strip()
        if not caption:
            self.empty.append(image_id)
            return
        self.captions.setdefault(image_id, []).append(caption)
        if split is not None:
            _assign(self.split_of, image_id, split, file)

    def note(self, kind: str, count: int, text: str) -> None:
        self.notes[kind] = Note(count, text)

    def note_losses(self) -> None:
        if self.empty:
            text = f"{count_noun(len(self.empty), 'empty caption')} left out, of {name_some(self.empty)}"
            self.note("empty_captions", len(self.empty), text)
        if self.broken:
            count = count_noun(len(self.broken), "entry", "entries")
            text = f"{count} without image or caption left out, the first in {self.broken[0]}"
            self.note("broken_entries", len(self.broken), text)
        if self.long:
            count = count_noun(len(self.long), "caption")
            text = f"{count} over several lines, the first up to {self.long[0]}: check for an unclosed quotation mark"
            self.note("captions_over_lines", len(self.long), text)


def _read_listing(caption_files: list[Path]) -> _Listing:
    listing = _Listing()
    coco_splits = ("train", "val") if len(caption_files) == 2 else (None,)
    for file, coco_split in zip(caption_files, coco_splits, strict=True):
        if file.stat().st_size == 0:
            raise InputError(f"{file} is empty; give a file with captions")
        if file.suffix.lower() == ".json":
            _read_json_captions(file, listing, coco_split)
        else:
            _read_text_captions(file, listing)
    listing.note_losses()
    if not listing.captions:
        advice = "; ".join(note.text for note in listing.notes.values()) or "give a file with at least one caption"
        raise InputError(f"{caption_files[0]} holds no caption; {advice}")
    return listing


def _read_text_captions(file: Path, listing: _Listing) -> None:
    try:
        with open(file, encoding="utf-8-sig", newline="") as lines:
            first = lines.readline()
            if re.match(r"[^\t]*#\d+\t", first):
                listing.layout = "Flickr's token file"
                _read_token_lines(itertools.chain([first], lines), listing, file)
            else:
                listing.layout = "a table with an image and a caption column"
                _read_table(first, lines, listing, file)
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not text in UTF-8; {SAVE_AS_UTF8}") from error


def _read_token_lines(lines: Iterable[str], listing: _Listing, file: Path) -> None:
    """Flickr's own format: "name.jpg#0<tab>caption".

    Flickr8k has five captions for "2258277193_586949ec62.jpg.1", a photo that was never published; they leave
    with the other captions whose photo is missing.
    """
    for number, line in enumerate(lines, 1):
        name, tab, caption = line.partition("\t")
        name = name.rpartition("#")[0].strip()
        if tab and name:
            listing.add(_safe_name(name, file), caption, None, file)
        elif line.strip():
            listing.broken.append(f"{file.name}, line {number}")


def _read_table(first: str, lines: Iterable[str], listing: _Listing, file: Path) -> None:
    header = read_header(first)
    if header is None:
        raise InputError(
            f"{file} has no image and caption column; its first line is {first.strip()!r:.120}, where one column must "
            f"be called {_or(IMAGE_COLUMNS)} and one {_or(CAPTION_COLUMNS)}; add that line or rename the columns"
        )
    split = header.find(SPLIT_COLUMNS)
    for number, row in read_rows(lines, header, file):
        line = f"{file.name}, line {number}"
        if len(row) > len(header.names):
            raise InputError(
                f"{line} has {len(row)} columns and the first line {len(header.names)}; put captions that hold the "
                f"separator {header.delimiter!r} in double quotation marks"
            )
        if len(row) <= max(header.image, header.caption, split or 0) or not row[header.image].strip():
            listing.broken.append(line)
            continue
        if "\n" in row[header.caption].strip():
            listing.long.append(line)
        split_word = None if split is None else _split_word(row[split], line)
        listing.add(_safe_name(row[header.image], file), row[header.caption], split_word, file)


def _split_word(word: str, line: str) -> str:
    split = SPLIT_WORDS.get(word.strip().lower())
    if split is None:
        raise InputError(f"{line} has the split {word!r:.80}; allowed: {', '.join(SPLIT_WORDS)}")
    return split


def _read_json_captions(file: Path, listing: _Listing, coco_split: str | None) -> None:
    content = read_json(file)
    images = content.get("images") if isinstance(content, dict) else None
    if isinstance(images, list) and isinstance(content.get("annotations"), list):
        listing.layout = "COCO's captions"
        _read_coco(content, listing, file, coco_split)
    elif isinstance(images, list) and images and isinstance(images[0], dict) and "sentences" in images[0]:
        listing.layout = "Karpathy's split file"
        _read_karpathy(images, listing, file)
    else:
        raise InputError(
            f"{file} is neither COCO's captions (lists called images and annotations) nor Karpathy's split "
            "(a list called images with sentences); give one of these or a CSV"
        )


def _read_coco(content: dict[str, Any], listing: _Listing, file: Path, split: str | None) -> None:
    names = {}
    for index, image in enumerate(content["images"]):
        where = f"{file}: images[{index}]"
        names[_entry(image, "id", (int, str), where)] = _safe_name(_entry(image, "file_name", str, where), file)
    for index, annotation in enumerate(content["annotations"]):
        where = f"{file.name}: annotations[{index}]"
        name = names.get(_entry(annotation, "image_id", (int, str), where))
        if name is None:
            listing.broken.append(where)
        else:
            listing.add(name, _entry(annotation, "caption", str, where), split, file)


def _read_karpathy(images: list[Any], listing: _Listing, file: Path) -> None:
    for index, image in enumerate(images):
        where = f"{file}: images[{index}]"
        image_id = _safe_name(_entry(image, "filename", str, where), file)
        split = _split_word(_entry(image, "split", str, where), where)
        if "filepath" in image:
            listing.folder_of[image_id] = _safe_name(_entry(image, "filepath", str, where), file)
        for sentence in _entry(image, "sentences", list, where):
            listing.add(image_id, _entry(sentence, "raw", str, where), split, file)


def _entry(record: object, key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """`record[key]` of a stranger's JSON, if it is what it must be."""
    value = record.get(key) if isinstance(record, dict) else None
    if not isinstance(value, kind):
        raise InputError(f'{where} has no usable "{key}" ({value!r:.80}); give a caption file of COCO or Karpathy')
    return value


def _safe_name(name: str, file: Path) -> str:
    """The name of a photo inside the photo folder; never one that leads out of it."""
    name = _valid_text(name).strip().replace("\\", "/")
    parts = name.split("/")
    if ".." in parts or not parts[0] or "\0" in name or re.match("[A-Za-z]:", name):
        raise InputError(f"{file} names the photo {name!r:.120}; give names inside the photo folder, without '..'")
    return name if "." not in parts and "" not in parts else "/".join(part for part in parts if part not in ("", "."))


def _valid_text(text: str) -> str:
    """JSON can hold half characters that no file can be written with; they become question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _assign(split_of: dict[str, str], image_id: str, split: str, where: object) -> None:
    if split_of.setdefault(image_id, split) != split:
        raise InputError(
            f"{where}: the photo {image_id!r:.120} is in two splits, {split_of[image_id]} and {split}; "
            "keep it in one, else the scores are flattered"
        )


# --- Where the photos are ---


class _PhotoFinder:
    """Finds photos by name in the likely folders, each listed once: a question to the disk a photo is slow."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise InputError(f"the photo folder {root} does not exist; give the folder that holds the photos")
        nested = [root / outer / inner for outer in PHOTO_FOLDERS for inner in PHOTO_FOLDERS]
        candidates = [*(root / name for name in PHOTO_FOLDERS), *nested, root]
        self.folders = [folder for folder in candidates if folder.is_dir()]
        self.listings: dict[Path, set[str]] = {}  # folder -> names of the files in it

    def find(self, name: str) -> Path | None:
        parent, _, base = name.rpartition("/")
        for folder in self.folders:
            place = folder / parent if parent else folder
            if base in self._names(place):
                return place / base
        return None

    def _names(self, place: Path) -> set[str]:
        if place not in self.listings:
            with contextlib.suppress(OSError), os.scandir(place) as entries:
                self.listings[place] = {entry.name for entry in entries if entry.is_file()}
        return self.listings.setdefault(place, set())

    def names_beside(self, paths: Iterable[Path]) -> Iterator[str]:
        """The names of the photos that lie in the same folders as `paths` and are not among them."""
        found = set(paths)
        for place in {path.parent for path in found}:
            for name in self.listings[place]:
                if is_photo_name(name) and place / name not in found:
                    yield name


def _find_photos(listing: _Listing, finder: _PhotoFinder, file: Path) -> dict[str, Path]:
    image_paths, missing = {}, []
    for image_id in listing.captions:
        folder = listing.folder_of.get(image_id)
        path = (finder.find(f"{folder}/{image_id}") if folder else None) or finder.find(image_id)
        if path is None:
            missing.append(image_id)
        else:
            image_paths[image_id] = path
    if not image_paths:
        looked = ", ".join(str(folder) for folder in finder.folders)
        raise InputError(
            f"none of the {count_noun(len(missing), 'photo')} named in {file} was found ({name_some(missing, 10)}); "
            f"looked in {looked}; give the photo folder with images="
        )
    if missing:
        captions = count_noun(sum(len(listing.captions[image_id]) for image_id in missing), "caption")
        photos = f"{count_noun(len(missing), 'photo')} {'is' if len(missing) == 1 else 'are'}"
        owner = "its" if len(missing) == 1 else "their"
        text = f"{photos} missing and left out with {owner} {captions}: {name_some(sorted(missing), 10)}"
        listing.note("missing_photos", len(missing), text)
    extra = sorted(finder.names_beside(image_paths.values()))
    if extra:
        count = count_noun(len(extra), "photo")
        text = f"{count} without caption left out: {name_some(extra, 10)}"
        listing.note("photos_without_caption", len(extra), text)
    return image_paths


# --- Which photo is in which split ---


def _choose_splits(
    listing: _Listing, root: Path, caption_files: list[Path], image_ids: list[str], seed: int
) -> tuple[dict[str, str], str]:
    """The split of each photo (none for one that the official split leaves out), and in words where it is from."""
    if len(caption_files) == 2:  # COCO publishes no captions for its test photos: half of val takes their place
        held_out = _shuffled((name for name in image_ids if listing.split_of[name] == "val"), seed)
        split_of = {**listing.split_of, **dict.fromkeys(held_out[len(held_out) // 2 :], "test")}
        return split_of, "COCO's train; its val halved into val and test"
    official = listing.split_of or _flickr8k_split(root)
    if any(image_id in official for image_id in image_ids):
        return official, "the caption file" if listing.split_of else "Flickr8k's official lists"
    tenth = max(len(image_ids) // 10, int(len(image_ids) >= 3))
    shuffled = _shuffled(image_ids, seed)
    splits = {"val": shuffled[:tenth], "test": shuffled[tenth : 2 * tenth], "train": shuffled[2 * tenth :]}
    split_of = {image_id: split for split, members in splits.items() for image_id in members}
    return split_of, "drawn at random: 80 % train, 10 % val, 10 % test"


def _shuffled(image_ids: Iterable[str], seed: int) -> list[str]:
    """An order that depends on the names and the seed only, and stays the same in every version of Python."""
    return sorted(image_ids, key=lambda image_id: hashlib.sha256(f"{seed} {image_id}".encode()).digest())


def _flickr8k_split(root: Path) -> dict[str, str]:
    """Flickr8k's official split, {} where its three files are not all there."""
    for folder in (root, *(root / name for name in TEXT_FOLDERS)):
        files = {split: folder / name for split, name in FLICKR8K_SPLIT_FILES.items()}
        if all(file.is_file() for file in files.values()):
            break
    else:
        return {}
    split_of: dict[str, str] = {}
    for split, file in files.items():
        try:
            names = file.read_text(encoding="utf-8-sig").split()
        except UnicodeDecodeError as error:
            raise InputError(f"{file} is not text in UTF-8; save it as UTF-8") from error
        for name in names:
            _assign(split_of, name, split, file)
    return split_of


# --- Words for people ---


def _or(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
