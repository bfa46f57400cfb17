"""Checks of the captions: characters, words, lengths, variety."""

import collections
import unicodedata
from collections.abc import Iterable, Iterator, Mapping

from captioning_utils.base.markup import has_markup
from captioning_utils.base.scripts import lack_spaces
from captioning_utils.base.wording import count_noun
from captioning_utils.datasets.dataset import CaptionDataset
from captioning_utils.datasets.finding import EXAMPLES, Finding, name_finding
from captioning_utils.settings import TrainingConfig
from captioning_utils.text import clean_caption

MAX_WORDS, MIN_COUNT = TrainingConfig().max_words, TrainingConfig().min_count


def find_caption_faults(dataset: CaptionDataset) -> Iterator[Finding]:
    everything = [caption for captions in dataset.captions.values() for caption in captions]
    for key, level, is_so, what, advice in (
        (
            "odd_characters",
            "look",
            has_odd_characters,
            "characters that went wrong",
            "Control characters, � or sequences such as Ã© mean that a file was read in another encoding than it was "
            "written in. Save the captions as UTF-8 again, from the original.",
        ),
        (
            "html_captions",
            "note",
            has_markup,
            "HTML, such as &amp; or <br>",
            "It is read as the text that a browser would show. Nothing to do.",
        ),
    ):
        such = list(filter(is_so, everything))
        yield from name_finding(key, level, such, f"{count_noun(len(such), 'caption')} with {what}", advice)
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


def check_words(dataset: CaptionDataset) -> Iterator[Finding]:
    """What is left of the captions after cleaning."""
    cleaned = {name: [clean_caption(caption) for caption in texts] for name, texts in dataset.captions.items()}
    empty = [name for name, texts in cleaned.items() if not all(texts)]
    yield from name_finding(
        "captions_without_word",
        "look",
        empty,
        f"{count_noun(len(empty), 'photo')} with a caption that holds no word",
        "Such captions are left out of training. Write them, or delete their lines.",
    )
    for split, names in dataset.splits.items():
        if names and not any(text for name in names for text in cleaned[name]):
            level = "note" if split == "test" else "unusable"
            text = f"no caption of the {split} split holds a word"
            yield Finding(f"no_words_in_{split}", level, len(names), text, "Write captions for it.", names[:EXAMPLES])
    if lack_spaces(text for texts in cleaned.values() for text in texts):
        text = "captions in a script that is written without spaces between words"
        advice = (
            "A word is what stands between spaces, so each sentence is one word. Put spaces between the words, or "
            "between all characters; scores have the protocol by-character."
        )
        yield Finding("no_spaces", "look", len(cleaned), text, advice)
    yield from _check_lengths(cleaned)
    yield from _check_variety(cleaned)
    if dataset.splits["train"]:
        yield from _check_rare_words([text for name in dataset.splits["train"] for text in cleaned[name]])
        yield from _check_shared_captions(dataset, cleaned)


def _check_lengths(cleaned: Mapping[str, list[str]]) -> Iterator[Finding]:
    lengths = {name: [len(text.split()) for text in texts if text] for name, texts in cleaned.items()}
    long = [name for name, numbers in lengths.items() if max(numbers, default=0) > MAX_WORDS]
    yield from name_finding(
        "long_captions",
        "look",
        long,
        f"{count_noun(len(long), 'photo')} with a caption of more than {MAX_WORDS} words",
        f"Training cuts them after {MAX_WORDS} words. Shorten them to one sentence; a whole story in one caption is "
        "often an unclosed quotation mark in the file.",
    )
    short = [name for name, numbers in lengths.items() if min(numbers, default=3) < 3]
    yield from name_finding(
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
            f"With min_count {MIN_COUNT}, the default of training, each of them becomes the unknown word, unless the "
            "captioner that you start from knows it. Give a lower min_count=, or more captions; check that the "
            "captions are in one language."
        )
        yield Finding("rare_words", "look", len(rare), text, advice, sorted(rare)[:EXAMPLES])


def _check_shared_captions(dataset: CaptionDataset, cleaned: Mapping[str, list[str]]) -> Iterator[Finding]:
    known = {text for name in dataset.splits["train"] for text in cleaned[name]}
    held_out = dataset.splits["val"] + dataset.splits["test"]
    shared = [name for name in held_out if all(text in known for text in cleaned[name])]
    yield from name_finding(
        "leaking_captions",
        "look" if len(shared) > len(held_out) / 20 else "note",
        shared,
        f"{count_noun(len(shared), 'photo')} of val and test whose captions all occur in train, word for word",
        "Either such a photo is in train under another name, or it got a train photo's captions by mistake, or all "
        "captions are so much alike that the test is easy. Look at a few of them.",
    )
