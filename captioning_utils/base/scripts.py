"""Scripts that are written without spaces between words."""

import re
import unicodedata
from collections.abc import Iterable

# Thai and Lao; Burmese; Khmer; Japanese; Chinese characters and their extensions
_RANGES = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_WITHOUT_SPACES = re.compile(f"[{_RANGES}]")
_WORD = re.compile(f"[^ ]*[{_RANGES}][^ ]*")
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
