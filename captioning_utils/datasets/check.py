"""Checks of a dataset before training: what it holds, what is wrong with it, and what to do."""

import collections
from collections.abc import Iterator, Mapping

from captioning_utils.base.errors import InputError
from captioning_utils.base.types import AnyPath
from captioning_utils.base.wording import count_noun
from captioning_utils.datasets.check_captions import check_words, find_caption_faults
from captioning_utils.datasets.dataset import CaptionDataset, load_dataset
from captioning_utils.datasets.finding import LEVELS, DatasetReport, Finding, name_finding
from captioning_utils.datasets.look_alikes import PhotoFacts, find_look_alikes, read_photo_facts
from captioning_utils.datasets.splits import SPLITS

FEW_PHOTOS = 1000  # in train
FEW_HELD_OUT = 30  # in val or test
SMALL_SIDE = 64  # pixels
LONG_SIDES = 3  # longer side by the shorter one


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
        >>> from PIL import Image
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
    facts = read_photo_facts(dataset, progress) if open_photos else {}
    findings = [*_check_loading(dataset), *_check_photos(dataset, facts), *_check_splits(dataset, facts)]
    findings += [*_check_twins(dataset, facts), *find_caption_faults(dataset), *check_words(dataset)]
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


# --- What loading left out ---

LOADING_ADVICE = {  # kind of note -> level, what it means and what to do
    "missing_photos": (
        "look",
        "The captions name photos that are not there. Put them into the photo folder under these names, or delete "
        "their lines; until then they are left out.",
    ),
    "unclear_names": (
        "look",
        "Write the whole name of the right photo, with its folder and ending, into the captions.",
    ),
    "other_names": ("note", "No photo has exactly the name in the captions. Look at a few, whether they are right."),
    "photos_without_caption": ("note", "They are not used. Write captions for them, or leave them."),
    "photos_in_no_split": (
        "note",
        "They are not used. The official split leaves them out, and so do published scores.",
    ),
    "empty_captions": ("look", "Write them, or delete their lines."),
    "boundary_tags": ("note", "The captioner puts its own around every caption. Nothing to do."),
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


def _check_photos(dataset: CaptionDataset, facts: Mapping[str, PhotoFacts]) -> Iterator[Finding]:
    damaged = [name for name, fact in facts.items() if fact.problem]
    reason = facts[damaged[0]].problem if damaged else ""
    yield from name_finding(
        "unreadable_photos",
        "look",
        damaged,
        f"{count_noun(len(damaged), 'photo')} cannot be read",
        f"Copy or download them again; until then they are left out. Of the first: {reason}.",
    )
    assumed = [fact.assumed for fact in facts.values() if fact.assumed]
    yield from name_finding(
        "assumed_range",
        "note",
        assumed,
        f"{count_noun(len(assumed), 'photo')} that do not say what is black and what is white in them",
        "Look at a few. Save them with 8 bits where they come out too dark or too light.",
        show=str,
    )
    sizes = {name: fact.size for name, fact in facts.items() if not fact.problem}
    small = [name for name, size in sizes.items() if min(size) < SMALL_SIDE]
    yield from name_finding(
        "small_photos",
        "look",
        small,
        f"{count_noun(len(small), 'photo')} with a side under {SMALL_SIDE} pixels",
        "Encoders look at 224 pixels and more a side; so little is enlarged to a blur. Use the photos, not previews of "
        "them.",
    )
    long = [name for name, size in sizes.items() if max(size) > LONG_SIDES * min(size)]
    yield from name_finding(
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
    yield from name_finding(
        "leaking_photos",
        "look",
        [f"{a!r} ({split_of[a]}) = {b!r} ({split_of[b]})" for a, b in leaks],
        f"{count_noun(len(leaks), 'photo')} in two splits under two names",
        "What is tested was trained on, so scores are too good. Keep each photo in one split: give it one name, or set "
        "the split column.",
        show=str,
    )
    for kind, pairs, how in (("same_photos", same, "byte for byte"), ("similar_photos", alike, "to the eye")):
        yield from name_finding(
            kind,
            "note",
            [f"{a!r} = {b!r}" for a, b in pairs],
            f"{count_noun(len(pairs), 'photo')} there twice, {how}",
            "They count twice. Keep one, with the captions of both, where that is not what you want.",
            show=str,
        )
