"""The feature cache: each photo goes through the encoder once, and a run that was killed goes on where it stopped."""

import contextlib
import itertools
import pickle
import shutil
import sys
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from captioning_utils.base.errors import InputError
from captioning_utils.base.feature_files import (
    FOLDER_VERSION,
    FORMAT_VERSION,
    INDEX,
    find_lists,
    list_path,
    read_folder,
    read_pickle,
    shard_name,
)
from captioning_utils.base.files import atomic_write, check_writable, read_json, write_json
from captioning_utils.base.identity import identify_photo, is_same_photo
from captioning_utils.base.parallel import map_ahead
from captioning_utils.base.types import AnyPath, FeatureEncoder
from captioning_utils.base.wording import count_noun, escape_controls
from captioning_utils.images import ImageSource, load_image

IMAGES_PER_SHARD = 256  # what a killed run loses at most: some 15 seconds of VGG16 on two cores
_EXPONENT = np.uint16(0x7C00)  # the bits of a float16 that are all set in NaN and infinity
_Decoded: TypeAlias = tuple[str, NDArray[np.uint8] | str, str]  # image_id, photo or the reason why not, identity


class FeatureCache:
    """Features of many photos by image_id, from one pickle or from a folder of memory-mapped shards.

    Attributes:
        fingerprint: str, the encoder's, see `ImageEncoder`.
        output_shape: `(feature_dim,)` or `(num_regions, feature_dim)`.
        image_ids: list of str, in the order of the arrays.
        skipped: dict of image_id to the reason why its photo could not be read.
        arrays: list of float16 arrays, one after the other the rows of the photos.
        identities: dict of image_id to what tells its photo's content, see `base.identity.identify_photo`; only of
            photos of which it is known.

    Example:
        >>> cache = FeatureCache("toy", (2,), ["a", "b"], {}, [np.eye(2, dtype=np.float16)])
        >>> cache.get(["b", "a"])
        array([[0., 1.],
               [1., 0.]], dtype=float16)
        >>> "c" in cache, len(cache)
        (False, 2)
    """

    def __init__(
        self,
        fingerprint: str,
        output_shape: Sequence[int],
        image_ids: Sequence[str | None],
        skipped: dict[str, str],
        arrays: list[NDArray[np.float16]],
        identities: Sequence[str] = (),
    ) -> None:
        self.fingerprint = fingerprint
        self.output_shape = tuple(output_shape)
        self.skipped = skipped
        self.arrays = arrays
        self._rows = {image_id: row for row, image_id in enumerate(image_ids) if image_id is not None}
        self.image_ids = list(self._rows)
        self.identities = {name: known for name, known in zip(image_ids, identities, strict=False) if name and known}
        self._starts = np.cumsum([0, *map(len, arrays)])

    def __len__(self) -> int:
        return len(self.image_ids)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._rows

    def get(self, image_ids: Sequence[str]) -> NDArray[np.float16]:
        """Features of some photos, in the order asked for.

        Args:
            image_ids: sequence of image_id; one may come more than once.

        Returns:
            float16 `(len(image_ids), *output_shape)`, an array of its own.

        Raises:
            InputError: when one is not in the cache, the message counts them and names the first; or when its numbers
                are not finite.
        """
        missing = [image_id for image_id in image_ids if image_id not in self._rows]
        if missing:
            reason = self.skipped.get(missing[0], "extract its features first")
            raise InputError(f"no features of {len(missing)} photos, first {missing[0]!r}: {reason}")
        rows = np.array([self._rows[image_id] for image_id in image_ids], np.int64)
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        features = np.empty((len(rows), *self.output_shape), np.float16)
        for shard in np.unique(shards):
            wanted = np.flatnonzero(shards == shard)
            features[wanted] = self.arrays[shard][rows[wanted] - self._starts[shard]]
        bad = (features.view(np.uint16) & _EXPONENT == _EXPONENT).any(axis=tuple(range(1, features.ndim)))
        if bad.any():
            name = image_ids[int(bad.argmax())]
            raise InputError(f"the features of {name!r:.120} hold NaN or infinite numbers; extract them again")
        return features

    def find_changed(self, image_paths: Mapping[str, ImageSource]) -> list[str]:
        """Find the photos that are no longer those whose features are here: another photo has taken their name.

        Args:
            image_paths: dict of image_id to path, as for `extract_features`.

        Returns:
            list of image_id; without photos of which older files do not say what they were.
        """
        return [
            image_id
            for image_id, source in image_paths.items()
            if image_id in self and not is_same_photo(source, self.identities.get(image_id, ""))
        ]


def extract_features(
    image_paths: Mapping[str, ImageSource], encoder: FeatureEncoder, cache_path: AnyPath, batch_size: int = 32
) -> FeatureCache:
    """Compute the features of those photos that the cache does not have yet, and give the whole cache.

    Killed in the middle, it goes on where it stopped the next time; with nothing to do, it only loads. Photos
    that cannot be read are listed in `skipped`, and tried again the next time. Where another photo has taken the
    place of one, under the same image_id, its features are computed again.

    Args:
        image_paths: dict of image_id (str) to path, or to anything else that `load_image` takes.
        encoder: `ImageEncoder`.
        cache_path: str or `Path`. A name ending in `.pkl` makes one pickle, which is held in memory as a whole
            (8,000 photos of 512 numbers: 8 MB). Any other name makes a folder of memory-mapped shards: for
            grids, and for sets larger than the memory.
        batch_size: int, photos per call of the encoder, at least 1.

    Returns:
        `FeatureCache` of all that the pickle or folder holds.

    Raises:
        InputError: when the cache is of another encoder (the message says both fingerprints) or damaged, or when
            there is not one photo that can be read.

    Example:
        >>> import tempfile, types
        >>> toy = types.SimpleNamespace(fingerprint="toy", output_shape=(1,), image_size=(8, 8))
        >>> toy.encode = lambda images: images[:, 0, 0, :1].astype("float16")  # build_encoder makes a real one
        >>> photos = {"white": np.full((4, 3, 3), 255, np.uint8)}
        >>> extract_features(photos, toy, Path(tempfile.mkdtemp()) / "features.pkl").get(["white"])
        array([[255.]], dtype=float16)
    """
    cache_path = Path(cache_path)
    is_pickle = cache_path.suffix == ".pkl"
    _check_arguments(image_paths, cache_path, is_pickle, batch_size)
    folder = cache_path.with_name(f"{cache_path.name}.partial") if is_pickle else cache_path
    cache = _load_of_encoder(cache_path, encoder)
    partial = _load_of_encoder(folder, encoder) if is_pickle else cache
    known = [each for each in (partial, cache) if each]
    photos = _pending(image_paths, known)
    if photos:
        _extract_shards(photos, encoder, folder, known, batch_size)
    if is_pickle and (folder / INDEX).is_file():
        _move_into_pickle(cache, folder, cache_path)
    if is_pickle:
        _remove_folder(folder)
    features = load_features(cache_path)
    report_skipped(features.skipped, image_paths)
    return features


def load_features(cache_path: AnyPath) -> FeatureCache:
    """Open a feature cache that `extract_features` made.

    Nothing in the file is trusted: of a pickle only plain values and float16 arrays are read, and no code in it
    runs.

    Args:
        cache_path: str or `Path` of the pickle or folder.

    Returns:
        `FeatureCache`.

    Raises:
        InputError: when there is none, or it is damaged, of another format version, or no feature cache.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "features.pkl"
        >>> with open(path, "wb") as file:  # what extract_features writes
        ...     contents = {"format_version": 1, "fingerprint": "toy", "output_shape": (2,), "image_ids": ["a.jpg"]}
        ...     pickle.dump(contents | {"skipped": {}, "features": np.ones((1, 2), np.float16)}, file, protocol=4)
        >>> load_features(path).get(["a.jpg"])
        array([[1., 1.]], dtype=float16)
    """
    cache_path = Path(cache_path)
    if cache_path.is_dir():
        return FeatureCache(*read_folder(cache_path))
    if cache_path.is_file():
        return FeatureCache(*read_pickle(cache_path))
    raise InputError(f"{cache_path} is not there; extract the features first")


# ---- extracting


def _check_arguments(
    image_paths: Mapping[str, ImageSource], cache_path: Path, is_pickle: bool, batch_size: int
) -> None:
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; give 1 or more")
    if not image_paths:
        raise InputError("there are no photos to extract features from; give at least one")
    wrong = [image_id for image_id in image_paths if not isinstance(image_id, str)]
    if wrong:
        raise InputError(f"an image_id is text, got {wrong[0]!r}; convert it with str()")
    if cache_path.is_dir() if is_pickle else cache_path.is_file():
        raise InputError(f"{cache_path} is in the way; names ending in .pkl are pickles, all others folders of shards")


def _load_of_encoder(path: Path, encoder: FeatureEncoder) -> FeatureCache | None:
    if not (path / INDEX).is_file() and not path.is_file():
        return None
    cache = load_features(path)
    if cache.fingerprint != encoder.fingerprint:
        raise InputError(
            f"{path} holds features of another encoder: it has {cache.fingerprint!r}, wanted is "
            f"{encoder.fingerprint!r}; give another path, or delete it to extract again"
        )
    return cache


def _pending(image_paths: Mapping[str, ImageSource], known: list[FeatureCache]) -> list[tuple[str, ImageSource]]:
    """The photos to do, those that failed before at the end, so that the other photos keep their batches."""
    left = dict(image_paths)
    changed: set[str] = set()
    for cache in known:  # the newest first: what it has counts
        there = {image_id: left.pop(image_id) for image_id in cache.image_ids if image_id in left}
        changed.update(cache.find_changed(there))
    if changed:
        owner = "its" if len(changed) == 1 else "their"
        text = f"{count_noun(len(changed), 'photo')} changed since {owner} features were extracted; extracting again"
        tqdm.write(text, file=sys.stderr)
    todo = [image_id for image_id in image_paths if image_id in left or image_id in changed]
    skipped = known[0].skipped if known else {}
    todo.sort(key=lambda image_id: image_id in skipped)
    return [(image_id, image_paths[image_id]) for image_id in todo]


def _extract_shards(
    photos: list[tuple[str, ImageSource]],
    encoder: FeatureEncoder,
    folder: Path,
    known: list[FeatureCache],
    batch_size: int,
) -> None:
    """Encode photos batch by batch, and put every few batches on disk as one shard."""
    check_writable(folder / INDEX)  # before the work, not after it
    skipped = known[0].skipped if known else {}
    batches_per_shard = max(1, IMAGES_PER_SHARD // batch_size)
    decoded = map_ahead(lambda photo: _decode(*photo, encoder.image_size), photos, ahead=2 * batch_size)
    shards = None
    identities: dict[str, str] = {}  # of the photos of the next shard
    features: list[NDArray[np.float16]] = []
    failed: dict[str, str] = {}
    with tqdm(total=len(photos), desc="features", unit=" images", file=sys.stderr) as bar:
        for number in itertools.count(1):
            batch = list(itertools.islice(decoded, batch_size))
            images = {image_id: image for image_id, image, _ in batch if isinstance(image, np.ndarray)}
            reasons = {image_id: str(reason) for image_id, reason, _ in batch if image_id not in images}
            failed |= {image_id: reason for image_id, reason in reasons.items() if skipped.get(image_id) != reason}
            if images:
                identities |= {image_id: identity for image_id, _, identity in batch if image_id in images}
                features.append(encoder.encode(np.stack(list(images.values()))))
            is_full = number % batches_per_shard == 0 and features
            if is_full or (not batch and (features or (failed and (known or shards)))):
                shards = shards or _start_folder(folder, encoder, skipped)
                _write_shard(folder, next(shards), identities, features, failed)
                identities, features, failed = {}, [], {}
            bar.update(len(batch))
            if not batch:
                break
    if failed:
        first, reason = next(iter(failed.items()))
        raise InputError(f"none of {len(photos)} photos can be read, first {first!r}: {reason}")


def _decode(image_id: str, source: ImageSource, size: tuple[int, int]) -> _Decoded:
    identity = identify_photo(source)  # before its pixels: a photo that changes in between is seen the next time
    try:
        return image_id, load_image(source, size), identity
    except InputError as error:
        return image_id, str(error), ""


def _start_folder(folder: Path, encoder: FeatureEncoder, skipped: Mapping[str, str]) -> Iterator[int]:
    """Write the index, unless the folder has one; gives the numbers of the next shards."""
    path = folder / INDEX
    if not path.is_file():
        for left in folder.glob("shard-*.json"):  # by a stop while the folder was removed: they are nobody's
            left.unlink()
    facts = {"fingerprint": encoder.fingerprint, "output_shape": list(encoder.output_shape)}
    index = read_json(path) if path.is_file() else facts | {"shards": [], "skipped": dict(skipped)}
    if index.get("format_version") != FOLDER_VERSION:
        write_json(path, index | {"format_version": FOLDER_VERSION})
    first = len(index["shards"])
    return itertools.count(first + len(find_lists(folder, first)))


def _write_shard(
    folder: Path,
    number: int,
    identities: Mapping[str, str],
    features: list[NDArray[np.float16]],
    failed: Mapping[str, str],
) -> None:
    """First the shard, then the list that names its photos: killed in between, the shard is written again."""
    if features:
        with atomic_write(folder / shard_name(number)) as temporary, open(temporary, "wb") as file:
            np.save(file, np.concatenate(features))
    lists = {"image_ids": list(identities), "identities": list(identities.values()), "skipped": dict(failed)}
    write_json(list_path(folder, number), lists)


def report_skipped(skipped: Mapping[str, str], image_paths: Container[str]) -> None:
    """Name the photos of `image_paths` that could not be read, to the standard error."""
    names = [image_id for image_id in skipped if image_id in image_paths]
    for image_id in names[:5]:
        tqdm.write(escape_controls(f"left out: {image_id}: {skipped[image_id]}"), file=sys.stderr)
    if len(names) > 5:
        tqdm.write(f"left out: {len(names) - 5} more photos that cannot be read", file=sys.stderr)


def _move_into_pickle(cache: FeatureCache | None, folder: Path, path: Path) -> None:
    partial = FeatureCache(*read_folder(folder))
    replaced = {*partial.image_ids, *partial.skipped}
    old_ids = [image_id for image_id in cache.image_ids if image_id not in replaced] if cache else []
    new_ids = partial.image_ids
    # One array for all, filled a shard at a time: what is put together at the end would be in memory twice.
    features = np.empty((len(old_ids) + len(new_ids), *partial.output_shape), np.float16)
    for source, image_ids, first in ((cache or partial, old_ids, 0), (partial, new_ids, len(old_ids))):
        for start in range(0, len(image_ids), IMAGES_PER_SHARD):
            part = image_ids[start : start + IMAGES_PER_SHARD]
            features[first + start : first + start + len(part)] = source.get(part)
    identities = (cache.identities if cache else {}) | partial.identities
    contents = {
        "format_version": FORMAT_VERSION,
        "fingerprint": partial.fingerprint,
        "output_shape": partial.output_shape,
        "image_ids": old_ids + new_ids,
        "skipped": partial.skipped,
        "identities": [identities.get(image_id, "") for image_id in old_ids + new_ids],
        "features": features,
    }
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        pickle.dump(contents, file, protocol=4)


def _remove_folder(folder: Path) -> None:
    """Remove the shards of a complete pickle, or what a stop left of them; what cannot be removed waits for the next.

    The index first: shards without it are nobody's, an index without its shards would be damaged.
    """
    with contextlib.suppress(OSError):
        (folder / INDEX).unlink(missing_ok=True)
        shutil.rmtree(folder)
