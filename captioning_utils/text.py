"""From a caption as someone wrote it to token ids, and back."""

import dataclasses
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from captioning_utils.base.errors import InputError
from captioning_utils.base.markup import has_markup, strip_markup
from captioning_utils.base.scripts import JOINERS, place_joiners

RESERVED_WORDS = ("<pad>", "startseq", "endseq", "<unk>")  # a word's place in the vocabulary is its id
MAX_WORDS_IN_VOCABULARY = 1_000_000  # bounds the memory that a hostile file can ask for
MAX_WORD_LENGTH = 100  # characters; longer "words" are not language, and stay unknown


@dataclasses.dataclass(frozen=True)
class TextCleaning:
    """How raw captions become words; saved with a captioner so that training and use agree.

    The defaults give the words of Karpathy's widely used preparation (NeuralTalk): lower case, every ASCII
    punctuation mark deleted where it stands, digits and one-letter words kept. Scores computed on such words
    are comparable with most published ones. `keep_digits=False, keep_one_letter_words=False` gives the
    cleaning of the popular tutorials, which drops "a" and so changes every BLEU score.

    Raises:
        InputError: where a field is not True or False.

    Example:
        >>> clean_caption("A man's t-shirt says 42 .")
        'a mans tshirt says 42'
        >>> tutorials = TextCleaning(keep_digits=False, keep_one_letter_words=False)
        >>> clean_caption("A man's t-shirt says 42 .", tutorials)
        'mans tshirt says'

    References:
        Karpathy and Li 2015, Deep Visual-Semantic Alignments (arXiv:1412.2306);
        https://github.com/karpathy/neuraltalk2/blob/master/prepro.py
    """

    lower_case: bool = True  # "Dog" and "dog" are one word
    remove_punctuation: bool = True  # "man's" -> "mans", "t-shirt" -> "tshirt"; see clean_caption
    keep_digits: bool = True  # False drops every word that holds a digit: "2", "4x4"
    keep_one_letter_words: bool = True  # False drops "a", "I" and every other word of one character

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, bool):
                raise InputError(f"text cleaning: {field.name} is {value!r:.80}; give true or false")

    def to_dict(self) -> dict[str, bool]:
        """The settings as a dict of booleans, ready for JSON.

        Example:
            >>> TextCleaning().to_dict()["keep_one_letter_words"]
            True
        """
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> Self:
        """The opposite of `to_dict`; a setting that is not there takes its default.

        Raises:
            InputError: where `settings` is not a dict, names an unknown setting, or a value is no boolean.

        Example:
            >>> TextCleaning.from_dict(TextCleaning(keep_digits=False).to_dict()).keep_digits
            False
        """
        allowed = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(settings, dict):
            raise InputError(f"text cleaning is a {type(settings).__name__}; give an object with {', '.join(allowed)}")
        unknown = [str(name) for name in settings if name not in allowed]
        if unknown:
            raise InputError(f"text cleaning has unknown settings {unknown[:3]!r:.200}; allowed: {', '.join(allowed)}")
        return cls(**settings)


class _Characters(dict[int, str]):
    """A table for `str.translate` that decides on each character once, when it is first seen."""

    def __init__(self, remove_punctuation: bool) -> None:
        super().__init__()
        self.remove_punctuation = remove_punctuation

    def __missing__(self, code: int) -> str:
        self[code] = self._replacement(chr(code))
        return self[code]

    def _replacement(self, character: str) -> str:
        category = unicodedata.category(character)
        if character in JOINERS:  # part of the spelling in some scripts, see place_joiners
            return character
        if character in "\u200b\u3164\uffa0":  # the space of no width, of Thai and Khmer; Korean letters that are empty
            return " "
        if category in ("Cf", "Me") or character in _INVISIBLE:
            return ""  # soft hyphen, byte-order mark, the choice of how an emoji looks, a keycap's frame
        if category[0] in "CZ":  # control characters, lone surrogates, every kind of space
            return " "
        if not self.remove_punctuation or category[0] not in "PS":
            return character
        joins_word = character.isascii() or character in "‘’‐‑"
        return "" if joins_word else " "


_INVISIBLE = frozenset(map(chr, (0x34F, 0x115F, 0x1160, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
_CHARACTERS = {choice: _Characters(choice) for choice in (True, False)}


def clean_caption(caption: str, cleaning: TextCleaning = TextCleaning()) -> str:
    """Turn a raw caption into words separated by single spaces, without boundary tokens.

    HTML becomes the text that it shows. Letters of every script are kept, in Unicode's composed form (NFC).
    Control characters and all kinds of space separate words. ASCII punctuation and symbols
    (`string.punctuation`), and the typographic apostrophes and hyphens, are deleted and join what they stood
    between: "man's" becomes "mans", "t-shirt" becomes "tshirt", "and/or" becomes "andor". Other punctuation and
    symbols (dashes, quotation marks, emoji) become a space. Invisible characters go, but for the joiners that
    some scripts spell with. A reserved word that somebody typed ("startseq", "endseq") is dropped, so no
    caption can pretend to begin or end early.

    Args:
        caption: str, any text; it may be empty.
        cleaning: `TextCleaning`, which steps are done.

    Returns:
        str, "" where no word is left. Cleaning it again changes nothing.

    Raises:
        InputError: where `caption` is not a str.

    Example:
        >>> clean_caption("  Two dogs—one brown,  one black—run. ")
        'two dogs one brown one black run'
        >>> clean_caption("startseq A café endseq!")
        'a café'
    """
    if not isinstance(caption, str):
        raise InputError(f"a caption is a {type(caption).__name__} ({caption!r:.80}); give text")
    cleaned, rounds = _clean_words(strip_markup(caption), cleaning), 0
    while has_markup(cleaned):  # punctuation is kept, and what stood inside a tag or an escaped character is gone
        rounds += 1
        shown = strip_markup(cleaned) if rounds < _MOST_ROUNDS else re.sub("[&<]", " ", cleaned)
        cleaned = _clean_words(shown, cleaning)
    return cleaned


_MOST_ROUNDS = 5  # nobody hides HTML so deep by accident


def _clean_words(text: str, cleaning: TextCleaning) -> str:
    """The words that are left of a text without HTML."""
    text = unicodedata.normalize("NFC", text).translate(_CHARACTERS[cleaning.remove_punctuation])
    if cleaning.lower_case:
        text = text.lower()
    # Deleting and lowering can bring a letter and its accent together: compose once more.
    words = map(_drop_leading_marks, unicodedata.normalize("NFC", place_joiners(text)).split())
    return " ".join(word for word in words if word and _keeps(word, cleaning))


def _drop_leading_marks(word: str) -> str:
    """Accents without a letter, such as what is left of an emoji, are no word, and joiners join nothing to them."""
    places = (place for place, each in enumerate(word) if each not in JOINERS and unicodedata.category(each)[0] != "M")
    return word[next(places, len(word)) :]


def _keeps(word: str, cleaning: TextCleaning) -> bool:
    if word in RESERVED_WORDS or (len(word) == 1 and not cleaning.keep_one_letter_words):
        return False
    return cleaning.keep_digits or not any(unicodedata.category(character)[0] == "N" for character in word)


def add_boundaries(caption: str) -> str:
    """Put the start and end token around a cleaned caption: the words whose ids `Vocabulary.encode` gives.

    Example:
        >>> add_boundaries("a dog")
        'startseq a dog endseq'
    """
    return " ".join(["startseq", *caption.split(), "endseq"])


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The words a captioner knows. A word's id is its place in `words`.

    Ids 0 to 3 are reserved: padding, start token, end token, unknown token. Make one with `build_vocabulary`
    from the train split's captions only, or read one with `from_dict`.

    Raises:
        InputError: where `words` does not begin with the reserved words, has none besides them, repeats a word, holds
            anything but non-empty strings without spaces of at most 100 characters, or has more than a million entries.

    Example:
        >>> vocabulary = build_vocabulary(["a dog runs", "a dog sits"], min_count=2)
        >>> vocabulary.words
        ('<pad>', 'startseq', 'endseq', '<unk>', 'a', 'dog')
        >>> vocabulary.encode("a dog swims")
        [1, 4, 5, 3, 2]
        >>> vocabulary.decode([1, 4, 5, 2, 0, 0])
        'a dog'
        >>> len(vocabulary), "dog" in vocabulary, "swims" in vocabulary
        (6, True, False)
    """

    words: tuple[str, ...]  # the reserved words, then words by falling count, ties in alphabetical order
    _ids: dict[str, int] = dataclasses.field(init=False, repr=False, compare=False)  # ordinary words only

    pad_id: ClassVar[int] = 0
    start_id: ClassVar[int] = 1
    end_id: ClassVar[int] = 2
    unknown_id: ClassVar[int] = 3

    def __post_init__(self) -> None:
        _check_words(self.words)
        object.__setattr__(self, "words", tuple(self.words))
        ids = {word: index for index, word in enumerate(self.ordinary_words, len(RESERVED_WORDS))}
        object.__setattr__(self, "_ids", ids)

    @property
    def ordinary_words(self) -> tuple[str, ...]:
        """The words without the reserved ones; tuple of str."""
        return self.words[len(RESERVED_WORDS) :]

    def __len__(self) -> int:
        """The vocabulary size: how many ids there are, the reserved ones included."""
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        """True for a word that has an id of its own; reserved words are no words of a caption."""
        return word in self._ids

    def encode(self, caption: str, max_words: int | None = None) -> list[int]:
        """The token ids of one cleaned caption, start and end token included.

        Args:
            caption: str, from `clean_caption`, without boundary tokens (a reserved word counts as unknown).
            max_words: int or None; keeps only the first words. The two boundary tokens come on top.

        Returns:
            list of int in `[1, len(self))`, of length 2 + number of words.

        Raises:
            InputError: where `max_words` is negative.

        Example:
            >>> build_vocabulary(["a dog runs"], min_count=1).encode("a dog runs", max_words=2)
            [1, 4, 5, 2]
        """
        if max_words is not None and max_words < 0:
            raise InputError(f"max_words is {max_words}; give 0 or more, or None for no limit")
        words = caption.split()[:max_words]
        return [self.start_id, *(self._ids.get(word, self.unknown_id) for word in words), self.end_id]

    def decode(self, token_ids: Iterable[int]) -> str:
        """The words of token ids up to the first end token, without padding and start tokens.

        Args:
            token_ids: iterable of int (a list or a row of an array) in `[0, len(self))`.

        Returns:
            str, words separated by single spaces; an unknown token shows as "<unk>".

        Raises:
            InputError: where an id is outside the vocabulary.

        Example:
            >>> build_vocabulary(["a dog"], min_count=1).decode(np.array([1, 4, 3, 2, 5]))
            'a <unk>'
        """
        words = []
        for token_id in map(int, token_ids):
            if not 0 <= token_id < len(self):
                raise InputError(f"token id {token_id} is outside the vocabulary; allowed: 0 to {len(self) - 1}")
            if token_id == self.end_id:
                break
            if token_id not in (self.pad_id, self.start_id):
                words.append(self.words[token_id])
        return " ".join(words)

    def to_dict(self) -> dict[str, list[str]]:
        """The vocabulary as a dict ready for JSON.

        Example:
            >>> build_vocabulary(["a dog"], min_count=1).to_dict()
            {'words': ['<pad>', 'startseq', 'endseq', '<unk>', 'a', 'dog']}
        """
        return {"words": list(self.words)}

    @classmethod
    def from_dict(cls, value: Any) -> Self:
        """The opposite of `to_dict`. The value may come from a stranger's file: all of it is checked.

        Raises:
            InputError: where `value` is not such a dict; see the class.

        Example:
            >>> vocabulary = build_vocabulary(["a dog"], min_count=1)
            >>> Vocabulary.from_dict(vocabulary.to_dict()) == vocabulary
            True
        """
        if not isinstance(value, dict) or set(value) != {"words"}:
            raise InputError(f"a vocabulary must be an object with one entry, words; got {value!r:.80}")
        return cls(value["words"])


def _check_words(words: Any) -> None:
    if not isinstance(words, (list, tuple)):
        raise InputError(f"a vocabulary's words are a {type(words).__name__}; give a list of strings")
    if len(words) > MAX_WORDS_IN_VOCABULARY:
        raise InputError(f"a vocabulary of {len(words)} words; allowed: up to {MAX_WORDS_IN_VOCABULARY}")
    for word in words:
        if not isinstance(word, str) or len(word) > MAX_WORD_LENGTH or word.split() != [word]:
            raise InputError(
                f"a vocabulary holds {word!r:.80}; "
                f"give non-empty strings without spaces, up to {MAX_WORD_LENGTH} characters"
            )
    if tuple(words[: len(RESERVED_WORDS)]) != RESERVED_WORDS:
        raise InputError(
            f"a vocabulary begins with {list(words[:4])!r:.200}; it must begin with {list(RESERVED_WORDS)}"
        )
    if len(words) == len(RESERVED_WORDS):
        raise InputError(f"a vocabulary holds no word besides {list(RESERVED_WORDS)!r:.200}; give at least one")
    if len(set(words)) != len(words):
        repeated = [word for word, count in Counter(words).items() if count > 1]
        raise InputError(f"a vocabulary repeats {len(repeated)} words, such as {repeated[0]!r}; each may occur once")


def build_vocabulary(captions: Iterable[str], min_count: int = 5) -> Vocabulary:
    """Count the words of cleaned captions and keep those that occur often enough.

    Args:
        captions: iterable of str, each from `clean_caption`; the train split's only, so that the other splits
            stay unseen. Their order does not matter.
        min_count: int, at least 1; a rarer word becomes the unknown token.

    Returns:
        `Vocabulary`, its words by falling count, ties in alphabetical order.

    Raises:
        InputError: where `min_count` is below 1, `captions` is a single str, or no word occurs often enough.

    Example:
        >>> build_vocabulary(["two dogs run", "two dogs sit", "dogs sit"], min_count=2).ordinary_words
        ('dogs', 'sit', 'two')
    """
    if min_count < 1:
        raise InputError(f"min_count is {min_count}; give 1 or more")
    if isinstance(captions, str):
        raise InputError("build_vocabulary got one string; give a list of captions")
    counts: Counter[str] = Counter()
    for caption in captions:
        counts.update(caption.split())
    frequent = [
        word
        for word, count in counts.items()
        if count >= min_count and word not in RESERVED_WORDS and len(word) <= MAX_WORD_LENGTH
    ]
    if not frequent:
        raise InputError(
            f"none of {len(counts)} words occurs {min_count} times; lower min_count=, or give more captions"
        )
    frequent.sort(key=lambda word: (-counts[word], word))
    return Vocabulary(RESERVED_WORDS + tuple(frequent[: MAX_WORDS_IN_VOCABULARY - len(RESERVED_WORDS)]))


def pad_captions(token_ids: Sequence[Sequence[int]], length: int | None = None) -> NDArray[np.int32]:
    """Stack captions of different lengths into one array, padded with 0 on the right.

    There it comes after the words: a model that reads from left to right answers them as if it were not there.

    Args:
        token_ids: list of n lists of int, as from `Vocabulary.encode`.
        length: int or None, the number of columns; None takes the longest caption.

    Returns:
        int32 array `(n, length)`.

    Raises:
        InputError: where a caption is longer than `length`; cutting it here would lose its end token.

    Example:
        >>> pad_captions([[1, 4, 2], [1, 4, 5, 2]]).tolist()
        [[1, 4, 2, 0], [1, 4, 5, 2]]
    """
    longest = max(map(len, token_ids), default=0)
    length = longest if length is None else length
    if longest > length:
        raise InputError(f"a caption has {longest} tokens, more than {length}; encode with max_words={length - 2}")
    padded = np.full((len(token_ids), length), Vocabulary.pad_id, dtype=np.int32)
    for row, ids in enumerate(token_ids):
        padded[row, : len(ids)] = ids
    return padded
