"""Looking at a dataset before anyone trains on it: what it holds, what is wrong with it, and what to do."""

import collections
import hashlib
import sys
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from captioning_utils.datasets import SPLITS, CaptionDataset, load_dataset
from captioning_utils.errors import InputError, count_noun, name_some
from captioning_utils.images import load_image
from captioning_utils.interfaces import AnyPath
from captioning_utils.text import clean_caption

MAX_WORDS = 40  # TrainingConfig's max_words and min_count, which need Keras; a test compares
MIN_COUNT = 5
FEW_PHOTOS = 1000  # in train
FEW_HELD_OUT = 30  # in val or test
SMALL_SIDE = 64  # pixels
LONG_SIDES = 3  # longer side by the shorter one
EXAMPLES = 10  # names a finding keeps

LEVELS = {"unusable": "cannot be trained on", "look": "worth a look", "note": "good to know"}


@dataclass(frozen=True)
class Finding:
    """One thing that was found in a dataset."""

    kind: str  # for programs: missing_photos, leaking_photos, …
    level: str  # of LEVELS: "unusable", "look" or "note"
    count: int
    text: str  # what was found
    advice: str  # what it means, and what to do
    examples: list[str] = field(default_factory=list)  # names of photos, or captions; the first few


@dataclass(frozen=True)
class DatasetReport:
    """What `check_dataset` found.

    Example:
        >>> report = DatasetReport("pets", "a table", "the caption file", {"train": 9}, {"train": 45}, [], "fine")
        >>> print(report.format())
        pets
          layout: a table
          split:  the caption file
          train   9 photos, 45 captions
        Nothing to mend was found.
    """

    name: str
    layout: str  # "" where it was not recognised
    split_source: str
    photos: dict[str, int]  # by split
    captions: dict[str, int]  # by split
    findings: list[Finding]  # the worst first
    verdict: str  # "fine", "look" or "unusable": the worst level, notes aside

    def format(self) -> str:
        """All of it as text for people."""
        lines = [self.name]
        if self.layout:
            lines += [f"  layout: {self.layout}", f"  split:  {self.split_source}"]
        for split, count in self.photos.items():
            captions = count_noun(self.captions[split], "caption")
            lines.append(f"  {split:<6}  {count_noun(count, 'photo')}, {captions}")
        for finding in self.findings:
            paragraphs = (f"{LEVELS[finding.level]}: {finding.text}", f"  {finding.advice}")
            lines += [
                "",
                *(textwrap.fill(each, 100, subsequent_indent="  ", break_on_hyphens=False) for each in paragraphs),
            ]
        return "\n".join([*lines, *([""] if self.findings else []), self._conclusion()])

    def _conclusion(self) -> str:
        if self.verdict == "fine":
            return "Nothing to mend was found."
        looks = sum(finding.level == "look" for finding in self.findings)
        verb = "is" if looks == 1 else "are"
        if self.verdict == "look":
            return f"You can train on it; {count_noun(looks, 'finding')} {verb} worth a look before."
        return "You cannot train on it as it is."


def check_dataset(
    path: AnyPath,
    images: AnyPath | None = None,
    captions: AnyPath | None = None,
    open_photos: bool = True,
    progress: bool = False,
) -> DatasetReport:
    """Examine a dataset as `load_dataset` reads it; nothing is changed, and nothing raised that is the dataset's fault.

    Args:
        path: str or `Path`, the dataset's folder, or its caption file.
        images: str, `Path` or None, the folder with the photos, where it is not beside the captions.
        captions: str, `Path` or None, the caption file, where its name is not one of the known ones.
        open_photos: bool, whether to decode every photo: finds damaged, tiny and repeated ones. On one core, some
            200 photos a second.
        progress: bool, whether to show a progress bar.

    Returns:
        `DatasetReport`.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> folder = Path(tempfile.mkdtemp()) / "pets"
        >>> folder.mkdir()
        >>> for name, grey in (("1.png", 0), ("2.png", 90), ("3.png", 180)):
        ...     Image.new("RGB", (90, 90), (grey, 0, 0)).save(folder / name)
        >>> table = "image,caption,split\\n1.png,A cat sleeps .,train\\n2.png,A dog runs .,val\\n3.png,!,test\\n"
        >>> _ = (folder / "captions.csv").write_text(table)
        >>> report = check_dataset(folder)
        >>> report.verdict, [finding.kind for finding in report.findings if finding.level == "look"]
        ('look', ['captions_without_word', 'rare_words'])
    """
    try:
        dataset = load_dataset(path, images, captions)
    except InputError as error:
        finding = Finding("not_loaded", "unusable", 1, str(error), "Mend that, and give the same command again.")
        return DatasetReport(str(path), "", "", {}, {}, [finding], "unusable")
    facts = _open_photos(dataset, progress) if open_photos else {}
    findings = [*_check_loading(dataset), *_check_photos(dataset, facts), *_check_splits(dataset, facts)]
    findings += [*_check_twins(dataset, facts), *_check_captions(dataset), *_check_words(dataset)]
    findings.sort(key=lambda finding: list(LEVELS).index(finding.level))
    worst = findings[0].level if findings else "note"
    return DatasetReport(
        name=dataset.name,
        layout=dataset.layout,
        split_source=dataset.split_source,
        photos={split: len(dataset.splits[split]) for split in SPLITS},
        captions={split: sum(len(dataset.captions[name]) for name in dataset.splits[split]) for split in SPLITS},
        findings=findings,
        verdict="fine" if worst == "note" else worst,
    )


def _named(
    kind: str, level: str, names: Sequence[str], text: str, advice: str, show: Callable[[Any], str] = repr
) -> Iterator[Finding]:
    """The finding about some photos or captions, with the first of them; none where there are none."""
    if names:
        named = name_some(names, show=show)
        yield Finding(kind, level, len(names), f"{text}: {named}", advice, list(names[:EXAMPLES]))


# --- What loading left out ---

LOADING_ADVICE = {  # kind of note -> level, what it means and what to do
    "missing_photos": (
        "look",
        "The captions name photos that are not there. Put them into the photo folder under exactly these names (upper "
        "and lower case count), or delete their lines; until then they are left out.",
    ),
    "photos_without_caption": ("note", "They are not used. Write captions for them, or leave them."),
    "photos_in_no_split": (
        "note",
        "They are not used. The official split leaves them out, and so do published scores.",
    ),
    "empty_captions": ("look", "Write them, or delete their lines."),
    "broken_entries": ("look", "They are left out. Look at the line named: something is missing in it."),
    "captions_over_lines": (
        "look",
        'A quotation mark that is opened and not closed swallows the lines after it. Write """" for a quotation mark '
        "inside a quoted caption.".replace('""""', '""'),
    ),
}


def _check_loading(dataset: CaptionDataset) -> Iterator[Finding]:
    for kind, note in dataset.notes.items():
        level, advice = LOADING_ADVICE[kind]
        yield Finding(kind, level, note.count, note.text, advice)


# --- Photos, one by one ---


class PhotoFacts(NamedTuple):
    """What one look at a photo gives."""

    problem: str = ""  # why it cannot be read; nothing else is known then
    digest: bytes = b""  # SHA-256 of the file
    size: tuple[int, ...] = ()  # (height, width), pixels
    thumbnail: NDArray[np.uint8] | None = None  # uint8 (8, 8, 3)
    pattern: int = 0  # 64 bits, see _pattern


def _open_photos(dataset: CaptionDataset, progress: bool, at_once: int = 256) -> dict[str, PhotoFacts]:
    """dict of image_id to `PhotoFacts`."""
    items = list(dataset.image_paths.items())
    facts: dict[str, PhotoFacts] = {}
    bar = tqdm(total=len(items), desc="opening photos", unit=" photos", file=sys.stderr, disable=not progress)
    with ThreadPoolExecutor(2) as pool, bar:
        for start in range(0, len(items), at_once):  # a part at a time: memory does not grow with the photos
            part = items[start : start + at_once]
            facts |= zip((name for name, _ in part), pool.map(_look, (path for _, path in part)), strict=True)
            bar.update(len(part))
    return facts


def _look(path: Path) -> PhotoFacts:
    try:
        image = load_image(path)
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
    except (InputError, OSError) as error:
        return PhotoFacts(" ".join(str(error).split()))
    small = Image.fromarray(image)
    thumbnail = np.asarray(small.resize((8, 8), Image.Resampling.BOX))
    return PhotoFacts("", digest, image.shape[:2], thumbnail, _pattern(small))


def _check_photos(dataset: CaptionDataset, facts: Mapping[str, PhotoFacts]) -> Iterator[Finding]:
    damaged = [name for name, fact in facts.items() if fact.problem]
    reason = facts[damaged[0]].problem if damaged else ""
    yield from _named(
        "unreadable_photos",
        "look",
        damaged,
        f"{count_noun(len(damaged), 'photo')} cannot be read",
        f"Copy or download them again; until then they are left out. Of the first: {reason}.",
    )
    sizes = {name: fact.size for name, fact in facts.items() if not fact.problem}
    small = [name for name, size in sizes.items() if min(size) < SMALL_SIDE]
    yield from _named(
        "small_photos",
        "look",
        small,
        f"{count_noun(len(small), 'photo')} with a side under {SMALL_SIDE} pixels",
        "Encoders look at 224 pixels and more a side; so little is enlarged to a blur. Use the photos, not previews of "
        "them.",
    )
    long = [name for name, size in sizes.items() if max(size) > LONG_SIDES * min(size)]
    yield from _named(
        "long_photos",
        "note",
        long,
        f"{count_noun(len(long), 'photo')} more than {LONG_SIDES} times as long as wide",
        "Photos are squashed to a square; in these, things look odd to the encoder. Cut out what the caption is about.",
    )


# --- Splits ---


def _check_splits(dataset: CaptionDataset, facts: Mapping[str, PhotoFacts]) -> Iterator[Finding]:
    readable = {
        split: sum(not facts[name].problem for name in names) if facts else len(names)
        for split, names in dataset.splits.items()
    }
    missing = [split for split in ("train", "val") if not readable[split]]
    if missing:
        text = f"no photo in {' and in '.join(missing)}" + (" that can be read" if facts else "")
        advice = "Training learns from train and stops by val. Add photos, or give the table a column called split."
        yield Finding("no_" + "_no_".join(missing), "unusable", 1, text, advice)
    if not readable["test"]:
        yield Finding("no_test", "note", 1, "no photo in test", "You can train, and have nothing to score on after it.")
    for split in ("val", "test"):
        if 0 < readable[split] < FEW_HELD_OUT:
            text = f"only {count_noun(readable[split], 'photo')} in {split}"
            advice = "Scores on so few jump from one training to the next: do not compare by them."
            yield Finding(f"few_{split}_photos", "note", readable[split], text, advice)
    if 0 < readable["train"] < FEW_PHOTOS:
        text = f"only {count_noun(readable['train'], 'photo')} to train on"
        advice = "Too few to learn English from. Start from a captioner that is trained already, or expect set phrases."
        yield Finding("few_train_photos", "note", readable["train"], text, advice)


# --- The same photo twice ---


def _check_twins(dataset: CaptionDataset, facts: Mapping[str, PhotoFacts]) -> Iterator[Finding]:
    readable = {name: fact for name, fact in facts.items() if not fact.problem}
    split_of = {name: split for split, names in dataset.splits.items() for name in names}
    by_digest = collections.defaultdict(list)
    for name, fact in readable.items():
        by_digest[fact.digest].append(name)
    same = [(names[0], other) for names in by_digest.values() for other in names[1:]]
    alike = find_look_alikes({names[0]: readable[names[0]] for names in by_digest.values()})
    leaks = [pair for pair in same + alike if split_of[pair[0]] != split_of[pair[1]]]
    yield from _named(
        "leaking_photos",
        "look",
        [f"{a!r} ({split_of[a]}) = {b!r} ({split_of[b]})" for a, b in leaks],
        f"{count_noun(len(leaks), 'photo')} in two splits under two names",
        "What is tested was trained on, so scores are too good. Keep each photo in one split: give it one name, or set "
        "the split column.",
        show=str,
    )
    for kind, pairs, how in (("same_photos", same, "byte for byte"), ("similar_photos", alike, "to the eye")):
        yield from _named(
            kind,
            "note",
            [f"{a!r} = {b!r}" for a, b in pairs],
            f"{count_noun(len(pairs), 'photo')} there twice, {how}",
            "They count twice. Keep one, with the captions of both, where that is not what you want.",
            show=str,
        )


BANDS = 4  # parts of the pattern; photos that share one are compared
CROWD = 1000  # a part that so many photos share, such as that of a white page, tells nothing
# In each of the 64 squares. Of the 32 million pairs of different photos in Flickr8k, the closest two are 31 apart.
MAX_DIFFERENCE = 10  # levels of 255


def _pattern(image: Image.Image) -> int:
    """64 bits: where brightness falls from left to right by more than the noise of a compression.

    References:
        Neal Krawetz 2013, Kind of like that (hackerfactor.com), there called dHash.
    """
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)  # (8, 9)
    return int.from_bytes(np.packbits(grey[:, :-1] - grey[:, 1:] > 4).tobytes(), "big")


def find_look_alikes(facts: Mapping[str, PhotoFacts]) -> list[tuple[str, str]]:
    """Pairs of photos that show the same picture: resized, or saved again in another quality or format.

    Each part of the brightness pattern proposes pairs; the colours of 8×8 squares decide. A crop, a mirror image or a
    filter is another picture.

    Args:
        facts: dict of image_id to `PhotoFacts`.

    Returns:
        list of `(image_id, image_id)`, in the order of `facts`.
    """
    names, pairs = list(facts), set()
    thumbnails = np.array([facts[name].thumbnail for name in names], np.int16).reshape(len(names), 192)
    ratios = np.array([facts[name].size[0] / facts[name].size[1] for name in names])
    for band in range(BANDS):
        groups = collections.defaultdict(list)
        for row, name in enumerate(names):
            groups[facts[name].pattern >> (16 * band) & 0xFFFF].append(row)
        for rows in groups.values():
            for place, row in enumerate(rows[:-1] if len(rows) <= CROWD else ()):
                others = np.array(rows[place + 1 :])
                differences = np.abs(thumbnails[others] - thumbnails[row]).max(axis=1)
                close = (differences <= MAX_DIFFERENCE) & (np.abs(ratios[others] / ratios[row] - 1) < 0.03)
                pairs |= {(row, int(other)) for other in others[close]}
    flat = np.ptp(thumbnails, axis=1) < 4 * MAX_DIFFERENCE  # one colour: nothing to tell pictures apart by
    return [(names[a], names[b]) for a, b in sorted(pairs) if not flat[a]]


# --- Captions ---


def _check_captions(dataset: CaptionDataset) -> Iterator[Finding]:
    everything = [caption for captions in dataset.captions.values() for caption in captions]
    odd = [caption for caption in everything if has_odd_characters(caption)]
    yield from _named(
        "odd_characters",
        "look",
        odd,
        f"{count_noun(len(odd), 'caption')} with characters that went wrong",
        "Control characters, � or sequences such as Ã© mean that a file was read in another encoding than it was "
        "written in. Save the captions as UTF-8 again, from the original.",
    )
    alone = sum(len(captions) == 1 for captions in dataset.captions.values())
    if alone:
        whose = "every photo has" if alone == len(dataset.captions) else f"{count_noun(alone, 'photo')} with"
        advice = (
            "That is enough to train. Scores such as BLEU compare with several captions a photo; with one they are "
            "lower, and comparable only with each other."
        )
        yield Finding("one_caption_photos", "note", alone, f"{whose} a single caption", advice)
    again = sum(len(captions) - len(set(captions)) for captions in dataset.captions.values())
    if again:
        text = f"{count_noun(again, 'caption')} written twice for the same photo"
        advice = "The second teaches nothing and counts as a reference in scores. Delete it, or write another."
        yield Finding("repeated_captions", "note", again, text, advice)


def has_odd_characters(caption: str) -> bool:
    """Whether a caption holds control characters, the replacement character, or UTF-8 that was read as Latin.

    Example:
        >>> [has_odd_characters(text) for text in ("A café .", "A cafÃ© .", "A caf� .", "A \\x07 dog", "犬 .")]
        [False, True, True, True, False]
    """
    if caption.isascii():
        return any((character < " " and character not in "\t\n\r") or character == "\x7f" for character in caption)
    if "\ufffd" in caption or any(unicodedata.category(character) in ("Cc", "Co", "Cs") for character in caption):
        return True
    try:
        return caption.encode("cp1252").decode("utf-8") != caption
    except UnicodeError:
        return False


def _check_words(dataset: CaptionDataset) -> Iterator[Finding]:
    """What is left of the captions after cleaning."""
    cleaned = {name: [clean_caption(caption) for caption in texts] for name, texts in dataset.captions.items()}
    empty = [name for name, texts in cleaned.items() if not all(texts)]
    yield from _named(
        "captions_without_word",
        "look",
        empty,
        f"{count_noun(len(empty), 'photo')} with a caption that holds no word",
        "Such captions are left out of training. Write them, or delete their lines.",
    )
    yield from _check_lengths(cleaned)
    yield from _check_variety(cleaned)
    if dataset.splits["train"]:
        yield from _check_rare_words([text for name in dataset.splits["train"] for text in cleaned[name]])
        yield from _check_shared_captions(dataset, cleaned)


def _check_lengths(cleaned: Mapping[str, list[str]]) -> Iterator[Finding]:
    lengths = {name: [len(text.split()) for text in texts if text] for name, texts in cleaned.items()}
    long = [name for name, numbers in lengths.items() if max(numbers, default=0) > MAX_WORDS]
    yield from _named(
        "long_captions",
        "look",
        long,
        f"{count_noun(len(long), 'photo')} with a caption of more than {MAX_WORDS} words",
        f"Training cuts them after {MAX_WORDS} words. Shorten them to one sentence; a whole story in one caption is "
        "often an unclosed quotation mark in the file.",
    )
    short = [name for name, numbers in lengths.items() if min(numbers, default=3) < 3]
    yield from _named(
        "short_captions",
        "look" if len(short) > len(lengths) / 10 else "note",
        short,
        f"{count_noun(len(short), 'photo')} with a caption of one or two words",
        "A captioner writes what it reads: from labels it learns labels, not sentences.",
    )


def _check_variety(cleaned: Mapping[str, list[str]]) -> Iterator[Finding]:
    counts = collections.Counter(text for texts in cleaned.values() for text in texts if text)
    text, count = counts.most_common(1)[0] if counts else ("", 0)
    if count >= 10 and count > counts.total() / 100:
        found = f"{count_noun(count, 'caption')} ({count / counts.total():.0%}) are the same: {text!r:.120}"
        advice = "A captioner soon says for every photo what is said most often. Describe what tells the photos apart."
        yield Finding("same_captions", "look", count, found, advice, [text])


def _check_rare_words(captions: Iterable[str]) -> Iterator[Finding]:
    counts = collections.Counter(word for text in captions for word in text.split())
    rare = {word: count for word, count in counts.items() if count < MIN_COUNT}
    share = sum(rare.values()) / max(counts.total(), 1)
    if share > 0.1:
        text = f"{share:.0%} of the words in train occur fewer than {MIN_COUNT} times"
        advice = (
            f"With --min_count {MIN_COUNT}, the default of training, each of them becomes the unknown word, unless the "
            "captioner that you start from knows it. Give a lower --min_count, or more captions; check that the "
            "captions are in one language."
        )
        yield Finding("rare_words", "look", len(rare), text, advice, sorted(rare)[:EXAMPLES])


def _check_shared_captions(dataset: CaptionDataset, cleaned: Mapping[str, list[str]]) -> Iterator[Finding]:
    known = {text for name in dataset.splits["train"] for text in cleaned[name]}
    held_out = dataset.splits["val"] + dataset.splits["test"]
    shared = [name for name in held_out if all(text in known for text in cleaned[name])]
    yield from _named(
        "leaking_captions",
        "look" if len(shared) > len(held_out) / 20 else "note",
        shared,
        f"{count_noun(len(shared), 'photo')} of val and test whose captions all occur in train, word for word",
        "Either such a photo is in train under another name, or it got a train photo's captions by mistake, or all "
        "captions are so much alike that the test is easy. Look at a few of them.",
    )
