"""Which files hold a dataset's captions."""

import itertools
import os
import re
from collections.abc import Iterable
from pathlib import Path

from captioning_utils.base.errors import InputError
from captioning_utils.base.types import AnyPath
from captioning_utils.base.wording import name_some
from captioning_utils.datasets.photos import PHOTO_FOLDERS
from captioning_utils.datasets.splits import SPLIT_WORDS, TEXT_FOLDERS, split_in_name
from captioning_utils.images import is_photo_name

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
PAGES = (".json", ".jsonl", ".csv", ".tsv")  # endings of files that may hold captions, whatever their name
TEXTS = (".txt", ".caption")  # of a photo's own captions, beside it


def locate_captions(path: Path, captions: AnyPath | None) -> tuple[Path, list[Path]]:
    """The dataset's folder and its caption files: one, or one for each split; a folder where photos have texts."""
    if path.is_file():
        root = path.parent.parent if _is_text_folder(path.parent) else path.parent
        captions = path if captions is None else captions
    elif path.is_dir():
        root = path
    else:
        raise InputError(f"{path} does not exist; give the folder of a dataset, or its caption file")
    if captions is None:
        return _recognise(root)
    places = [Path(captions), root / captions]
    found = [place for place in places if place.is_file()]
    if not found:
        raise InputError(f"the caption file {captions} does not exist, here or in {root}; give a CSV or JSON file")
    return root, found[:1]


def _is_text_folder(folder: Path) -> bool:
    """Whether a folder holds texts only, and the photos lie beside it."""
    if folder.name in TEXT_FOLDERS:
        return True
    return (
        not _photo_folders(folder)
        and bool(_photo_folders(folder.parent))
        and not any(map(is_photo_name, _names(folder)))
    )


def _photo_folders(folder: Path) -> list[Path]:
    return [folder / name for name in PHOTO_FOLDERS if (folder / name).is_dir()]


def _names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def _recognise(root: Path) -> tuple[Path, list[Path]]:
    """As `locate_captions`, of a folder; where all lies in a single folder in it, that is the dataset's."""
    known = [root, *(root / name for name in TEXT_FOLDERS if (root / name).is_dir())]
    found = _find_known(known) or _find_tables([root], (".csv",)) or _find_metadata([root])
    if found:
        return root, found
    folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith((".", "__")))
    splits = [folder for folder in folders if folder.name.lower() in SPLIT_WORDS]
    found = _find_metadata(splits) or _one_or_splits([file for folder in folders for file in _find_known([folder])])
    if found:
        return root, found
    if any(find_texts(folder, root) for folder in (root, *folders)):
        return root, [root]
    found = _find_tables(known, PAGES) or [file for folder in splits for file in _find_tables([folder], PAGES)]
    if found:
        return root, found
    entries = sorted(entry.name for entry in itertools.islice(root.iterdir(), 1000))
    if len(folders) == 1 and not [name for name in entries if name != folders[0].name and name[0] not in "._"]:
        return _recognise(folders[0])
    names = ", ".join(itertools.chain(*CAPTION_FILES))
    raise InputError(
        f"no caption file recognised in {root}, which holds {name_some(entries, 10) or 'nothing'}; recognised are "
        f"{names} (here or in {', '.join(TEXT_FOLDERS)}) and a single .csv; else give the caption file itself"
    )


def _find_known(folders: list[Path]) -> list[Path]:
    """The files of the first group of names that is there, with those of other splits beside it."""
    for names in CAPTION_FILES:
        found = [folder / name for name in names for folder in folders if (folder / name).is_file()]
        if found:
            chosen = _one_or_splits(found[:1] if len(names) == 1 else found)
            return chosen if len(chosen) > 1 else _with_other_splits(chosen[0])
    return []


def _find_metadata(folders: list[Path]) -> list[Path]:
    """The tables of Hugging Face's image folders: in the folder itself, or one in the folder of each split."""
    for name in ("metadata.jsonl", "metadata.csv"):
        found = [folder / name for folder in folders if (folder / name).is_file()]
        if found:
            return found
    return []


def _find_tables(folders: list[Path], endings: Iterable[str]) -> list[Path]:
    """Files whose ending says that they may hold captions; where some are called so, only these."""
    files = [folder / name for folder in folders for name in _names(folder) if name.lower().endswith(tuple(endings))]
    files = [file for file in files if file.is_file()]
    called = [file for file in files if re.search("caption|dataset_", file.stem.lower())]
    return _one_or_splits(called or files)


def _one_or_splits(files: list[Path]) -> list[Path]:
    """A single file, or several of which each names another split."""
    splits = [split_in_name(file) for file in files]
    if len(files) > 1 and (None in splits or len(set(splits)) < len(files)):
        folder = Path(os.path.commonpath(file.parent for file in files))
        names = [file.relative_to(folder).as_posix() for file in files]
        raise InputError(f"several caption files in {folder}: {name_some(names, 10)}; give the path of the one to read")
    return files


def _with_other_splits(file: Path) -> list[Path]:
    """A train file and those of val and test beside it, as COCO's captions have them."""
    if split_in_name(file) != "train" or "train" not in file.name:
        return [file]
    names = {file.name.replace("train", word): split for word, split in SPLIT_WORDS.items() if split != "train"}
    found = {split: file.with_name(name) for name, split in names.items() if file.with_name(name).is_file()}
    return [file, *(found[split] for split in ("val", "test") if split in found)]


def find_texts(folder: Path, root: Path) -> dict[str, Path]:
    """The text files that lie beside photos, by the photos' names in `root`."""
    names = _names(folder)
    texts = {os.path.splitext(name)[0]: folder / name for name in names if name.lower().endswith(TEXTS)}
    photos = {name: texts.get(os.path.splitext(name)[0]) for name in names if is_photo_name(name)}
    return {(folder / name).relative_to(root).as_posix(): text for name, text in photos.items() if text}
