"""Fonts for letters that matplotlib's own font lacks, such as those of Hindi or Chinese."""

from __future__ import annotations

import contextlib
import functools
import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FONT = "DejaVu Sans"  # comes with matplotlib


@contextlib.contextmanager
def with_fonts_for(figure: Figure) -> Iterator[None]:
    """Give the texts of a figure fonts that have their letters; without any, say so once instead of for each letter."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            axis.get_ticklabels()  # made by this
    for text in figure.findobj(Text):
        missing = frozenset(map(ord, text.get_text())) - _letters_of(font_manager.findfont(FONT)) - {ord("\n")}
        if missing:
            text.set_fontfamily([FONT, *_find_fonts(missing)])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        yield


@functools.lru_cache(maxsize=1000)
def _letters_of(path: str) -> frozenset[int]:
    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):  # a font file that is damaged or gone
        return frozenset()


@functools.lru_cache(maxsize=1000)
def _find_fonts(letters: frozenset[int]) -> tuple[str, ...]:
    """The names of fonts on this machine that have letters; as few as will do."""
    found: list[str] = []
    while letters:
        entries = sorted(
            font_manager.fontManager.ttflist, key=lambda entry: (entry.weight != 400, entry.style, entry.name)
        )
        best = max(entries, key=lambda entry: len(letters & _letters_of(entry.fname)))
        if not letters & _letters_of(best.fname):
            _tell(min(letters))
            break
        found.append(best.name)
        letters -= _letters_of(best.fname)
    return tuple(found)


told: list[int] = []  # letters; one is enough


def _tell(letter: int) -> None:
    if not told:
        told.append(letter)
        text = f"no font on this machine has all letters of the captions, such as {chr(letter)!r}; pictures show boxes"
        print(f"note: {text} instead: install a font that has them, such as Noto Sans", file=sys.stderr)
