"""The style of all figures, and figures that carry their own description."""

from __future__ import annotations

import base64
import functools
import importlib
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import matplotlib
import matplotlib.style
from cycler import cycler
from matplotlib.figure import Figure

from captioning_utils.base.wording import printable
from captioning_utils.plots.fonts import with_fonts_for

if TYPE_CHECKING:
    from matplotlib.backend_bases import RendererBase


_Arguments = ParamSpec("_Arguments")
_Picture = TypeVar("_Picture")
BLUE, ORANGE, GREEN, PINK, SKY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9"
INK, GREY, LINE, PALE, PAPER = "#1f2430", "#5c6370", "#b9bfca", "#dfe2e8", "#fcfcfa"
SERIES_COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY, GREY)
LONGEST_LABEL = 24  # letters of a word at an axis
STYLE: dict[str, Any] = {
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "figure.dpi": 144,  # 1.5 times what a screen shows: sharp, and small enough for a notebook
    "savefig.dpi": 144,
    "axes.prop_cycle": cycler(color=SERIES_COLOURS),
    "font.size": 10.5,
    "text.color": INK,
    "text.parse_math": False,  # a "$" in a caption is a dollar
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlesize": 12,
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "figure.constrained_layout.w_pad": 0.12,  # inches around each part
    "figure.constrained_layout.h_pad": 0.12,
    "grid.color": PALE,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "svg.hashsalt": "captioning_utils",  # the same data give the same bytes
}
POINTS_PER_INCH = 72
_CSS_PIXELS_PER_INCH = 96


class DescribedFigure(Figure):
    """A matplotlib figure that says in words what it shows, and shows itself in a notebook without pyplot.

    Example:
        >>> from captioning_utils.plots import plot_caption_lengths
        >>> figure = plot_caption_lengths(["a dog runs", "a cat"])
        >>> figure.alt_text
        'Histogram of words per caption: 2 captions, from 2 to 3 words, median 2.5.'
    """

    _alt_text = ""

    @property
    def alt_text(self) -> str:
        """What the picture shows; str, for `<img alt>` and for those who do not see the picture."""
        return self._alt_text

    @alt_text.setter
    def alt_text(self, text: str) -> None:
        self._alt_text = printable(text)

    def draw(self, renderer: RendererBase) -> None:
        """Matplotlib's hook; some parts, such as tick labels, are made only now, and must have the style too."""
        with matplotlib.style.context(["default", STYLE]), with_fonts_for(self):
            super().draw(renderer)

    @property
    def display_size(self) -> tuple[int, int]:
        """(width, height) at which the letters are as large as those of a page's text; int, CSS pixels."""
        return tuple(round(inches * _CSS_PIXELS_PER_INCH) for inches in self.get_size_inches())

    def encode(self, drawing: str = "svg+xml") -> tuple[str, str]:
        """The picture as a web page or notebook takes it.

        Args:
            drawing: "svg+xml" (sharp at every size) or "png". Where there are photos, the picture is a JPEG: a
                third of a PNG's size.

        Returns:
            (str, the media type: "image/png"; str, the file's bytes in base64).

        Example:
            >>> from captioning_utils.plots import plot_caption_lengths
            >>> plot_caption_lengths(["a dog runs"]).encode()[0]
            'image/svg+xml'
        """
        kind = "jpeg" if any(axes.images for axes in self.axes) else drawing
        options: dict[str, dict[str, Any]] = {
            "svg+xml": {"format": "svg", "metadata": {"Date": None}},  # no date: the same data give the same bytes
            "png": {"format": "png"},
            "jpeg": {"format": "jpeg", "pil_kwargs": {"quality": 88, "subsampling": 0}},
        }
        file = io.BytesIO()
        self.savefig(file, dpi=STYLE["savefig.dpi"], **options[kind])
        return f"image/{kind}", base64.b64encode(file.getvalue()).decode()

    def _ipython_display_(self) -> None:
        """IPython's hook: a picture for those who see it, its alt text for all others. The other hooks, which return
        what to show, would get a second picture where pyplot is loaded: it has one made of every figure."""
        media_type, content = self.encode("png")
        width, height = self.display_size
        metadata = {media_type: {"width": width, "height": height, "alt": self.alt_text}}
        data = {media_type: content, "text/plain": self.alt_text}
        display = importlib.import_module("IPython.display").display  # whoever calls this hook has it
        display(data, metadata=metadata, raw=True)


def styled(plot: Callable[_Arguments, _Picture]) -> Callable[_Arguments, _Picture]:
    """Give the figure that `plot` makes this module's style; a decorator."""

    @functools.wraps(plot)
    def plot_in_style(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Picture:
        with matplotlib.style.context(["default", STYLE]):
            return plot(*args, **kwargs)

    return plot_in_style


def shorten(word: str) -> str:
    """A word that leaves room for the plot beside it."""
    word = printable(word)
    return word if len(word) <= LONGEST_LABEL else word[: LONGEST_LABEL - 1] + "…"


def with_commas(value: float, _position: Any = None) -> str:
    return f"{value:,.0f}"
