"""Which photos are for training, validation and testing."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from captioning_utils.base.errors import InputError
from captioning_utils.base.wording import name_some
from captioning_utils.datasets.listing import Listing, assign_split

SPLITS = ("train", "val", "test")
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "restval"), "train"),  # restval: the part of COCO's val that trains
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
TEXT_FOLDERS = ("annotations", "Flickr8k_text", "Flickr8k_Text", "Flickr_TextData", "flickr30k_images")
FLICKR8K_SPLIT_FILES = {
    "train": "Flickr_8k.trainImages.txt",
    "val": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}


def choose_splits(
    listing: Listing, root: Path, caption_files: list[Path], image_ids: list[str], seed: int
) -> tuple[dict[str, str], str]:
    """The split of each photo (none for one that the official split leaves out), and in words where it is from."""
    reason = ""
    if len(caption_files) > 1:
        there = {listing.split_of[image_id] for image_id in image_ids}
        if "train" in there:
            return _splits_of_files(listing, image_ids, seed)
        reason = f"only photos of {' and '.join(sorted(there))} are there, so "
    else:
        official = listing.split_of
        if not official:
            official, reason = _flickr8k_split([root, *(file.parent for file in caption_files)])
        if any(image_id in official for image_id in image_ids):
            return official, "the caption file" if listing.split_of else "Flickr8k's official lists"
        folders = {image_id: SPLIT_WORDS.get(image_id.partition("/")[0].lower()) for image_id in image_ids}
        if None not in folders.values() and "train" in folders.values() and len(set(folders.values())) > 1:
            return {image_id: split for image_id, split in folders.items() if split}, "the photos' folders"
    tenth = max(len(image_ids) // 10, int(len(image_ids) >= 3))
    shuffled = _shuffled(image_ids, seed)
    splits = {"val": shuffled[:tenth], "test": shuffled[tenth : 2 * tenth], "train": shuffled[2 * tenth :]}
    split_of = {image_id: split for split, members in splits.items() for image_id in members}
    return split_of, f"{reason}drawn at random (80 % train, 10 % val, 10 % test)"


def _splits_of_files(listing: Listing, image_ids: list[str], seed: int) -> tuple[dict[str, str], str]:
    """The splits of several caption files; where there is none for test, as of COCO, half of val takes its place."""
    if "test" in listing.split_of.values():
        return listing.split_of, "the caption files"
    held_out = _shuffled((name for name in image_ids if listing.split_of[name] == "val"), seed)
    split_of = {**listing.split_of, **dict.fromkeys(held_out[len(held_out) // 2 :], "test")}
    name = "COCO" if listing.layout.startswith("COCO") else "the file"
    return split_of, f"{name}'s train; its val halved into val and test"


def split_in_name(file: Path) -> str | None:
    """The split that the name of a file says, or that of its folder, or None."""
    return split_in_text(file.stem) or split_in_text(file.parent.name)


def split_in_text(text: str) -> str | None:
    """The one split that the words of a text name, or None."""
    found = {SPLIT_WORDS[word] for word in re.findall("[a-z]+", text.lower()) if word in SPLIT_WORDS}
    return found.pop() if len(found) == 1 else None


def _shuffled(image_ids: Iterable[str], seed: int) -> list[str]:
    """An order that depends on the names and the seed only, and stays the same in every version of Python."""
    return sorted(image_ids, key=lambda image_id: hashlib.sha256(f"{seed} {image_id}".encode()).digest())


def _flickr8k_split(places: list[Path]) -> tuple[dict[str, str], str]:
    """Flickr8k's official split, from a place or a text folder there; without all its lists {}, and what is missing."""
    reason = ""
    for folder in (place / name for place in places for name in ("", *TEXT_FOLDERS)):
        files = {split: folder / name for split, name in FLICKR8K_SPLIT_FILES.items()}
        missing = [file.name for file in files.values() if not file.is_file()]
        if not missing:
            break
        if len(missing) < len(files):
            reason = f"Flickr8k's official lists lack {name_some(missing, show=str)}, so "
    else:
        return {}, reason
    split_of: dict[str, str] = {}
    for split, file in files.items():
        try:
            names = file.read_text(encoding="utf-8-sig").split()
        except UnicodeDecodeError as error:
            raise InputError(f"{file} is not text in UTF-8; save it as UTF-8") from error
        for name in names:
            assign_split(split_of, name, split, file)
    return split_of, ""
