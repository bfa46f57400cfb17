"""Finding the photo that a caption file names."""

import collections
import contextlib
import itertools
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from captioning_utils.base.errors import InputError
from captioning_utils.base.wording import count_noun, name_some
from captioning_utils.datasets.listing import Listing
from captioning_utils.images import PHOTO_EXTENSIONS, is_photo_name

PHOTO_FOLDERS = (
    "Images",
    "images",
    "Flicker8k_Dataset",  # the misspelling is the original's
    "Flickr8k_Dataset",
    "flickr30k_images",
    "flickr30k-images",
    *("train2017", "val2017", "train2014", "val2014"),
)
MAX_FOLDERS = 100  # of any name that are looked into


# How a name is compared with those of the files, where no file has exactly this name: one step after the other.
STEPS: dict[str, Callable[[str], str]] = {
    "in another form of Unicode": lambda name: unicodedata.normalize("NFC", name),
    "in other upper and lower case": lambda name: unicodedata.normalize("NFC", name).casefold(),
    "with another ending": lambda name: _without_ending(name),
    "under the name of another COCO year": lambda name: re.sub(
        r"^coco_(train|val|test)\d{4}_(?=\d)", "", _without_ending(name)
    ),
}


def _without_ending(name: str) -> str:
    stem, ending = os.path.splitext(unicodedata.normalize("NFC", name).casefold())
    return stem if ending in PHOTO_EXTENSIONS else stem + ending


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False


class PhotoFinder:
    """Finds photos by name in the likely folders, each listed once: one stat call per photo would be slow."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise InputError(f"the photo folder {root} does not exist; give the folder that holds the photos")
        nested = [root / outer / inner for outer in PHOTO_FOLDERS for inner in PHOTO_FOLDERS]
        candidates = [*(root / name for name in PHOTO_FOLDERS), *nested, root]
        self.folders = [folder for folder in candidates if folder.is_dir()]
        inside = itertools.islice((entry for entry in root.iterdir() if entry.is_dir()), MAX_FOLDERS)
        self.others = sorted(set(inside) - set(self.folders))  # of any name
        self.listings: dict[Path, set[str]] = {}  # folder -> names of the files in it
        self.places: dict[str, list[Path]] = {}  # see _likely_places
        self.alike: dict[
            tuple[Path, str, str], list[Path]
        ] = {}  # folder, path in it and step -> folders of such a path
        self.indexes: dict[tuple[Path, str], dict[str, list[Path]]] = {}  # folder and step -> name as compared -> files

    def find(self, name: str, only_likely: bool = False) -> Path | None:
        """The photo of exactly this name: in the first likely folder, or in the only other folder that has it."""
        parent, _, base = name.rpartition("/")
        for place in self._likely_places(parent):
            if base in self._names(place):
                return place / base
        others = [] if only_likely else self.others
        found = [folder / parent / base for folder in others if base in self._names(folder / parent)]
        return found[0] if len(found) == 1 else None

    def _likely_places(self, parent: str) -> list[Path]:
        """The folders in which photos of a folder are looked for, such as train/images for those of train."""
        if parent not in self.places:
            places = [folder / parent for folder in self.folders]
            places += [place / inner for place in places for inner in PHOTO_FOLDERS if parent]
            self.places[parent] = places
        return self.places[parent]

    def find_alike(self, name: str, step: str) -> list[Path]:
        """All photos whose name is the same as compared in one of `STEPS`; "" for exactly the same."""
        parent, _, base = name.rpartition("/")
        places = [
            place for folder in (*self.folders, *self.others) for place in self._find_folders(folder, parent, step)
        ]
        if not step:
            return [place / base for place in places if base in self._names(place)]
        return [path for place in places for path in self._index(place, step).get(STEPS[step](base), [])]

    def _find_folders(self, folder: Path, inner: str, step: str) -> list[Path]:
        """The folders in another whose path in it is the same as compared in one of `STEPS`."""
        if not (inner and step):
            return [folder / inner]
        if (folder, inner, step) not in self.alike:
            outer, _, name = inner.rpartition("/")
            self.alike[folder, inner, step] = [
                Path(entry)
                for place in self._find_folders(folder, outer, step)
                for entry in _list_folders(place)
                if STEPS[step](entry.name) == STEPS[step](name)
            ]
        return self.alike[folder, inner, step]

    def _index(self, place: Path, step: str) -> dict[str, list[Path]]:
        if (place, step) not in self.indexes:
            index = collections.defaultdict(list)
            for name in self._names(place):
                if is_photo_name(name) or "." not in name:
                    index[STEPS[step](name)].append(place / name)
            self.indexes[place, step] = index
        return self.indexes[place, step]

    def _names(self, place: Path) -> set[str]:
        if place not in self.listings:
            with contextlib.suppress(OSError), os.scandir(place) as entries:
                self.listings[place] = {entry.name for entry in entries if _is_file(entry)}
        return self.listings.setdefault(place, set())

    def names_beside(self, paths: Iterable[Path]) -> Iterator[str]:
        """The names of the photos that lie in the same folders as `paths` and are not among them."""
        found = set(paths)
        for place in {path.parent for path in found}:
            for name in self.listings[place]:
                if is_photo_name(name) and place / name not in found:
                    yield name


def _list_folders(place: Path) -> list[os.DirEntry[str]]:
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        return [entry for entry in entries if entry.is_dir()]
    return []


def find_photos(listing: Listing, finder: PhotoFinder, file: Path) -> dict[str, Path]:
    image_paths = {}
    for image_id in listing.captions:
        folder = listing.folder_of.get(image_id)
        path = (finder.find(f"{folder}/{image_id}") if folder else None) or finder.find(image_id)
        first, _, rest = image_id.partition("/")
        if path is None and first in listing.split_folders:  # whose file may lie apart from its photos
            path = finder.find(rest, only_likely=True)
        if path is not None:
            image_paths[image_id] = path
    unclear = _match_loosely(listing, finder, image_paths)
    missing = [image_id for image_id in listing.captions if image_id not in image_paths and image_id not in unclear]
    if not image_paths:
        lost = [*missing, *unclear]
        looked = name_some([*finder.folders, *finder.others], 10, show=str)
        raise InputError(
            f"none of the {count_noun(len(lost), 'photo')} named in {file} was found ({name_some(lost, 10)}); "
            f"looked in {looked}; give the photo folder with images="
        )
    if missing:
        captions = count_noun(sum(len(listing.captions[image_id]) for image_id in missing), "caption")
        photos = f"{count_noun(len(missing), 'photo')} {'is' if len(missing) == 1 else 'are'}"
        owner = "its" if len(missing) == 1 else "their"
        text = f"{photos} missing and left out with {owner} {captions}: {name_some(sorted(missing), 10)}"
        listing.note("missing_photos", len(missing), text)
    if unclear:
        fits = {name: [f"{path.parent.name}/{path.name}" for path in sorted(paths)] for name, paths in unclear.items()}
        named = name_some([f"{name!r} ({name_some(paths, 2, show=str)})" for name, paths in fits.items()], show=str)
        text = f"{count_noun(len(unclear), 'name')} left out, because several photos fit: {named}"
        listing.note("unclear_names", len(unclear), text)
    extra = sorted(finder.names_beside(image_paths.values()))
    if extra:
        count = count_noun(len(extra), "photo")
        text = f"{count} without caption left out: {name_some(extra, 10)}"
        listing.note("photos_without_caption", len(extra), text)
    return image_paths


def _match_loosely(listing: Listing, finder: PhotoFinder, image_paths: dict[str, Path]) -> dict[str, list[Path]]:
    """Add the photos whose name is nearly that of the caption file; gives the names that several photos fit.

    A photo that is found already is nobody else's, so that no photo comes twice.
    """
    left = [image_id for image_id in listing.captions if image_id not in image_paths]
    taken = set(image_paths.values())
    counts: collections.Counter[str] = collections.Counter()
    unclear: dict[str, list[Path]] = {}
    for step in ("", *STEPS) if left else ():
        for image_id in left:
            fits = [path for path in dict.fromkeys(finder.find_alike(image_id, step)) if path not in taken]
            if len(fits) == 1:
                image_paths[image_id] = fits[0]
                taken.add(fits[0])
                counts[step] += bool(step)
            elif fits:
                unclear[image_id] = fits
        left = [image_id for image_id in left if image_id not in image_paths and image_id not in unclear]
    if counts.total():
        how = ", ".join(f"{count:,} {step}" for step, count in counts.items() if count)
        text = f"{count_noun(counts.total(), 'photo')} found by another form of the name: {how}"
        listing.note("other_names", counts.total(), text)
    return unclear
