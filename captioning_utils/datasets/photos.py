"""Finding the photo that a caption file names."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from captioning_utils.base.errors import InputError
from captioning_utils.base.wording import count_noun, name_some
from captioning_utils.datasets.listing import Listing
from captioning_utils.images import is_photo_name

PHOTO_FOLDERS = (
    "Images",
    "images",
    "Flicker8k_Dataset",  # the misspelling is the original's
    "Flickr8k_Dataset",
    "flickr30k_images",
    "flickr30k-images",
    *("train2017", "val2017", "train2014", "val2014"),
)


class PhotoFinder:
    """Finds photos by name in the likely folders, each listed once: one stat call per photo would be slow."""

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


def find_photos(listing: Listing, finder: PhotoFinder, file: Path) -> dict[str, Path]:
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
