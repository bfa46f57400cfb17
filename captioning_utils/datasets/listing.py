"""Photos and captions as a caption file lists them, and notes on what was left out."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

from captioning_utils.base.errors import InputError
from captioning_utils.base.raw_captions import find_boundary_tags, is_missing
from captioning_utils.base.wording import count_noun, name_some


class Note(NamedTuple):
    """What was left out or repaired while loading."""

    count: int  # type: ignore[assignment]  # a tuple's own count() is of no use here
    text: str  # a sentence for people


@dataclasses.dataclass
class Listing:
    """What caption files say, before anybody looked for the photos."""

    captions: dict[str, list[str]] = dataclasses.field(default_factory=dict)  # image_id -> list of str
    # image_id -> split; empty where the file has none
    split_of: dict[str, str] = dataclasses.field(default_factory=dict)
    folder_of: dict[str, str] = dataclasses.field(default_factory=dict)  # image_id -> folder, where the file names one
    notes: dict[str, Note] = dataclasses.field(default_factory=dict)  # kind -> Note
    layout: str = ""
    file_split: str | None = None  # of all photos of the file that is read, where each split has a file of its own
    file_folder: str = ""  # in which these photos lie, with a slash at the end
    split_folders: set[str] = dataclasses.field(default_factory=set)  # of such files, first in their photos' image_ids
    empty: list[str] = dataclasses.field(default_factory=list)  # image_id of each caption without any text
    broken: list[str] = dataclasses.field(default_factory=list)  # "file, line" of what cannot be used
    long: list[str] = dataclasses.field(default_factory=list)  # "file, line" where a caption of several lines begins

    def add(self, image_id: str, caption: str, split: str | None, file: Path) -> None:
        image_id, split = self.file_folder + image_id, split or self.file_split
        caption = valid_text(caption).strip()
        if not caption or is_missing(caption):
            self.empty.append(image_id)
            return
        self.captions.setdefault(image_id, []).append(caption)
        if split is not None:
            assign_split(self.split_of, image_id, split, file)

    def _drop_boundary_tags(self) -> None:
        everything = [caption for captions in self.captions.values() for caption in captions]
        tags = find_boundary_tags(everything)
        if tags is None:
            return
        self.note("boundary_tags", len(everything), tags.tell(len(everything)))
        captions, self.captions = self.captions, {}
        for image_id, texts in captions.items():
            kept = [text for text in map(tags.drop, texts) if text]
            self.empty += [image_id] * (len(texts) - len(kept))
            if kept:
                self.captions[image_id] = kept

    def note(self, kind: str, count: int, text: str) -> None:
        self.notes[kind] = Note(count, text)

    def note_omissions(self) -> None:
        self._drop_boundary_tags()
        if self.empty:
            text = f"{count_noun(len(self.empty), 'empty caption')} left out, of {name_some(self.empty)}"
            self.note("empty_captions", len(self.empty), text)
        if self.broken:
            count = count_noun(len(self.broken), "entry", "entries")
            text = f"{count} without image or caption left out, the first in {self.broken[0]}"
            self.note("broken_entries", len(self.broken), text)
        if self.long:
            count = count_noun(len(self.long), "caption")
            text = f"{count} over several lines, the first in {self.long[0]}: check for an unclosed quotation mark"
            self.note("captions_over_lines", len(self.long), text)


def valid_text(text: str) -> str:
    """JSON can hold half characters that no file can be written with; they become question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def assign_split(split_of: dict[str, str], image_id: str, split: str, where: object) -> None:
    if split_of.setdefault(image_id, split) != split:
        raise InputError(
            f"{where}: the photo {image_id!r:.120} is in two splits, {split_of[image_id]} and {split}; "
            "keep it in one, else the scores are flattered"
        )
