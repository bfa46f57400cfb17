"""Scripts that are written without spaces between words, and those that spell with invisible joiners."""

import re
import unicodedata
from collections.abc import Iterable

# Thai and Lao; Burmese; Khmer; Japanese; Chinese characters and their extensions
_RANGES = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_WITHOUT_SPACES = re.compile(f"[{_RANGES}]")
_WORD = re.compile(f"[^ ]*[{_RANGES}][^ ]*")
JOINERS = "\u200c\u200d"  # U+200C ZERO WIDTH NON-JOINER, U+200D ZERO WIDTH JOINER
_JOINED = re.compile(f"([^{JOINERS}]?)([{JOINERS}]+)(?=(.?))", re.DOTALL)
LONG = 5  # characters; words of these scripts have one to four, on the average fewer than two


def part_characters(text: str) -> str:
    """Put spaces around each character, with its marks, of a script that is written without spaces.

    Example:
        >>> part_characters("一只狗 runs"), part_characters("สุนัข")
        ('一 只 狗 runs', 'สุ นั ข')
    """
    if text.isascii() or not _WITHOUT_SPACES.search(text):
        return text
    parts: list[str] = []
    for character in text:
        is_mark = unicodedata.category(character)[0] == "M"
        parts.append(f" {character}" if not is_mark and _WITHOUT_SPACES.match(character) else character)
    return re.sub(f"(?<=[{_RANGES}])(?=[^ {_RANGES}])", " ", "".join(parts)).strip().replace("  ", " ")


def lack_spaces(captions: Iterable[str]) -> bool:
    """Whether captions are in a script without spaces, and nobody put any between the words.

    Example:
        >>> lack_spaces(["一只狗在草地上奔跑"]), lack_spaces(["一只 狗 在 草地 上 奔跑"]), lack_spaces(["a dog 狗"])
        (True, False, False)
    """
    words = [word for caption in captions if not caption.isascii() for word in _WORD.findall(caption)]
    return bool(words) and sum(map(len, words)) >= LONG * len(words)


def place_joiners(text: str) -> str:
    """Keep joiners inside words of scripts without capital letters, such as Sinhala and Persian, that need them.

    At the end of a word a joiner stays after the sign that takes a letter's vowel: Malayalam was long written so.

    Example:
        >>> place_joiners("d\\u200dog"), place_joiners("می\\u200cرود") == "می\\u200cرود"
        ('dog', True)
    """
    return _JOINED.sub(_place, text)


def _place(match: re.Match[str]) -> str:
    before, joiners, after = match.groups()
    needed = _joins(before) and (
        _joins(after) or (joiners[0] == "\u200d" and unicodedata.combining(before) == 9)  # a virama
    )
    return before + joiners[0] if needed else before


def _joins(character: str) -> bool:
    """Whether a character is a letter or mark of a script without capital letters."""
    return unicodedata.category(character or " ")[0] in "LM" and character.lower() == character.upper()
