"""Photographs and their captions, from any of the layouts that captioning datasets come in.

`load_dataset(path)` looks at what is there and recognises Flickr8k and Flickr30k in their original and their Kaggle
layouts, COCO's annotations, Karpathy's split JSON, Hugging Face's image folders, texts beside photos, a CSV of your
own, and WebDataset's archives, which `pack_dataset` writes. `data/README.md` shows the expected trees.

The split is, in this order: the one in the caption file (Karpathy's, or a split column); for COCO with train and val,
COCO's train as train, and its val halved into val and test; Flickr8k's official one where its three files are
present; the photos' folders where these are called train, val and test; otherwise 80 % train, 10 % val, 10 % test.
Photos are drawn, never captions, so a photo's captions stay together; the draw depends on the seed and the photos'
names only, not on the order of files or lines.

References: Hodosh et al. 2013 (Flickr8k, JAIR 47); Young et al. 2014 (Flickr30k, TACL 2); Chen et al. 2015 (COCO's
captions, arXiv:1504.00325); Karpathy and Li 2015 (splits, arXiv:1412.2306).
"""

import dataclasses
from pathlib import Path

from captioning_utils.base.errors import InputError
from captioning_utils.base.types import AnyPath
from captioning_utils.base.wording import count_and_name, count_noun
from captioning_utils.datasets.layouts import read_listing
from captioning_utils.datasets.listing import Note, assign_split
from captioning_utils.datasets.locating import locate_captions
from captioning_utils.datasets.photos import PhotoFinder, find_photos
from captioning_utils.datasets.shards import find_shards, name_of_shards, read_shards
from captioning_utils.datasets.splits import SPLITS, choose_splits
from captioning_utils.text import clean_caption


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
                    raise InputError(
                        f"the {split} split names {image_id!r:.120}, which is no photo of the dataset; leave it out"
                    )
                assign_split(split_of, image_id, split, self.name)

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
            captioning_utils.InputError: the test split of none is empty (train 0, val 0, test 0); ...
        """
        if split not in self.splits:
            raise InputError(f"there is no split {split!r:.80}; choose one of {', '.join(SPLITS)}")
        if not self.splits[split]:
            sizes = ", ".join(f"{name} {len(self.splits[name])}" for name in SPLITS)
            raise InputError(f"the {split} split of {self.name} is empty ({sizes}); {advice}")
        return self.splits[split]

    def require_words(self, split: str) -> None:
        """Refuse a split in which no caption holds a word: there is nothing to learn from or to compare with.

        Args:
            split: "train", "val" or "test".

        Raises:
            InputError: where it is so, or as `require_split`.

        Example:
            >>> splits = {"train": ["1.jpg"], "val": [], "test": []}
            >>> CaptionDataset("pets", {"1.jpg": Path("1.jpg")}, {"1.jpg": ["..."]}, splits).require_words("train")
            Traceback (most recent call last):
            captioning_utils.InputError: no caption of the train split of pets holds a word, such as '...' ...
        """
        image_ids = self.require_split(split)
        if not any(clean_caption(caption) for image_id in image_ids for caption in self.captions[image_id]):
            example = f"{self.captions[image_ids[0]][0]!r:.80} of {image_ids[0]!r:.120}"
            raise InputError(
                f"no caption of the {split} split of {self.name} holds a word, such as {example}; write captions for it"
            )

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
        """One line with the sizes and where the split is from, and a line for each problem: to print after loading."""
        sizes = ", ".join(f"{split} {count_noun(len(self.splits[split]), 'photo')}" for split in SPLITS)
        number = sum(map(len, self.captions.values()))
        sizes += f"; split: {self.split_source}" if self.split_source else ""
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
        path: str or `Path`, the dataset's folder, or its caption file (CSV, JSON or token file); of a packed dataset
            its folder, one archive, or several by a name with `*`.
        images: str, `Path` or None, the folder with the photos, where it is not beside the captions; of a packed
            dataset the folder in which its photos are unpacked, by default the package's cache.
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
        pets: 2 photos with 2 captions (train 1 photo, val 0 photos, test 1 photo; split: the caption file)
          note: 1 photo is missing and left out with its 1 caption: '3.jpg'
    """
    shards = find_shards(Path(path)) if captions is None else []
    if shards:
        root, caption_files, name = shards[0].parent, list[Path](), name_of_shards(shards)
        listing, image_paths = read_shards(shards, images)
    else:
        root, caption_files = locate_captions(Path(path), captions)
        name = root.resolve().name or "dataset"
        listing = read_listing(caption_files)
        image_paths = find_photos(listing, PhotoFinder(root if images is None else Path(images)), caption_files[0])
    split_of, split_source = choose_splits(listing, root, caption_files, sorted(image_paths), seed)
    kept = sorted(image_id for image_id in image_paths if image_id in split_of)
    if len(kept) < len(image_paths):
        text = f"{count_noun(len(image_paths) - len(kept), 'photo')} in no list of the official split, left out"
        listing.note("photos_in_no_split", len(image_paths) - len(kept), text)
    return CaptionDataset(
        name=name,
        image_paths={image_id: image_paths[image_id] for image_id in kept},
        captions={image_id: listing.captions[image_id] for image_id in kept},
        splits={split: [image_id for image_id in kept if split_of[image_id] == split] for split in SPLITS},
        notes=listing.notes,
        layout=f"{listing.layout} ({' and '.join(file.name for file in shards or caption_files)})",
        split_source=split_source,
    )
