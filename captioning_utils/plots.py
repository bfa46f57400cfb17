"""Pictures of captions, trainings and scores. Each function takes plain data and returns a figure with alt text.

A notebook shows the figure when it is a cell's last value; `figure.savefig("name.png")` writes it to a file. The
style is set here, once, and for these figures only: a reader's own matplotlib settings neither change them nor are
changed. The colours are those of Okabe and Ito, which colour-blind people tell apart, on an opaque light ground, so
that a dark notebook shows them as they are.
"""

from __future__ import annotations

import base64
import collections
import functools
import io
import math
import re
import statistics
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from captioning_utils.errors import InputError, count_noun
from captioning_utils.images import ImageSource, load_image
from captioning_utils.metrics import METRIC_LABELS, format_score

if TYPE_CHECKING:
    from matplotlib.backend_bases import RendererBase

_Arguments = ParamSpec("_Arguments")
_Picture = TypeVar("_Picture")

BLUE, ORANGE, GREEN, PINK, SKY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9"
INK, GREY, LINE, PALE, PAPER = "#1f2430", "#5c6370", "#b9bfca", "#dfe2e8", "#fcfcfa"
SERIES_COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY, GREY)
NARROWEST_UPRIGHT = 0.4  # inches; on narrower bars, the values stand on end
LONGEST_LABEL = 24  # letters of a word at an axis
LONGEST_BAR = 50  # words; longer captions share the last bar of the histogram
DISTRIBUTION_BINS = 25  # bars of a histogram of scores
MIN_CAPTIONS_FOR_MEAN = 5  # a mean over fewer captions of one length says too little to be drawn

_STYLE: dict[str, Any] = {
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "figure.dpi": 144,  # 1.5 times what a screen shows: sharp, and small enough for a notebook
    "savefig.dpi": 144,
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
_POINTS_PER_INCH = 72
_CSS_PIXELS_PER_INCH = 96
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")  # no part of any text in HTML or SVG


def printable(text: object) -> str:
    """A stranger's text as it can stand in a picture or page: control characters and half characters become spaces.

    Example:
        >>> printable("a dog\\x00on\\ngrass")
        'a dog on grass'
    """
    return _UNPRINTABLE.sub(" ", str(text))


class DescribedFigure(Figure):
    """A matplotlib figure that says in words what it shows, and shows itself in a notebook without pyplot.

    Example:
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
        with matplotlib.style.context(["default", _STYLE]):
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
        self.savefig(file, dpi=_STYLE["savefig.dpi"], **options[kind])
        return f"image/{kind}", base64.b64encode(file.getvalue()).decode()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, str], dict[str, Any]]:
        """IPython's hook: a picture for those who see it, its alt text for all others."""
        media_type, content = self.encode("png")
        width, height = self.display_size
        data = {media_type: content, "text/plain": self.alt_text}
        return data, {media_type: {"width": width, "height": height, "alt": self.alt_text}}


def styled(plot: Callable[_Arguments, _Picture]) -> Callable[_Arguments, _Picture]:
    """Give the figure that `plot` makes this module's style; a decorator."""

    @functools.wraps(plot)
    def plot_in_style(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Picture:
        with matplotlib.style.context(["default", _STYLE]):
            return plot(*args, **kwargs)

    return plot_in_style


@styled
def plot_photos(
    images: Sequence[ImageSource],
    captions: Sequence[str],
    references: Sequence[Sequence[str]] | None = None,
    columns: int = 3,
) -> DescribedFigure:
    """Photos with a caption below each.

    Args:
        images: list of paths, open files, Pillow images or uint8 `(height, width, 3)` RGB arrays; at least one.
        captions: list of str, one an image.
        references: list of lists of str, one list an image, shown in grey below the caption; or None.
        columns: int, photos a row, at least 1.

    Returns:
        `DescribedFigure`, 2.6 inches wide a column.

    Raises:
        InputError: where the lists differ in length or are empty, or an image cannot be read.

    Example:
        >>> figure = plot_photos([np.zeros((224, 224, 3), np.uint8)], ["a black square"])
        >>> figure.alt_text
        '1 photo with its caption: "a black square".'
    """
    references = [[] for _ in images] if references is None else references
    if not len(images) == len(captions) == len(references) or len(images) == 0 or columns < 1:
        raise InputError(
            f"{len(images)} images, {len(captions)} captions, {len(references)} lists of references, {columns} columns;"
            " give one caption and one list of references an image, at least one image and one column"
        )
    arrays = [load_image(image) for image in images]
    columns, tile, gap, line = min(columns, len(images)), 2.4, 0.2, 0.19  # inches
    texts = [_wrapped(*pair, tile) for pair in zip(captions, references, strict=True)]
    rows = [range(start, min(start + columns, len(images))) for start in range(0, len(images), columns)]
    text_heights = [
        line * max(len(caption) + len(grey) for caption, grey in texts[row[0] : row[-1] + 1]) for row in rows
    ]
    width, height = gap + columns * (tile + gap), gap + sum(text_heights) + len(rows) * (tile + 2 * gap)
    figure = DescribedFigure(figsize=(width, height))
    top = height - gap
    for row, text_height in zip(rows, text_heights, strict=True):
        for column, index in enumerate(row):
            left = gap + column * (tile + gap)
            axes = figure.add_axes((left / width, (top - tile) / height, tile / width, tile / height), anchor="S")
            axes.imshow(arrays[index])
            axes.set_axis_off()
            _write_lines(figure, texts[index], left, top - tile - gap / 3, line)
        top -= tile + text_height + 2 * gap
    shown = "; ".join(f'"{caption}"' for caption in captions)
    figure.alt_text = (
        f"{len(images)} photo{'s with their captions' if len(images) > 1 else ' with its caption'}: {shown}."
    )
    return figure


def _wrapped(caption: str, references: Iterable[str], width: float) -> tuple[list[str], list[str]]:
    """(lines of the caption, lines of the references) that fit into `width` inches."""
    characters = int(width * _POINTS_PER_INCH / (_STYLE["font.size"] * 0.56))  # 0.56: DejaVu's mean letter width
    lines = textwrap.wrap(printable(caption), characters) or [""]
    grey = [line for text in references for line in textwrap.wrap("· " + printable(text), characters + 3)]
    return lines, grey


def _write_lines(figure: Figure, texts: tuple[list[str], list[str]], left: float, top: float, line: float) -> None:
    """Write the caption's lines and, in grey, the references' at a place in inches, `line` inches apart."""
    width, height = figure.get_size_inches()
    lines = [(text, INK, 10.5) for text in texts[0]] + [(text, GREY, 9.5) for text in texts[1]]
    for number, (text, colour, size) in enumerate(lines):
        place = (left / width, (top - number * line) / height)
        figure.text(*place, text, color=colour, fontsize=size, verticalalignment="top")


@styled
def plot_losses(history: Sequence[Mapping[str, float]]) -> DescribedFigure:
    """The losses of a training run, epoch by epoch, with the best epoch marked.

    Args:
        history: list of dicts, one an epoch, with `epoch` (int), `nats_per_token` and `val_nats_per_token`
            (floats, cross-entropy per token), as in a captioner's training summary; at least one.

    Returns:
        `DescribedFigure`; the right axis translates nats into perplexity, exp(nats).

    Raises:
        InputError: where the history is empty or lacks one of these numbers.

    Example:
        >>> history = [
        ...     {"epoch": 1, "nats_per_token": 4.0, "val_nats_per_token": 3.5},
        ...     {"epoch": 2, "nats_per_token": 3.2, "val_nats_per_token": 3.1},
        ... ]
        >>> print(plot_losses(history).alt_text)
        Losses of epochs 1 to 2, in nats per token: train from 4.00 to 3.20, validation from 3.50 to 3.10; best
        validation 3.10 in epoch 2.
    """
    epochs, train, val = _loss_columns(history)
    best = int(np.nanargmin(val)) if np.isfinite(val).any() else 0
    figure = DescribedFigure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.add_subplot(title="Loss by epoch", xlabel="epoch", ylabel="nats per token")
    axes.plot(epochs, train, color=ORANGE, marker="o", markersize=4, linestyle="--", label="train (with dropout)")
    axes.plot(epochs, val, color=BLUE, marker="o", markersize=4, label="validation")
    ring: dict[str, Any] = {"color": BLUE, "markersize": 11, "fillstyle": "none", "markeredgewidth": 2, "linestyle": ""}
    axes.plot(epochs[best], val[best], "o", label=f"best: {val[best]:.2f} in epoch {epochs[best]}", **ring)
    axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(axis="y")
    axes.legend()
    _add_perplexity_axis(axes)
    figure.alt_text = (
        f"Losses of epochs {epochs[0]} to {epochs[-1]}, in nats per token: train from {train[0]:.2f} to "
        f"{train[-1]:.2f}, validation from {val[0]:.2f} to {val[-1]:.2f}; best validation {val[best]:.2f} in epoch "
        f"{epochs[best]}."
    )
    return figure


@styled
def plot_validation_losses(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> DescribedFigure:
    """The validation losses of several training runs on the same captions, such as from different starts.

    Args:
        histories: dict `{name of a run: its history}`, at least one; histories as for `plot_losses`.

    Returns:
        `DescribedFigure`; each run's best epoch has a ring, the right axis translates nats into perplexity.

    Raises:
        InputError: where there is no run, or a history is empty or lacks a number.

    Example:
        >>> history = [{"epoch": 1, "nats_per_token": 4.0, "val_nats_per_token": 3.5}]
        >>> plot_validation_losses({"scratch": history}).alt_text
        'Validation losses by epoch, in nats per token. scratch: from 3.50 to 3.50 in 1 epoch, best 3.50 in epoch 1.'
    """
    if not histories:
        raise InputError("there is no training run to draw; give {name: history}")
    figure = DescribedFigure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.add_subplot(title="Validation loss by epoch", xlabel="epoch", ylabel="nats per token")
    described = []
    for number, (name, history) in enumerate(histories.items()):
        epochs, _, val = _loss_columns(history)
        best = int(np.nanargmin(val)) if np.isfinite(val).any() else 0
        colour = SERIES_COLOURS[number % len(SERIES_COLOURS)]
        axes.plot(epochs, val, "o-", color=colour, markersize=4, label=f"{printable(name)}: best {val[best]:.2f}")
        axes.plot(epochs[best], val[best], "o", color=colour, markersize=11, fillstyle="none", markeredgewidth=2)
        described.append(
            f"{name}: from {val[0]:.2f} to {val[-1]:.2f} in {count_noun(len(epochs), 'epoch')}, best {val[best]:.2f} "
            f"in epoch {epochs[best]}."
        )
    axes.set_xlim(left=0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(axis="y")
    axes.legend()
    _add_perplexity_axis(axes)
    figure.alt_text = f"Validation losses by epoch, in nats per token. {' '.join(described)}"
    return figure


def _loss_columns(history: Sequence[Mapping[str, float]]) -> tuple[list[int], NDArray[np.float64], NDArray[np.float64]]:
    try:
        epochs = [int(row["epoch"]) for row in history]
        train, val = (
            np.array([float(row[name]) for row in history]) for name in ("nats_per_token", "val_nats_per_token")
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the history of losses is not complete ({error!r:.80}); give a dict an epoch with epoch, nats_per_token "
            "and val_nats_per_token"
        ) from error
    if not epochs:
        raise InputError("the history of losses is empty; train for one epoch or more")
    return epochs, train, val


def _add_perplexity_axis(axes: Axes) -> None:
    """A second scale on the right: exp(nats), the number of words the captioner is torn between."""
    low, high = axes.get_ylim()
    right = axes.twinx()
    right.set_ylim(low, high)
    right.spines["right"].set_visible(True)
    if high < 20:  # a diverged run has perplexities that nobody can read
        steps = [step * 10**power for power in range(9) for step in (1, 1.5, 2, 3, 5, 7)]
        steps = [step for step in steps if low <= math.log(step) <= high]
        right.yaxis.set_major_locator(FixedLocator([math.log(step) for step in steps]))
        right.yaxis.set_major_formatter(FuncFormatter(lambda nats, _: f"{math.exp(nats):,.3g}"))
    right.set_ylabel("perplexity")


@styled
def plot_caption_lengths(captions: Sequence[str]) -> DescribedFigure:
    """How many words the captions have: a histogram with the median marked.

    Args:
        captions: list of str, cleaned (words between spaces); at least one.

    Returns:
        `DescribedFigure`; captions of more than 50 words share the last bar.

    Raises:
        InputError: where there is no caption.

    Example:
        >>> plot_caption_lengths(["a dog runs", "a cat"]).axes[0].get_xlabel()
        'words per caption'
    """
    lengths = np.array([len(caption.split()) for caption in captions])
    if not len(lengths):
        raise InputError("there are no captions to count; give at least one")
    bars = np.bincount(np.minimum(lengths, LONGEST_BAR))
    first, median = int(np.flatnonzero(bars)[0]), statistics.median(lengths.tolist())
    figure = DescribedFigure(figsize=(7.5, 3.6), layout="constrained")
    axes = figure.add_subplot(title="Caption lengths", xlabel="words per caption", ylabel="captions")
    axes.bar(range(first, len(bars)), bars[first:], width=0.9, color=BLUE)
    axes.axvline(median, color=ORANGE, linestyle="--", label=f"median: {median:g} words")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.yaxis.set_major_formatter(FuncFormatter(_with_commas))
    if lengths.max() > LONGEST_BAR:
        axes.text(LONGEST_BAR, bars[-1], "and more", horizontalalignment="center", verticalalignment="bottom")
    axes.grid(axis="y")
    axes.legend()
    figure.alt_text = (
        f"Histogram of words per caption: {len(lengths):,} captions, from {lengths.min()} to {lengths.max()} words, "
        f"median {median:g}."
    )
    return figure


def shorten(word: str) -> str:
    """A word that leaves room for the plot beside it."""
    word = printable(word)
    return word if len(word) <= LONGEST_LABEL else word[: LONGEST_LABEL - 1] + "…"


def _with_commas(value: float, _position: Any = None) -> str:
    return f"{value:,.0f}"


@styled
def plot_word_frequencies(captions: Iterable[str], top: int = 20, min_count: int = 5) -> DescribedFigure:
    """The most common words, and how much of the text a vocabulary of frequent words covers.

    Args:
        captions: list of str, cleaned (words between spaces), with at least one word.
        top: int, how many words get a bar, at least 1.
        min_count: int, at least 1; words that occur less often are those the vocabulary leaves out.

    Returns:
        `DescribedFigure` of two parts: bars on the left; on the right the share of the text that the N most common
        words make up, with the vocabulary of `min_count` marked.

    Raises:
        InputError: where there is no word, or a number is below 1.

    Example:
        >>> print(plot_word_frequencies(["a dog runs", "a dog", "a cat"], min_count=2).alt_text)
        The most common words are a (3), dog (2), cat (1). 2 of 4 different words occur 2 times or more; they make
        up 71.4% of the text.
    """
    counts = collections.Counter(word for caption in captions for word in caption.split())
    if not counts or top < 1 or min_count < 1:
        raise InputError(f"{len(counts)} words, top={top}, min_count={min_count}; give 1 or more of each")
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    figure = DescribedFigure(figsize=(8.4, max(3.4, 1 + 0.22 * min(top, len(ranked)))), layout="constrained")
    left, right = figure.subplots(1, 2)
    words, heights = zip(*ranked[:top], strict=True)
    _draw_bars(left, words, heights)
    left.set(title=f"The {len(words)} most common words", xlabel="times written")
    share, size = _draw_coverage(right, [count for _, count in ranked], min_count)
    common = ", ".join(f"{word} ({count:,})" for word, count in ranked[: min(3, top)])
    figure.alt_text = (
        f"The most common words are {common}. {size:,} of {len(ranked):,} different words occur {min_count} times or "
        f"more; they make up {share:.1%} of the text."
    )
    return figure


def _draw_bars(axes: Axes, words: Sequence[str], values: Sequence[int]) -> None:
    """Horizontal bars, the first word on top."""
    axes.barh(range(len(words)), values, color=BLUE, height=0.75)
    axes.set_yticks(range(len(words)), [shorten(word) for word in words])
    axes.set_ylim(len(words) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(_with_commas))
    axes.grid(axis="x")


def _draw_coverage(axes: Axes, counts: Sequence[int], min_count: int) -> tuple[float, int]:
    """Draw which share of the text the N most common words make up; returns it and N for `min_count`."""
    covered = np.cumsum(counts) / sum(counts)
    size = sum(count >= min_count for count in counts)
    share = covered[size - 1] if size else 0.0
    axes.plot(range(1, len(counts) + 1), 100 * covered, color=BLUE, linewidth=2)
    label = f"{size:,} of {len(counts):,} words occur\n{min_count} times or more: {share:.1%}\nof the text"
    axes.plot(max(size, 1), 100 * share, "o", color=ORANGE, markersize=9, label=label)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(_with_commas))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(title="What a vocabulary covers", xlabel="words known, most common first", ylabel="share of the text (%)")
    axes.set_ylim(0, 104)
    axes.grid()
    axes.legend(loc="lower right", frameon=True, facecolor=PAPER, edgecolor=PAPER)
    return share, size


@styled
def plot_scores(
    scores: Mapping[str, Mapping[str, float]],
    intervals: Mapping[str, Mapping[str, Mapping[str, float]]] | None = None,
    title: str = "Scores",
) -> DescribedFigure:
    """Scores side by side, as of several captioners on one test split or of one under several protocols.

    Args:
        scores: dict `{name: {metric: float}}`, at least one name; metrics as in `metrics.METRIC_LABELS`, values in
            their own range (0–1; CIDEr 0–10). A metric that a name lacks has no bar.
        intervals: dict `{name: {metric: {"low": float, "high": float}}}`, as `uncertainty.compute_interval` gives
            them, drawn as whiskers; or None.
        title: str, what all of them have in common: dataset, split, protocol.

    Returns:
        `DescribedFigure`; values are shown times 100.

    Raises:
        InputError: where there is no score.

    Example:
        >>> plot_scores({"merge": {"bleu_1": 0.6, "bleu_4": 0.18}}).alt_text
        'Scores, times 100. merge: BLEU-1 60.0, BLEU-4 18.0.'
    """
    metrics = list(dict.fromkeys(metric for values in scores.values() for metric in values))
    if not metrics:
        raise InputError("there are no scores to draw; give {name: {metric: value}}")
    intervals = intervals or {}
    columns = min(3, len(scores))
    widths = (5, 1.2 + 0.42 * len(metrics) * (len(scores) + 0.6), columns * (0.6 + 0.08 * max(map(len, scores))))
    figure = DescribedFigure(figsize=(min(10, max(widths)), 4), layout="constrained")  # bars and legend have room
    bar = 0.74 / len(scores)  # of a metric's place on the axis
    is_narrow = bar * 0.9 * figure.get_figwidth() / len(metrics) < NARROWEST_UPRIGHT
    axes = figure.add_subplot(title=printable(title), ylabel="score × 100")
    for number, (name, values) in enumerate(scores.items()):
        places = [place for place, metric in enumerate(metrics) if metric in values]
        offset = (number - (len(scores) - 1) / 2) * 0.8 / len(scores)
        _draw_score_bars(
            axes,
            [place + offset for place in places],
            [values[metrics[place]] for place in places],
            [intervals.get(name, {}).get(metrics[place]) for place in places],
            {"width": bar, "color": SERIES_COLOURS[number % len(SERIES_COLOURS)], "label": printable(name)},
            rotation=90 if is_narrow else 0,
        )
    axes.set_xticks(range(len(metrics)), [METRIC_LABELS.get(metric, metric) for metric in metrics])
    axes.tick_params(axis="x", length=0)
    axes.margins(y=0.2 if is_narrow else 0.1)
    axes.grid(axis="y")
    if len(scores) > 1:
        figure.legend(loc="outside lower center", ncols=columns)
    figure.alt_text = f"{title}, times 100. " + " ".join(_scores_in_words(*pair) for pair in scores.items())
    return figure


def _draw_score_bars(
    axes: Axes,
    places: Sequence[float],
    values: Sequence[float],
    intervals: Sequence[Mapping[str, float] | None],
    look: dict[str, Any],
    rotation: int,
) -> None:
    axes.bar(places, [100 * value for value in values], **look)
    for place, value, interval in zip(places, values, intervals, strict=True):
        top = value
        if interval:
            low, high = interval["low"], interval["high"]
            axes.errorbar(place, 100 * value, [[100 * (value - low)], [100 * (high - value)]], color=INK, capsize=3)
            top = high
        axes.annotate(
            format_score(value),
            (place, 100 * top),
            xytext=(0, 4),
            textcoords="offset points",
            horizontalalignment="center",
            verticalalignment="bottom",
            fontsize=9,
            rotation=rotation,
        )


def _scores_in_words(name: str, values: Mapping[str, float]) -> str:
    parts = [f"{METRIC_LABELS.get(metric, metric)} {format_score(value)}" for metric, value in values.items()]
    return f"{name}: {', '.join(parts)}."


@styled
def plot_score_by_length(lengths: Sequence[int], scores: Sequence[float], metric: str = "cider_d") -> DescribedFigure:
    """Each photo's score against the length of its caption, and the mean of each length.

    Args:
        lengths: list of int, words of each candidate caption; at least one.
        scores: list of float, the score of each, in the metric's range (0–1; CIDEr 0–10).
        metric: str, a name in `metrics.METRIC_LABELS`, for the label.

    Returns:
        `DescribedFigure`; values are shown times 100. Lengths of fewer than 5 captions have no mean.

    Raises:
        InputError: where the lists are empty or differ in length.

    Example:
        >>> plot_score_by_length([8] * 5 + [9], [0.2] * 5 + [0.1], "bleu_4").alt_text
        'BLEU-4, times 100, of 6 captions by their length. Mean for 8 words: 20.0 (5 captions).'
    """
    if len(lengths) != len(scores) or not len(lengths):
        raise InputError(f"{len(lengths)} lengths and {len(scores)} scores; give one of each a caption")
    label = METRIC_LABELS.get(metric, metric)
    words, values = np.asarray(lengths), np.asarray(scores, float)
    means = {
        length: (values[words == length].mean(), int((words == length).sum()))
        for length in np.unique(words).tolist()
        if (words == length).sum() >= MIN_CAPTIONS_FOR_MEAN
    }
    figure = DescribedFigure(figsize=(7.5, 4), layout="constrained")
    axes = figure.add_subplot(
        title=f"{label} by caption length", xlabel="words in the caption", ylabel=f"{label} × 100"
    )
    spread = np.random.default_rng(0).uniform(-0.3, 0.3, len(lengths))  # apart, so that equal points are seen
    look: dict[str, Any] = {"alpha": 0.5, "markersize": 4, "rasterized": True}  # or 25,000 points take megabytes
    axes.plot(words + spread, 100 * values, "o", color=SKY, label="one photo", **look)
    if means:
        heights = [100 * mean for mean, _ in means.values()]
        axes.plot(list(means), heights, "D-", color=ORANGE, markersize=7, label="mean of this length")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(axis="y")
    axes.legend()
    found = "; ".join(f"{length} words: {format_score(mean)} ({n:,} captions)" for length, (mean, n) in means.items())
    figure.alt_text = f"{label}, times 100, of {len(lengths):,} captions by their length. Mean for {found or 'none'}."
    return figure


@styled
def plot_score_distribution(scores: Mapping[str, Sequence[float]], metric: str = "cider_d") -> DescribedFigure:
    """How the scores of single photos are spread: one histogram a captioner, one below the other.

    Args:
        scores: dict `{name of a captioner: list of float}`, one score a photo, in the metric's range (0–1; CIDEr
            0–10); at least one captioner, and one photo each.
        metric: str, a name in `metrics.METRIC_LABELS`, for the labels.

    Returns:
        `DescribedFigure`; values are shown times 100, in the same 25 bins for all, with each one's mean and median.

    Raises:
        InputError: where there is no captioner, or one has no scores or one that is no finite number.

    Example:
        >>> plot_score_distribution({"merge": [0.0, 0.5, 0.4]}, "bleu_4").alt_text
        'BLEU-4 of single photos, times 100. merge: 3 photos from 0.0 to 50.0, mean 30.0, median 40.0.'
    """
    arrays = {printable(name): np.asarray(values, float) for name, values in scores.items()}
    if not arrays or not all(
        values.ndim == 1 and np.isfinite(values).all() and len(values) for values in arrays.values()
    ):
        raise InputError("there are no scores to draw; give {name: list of numbers}, one number a photo")
    label = METRIC_LABELS.get(metric, metric)
    bins = np.histogram_bin_edges(100 * np.concatenate(list(arrays.values())), DISTRIBUTION_BINS)
    figure = DescribedFigure(figsize=(7.5, 1.3 + 1.5 * len(arrays)), layout="constrained")
    parts = figure.subplots(len(arrays), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for number, (axes, (name, values)) in enumerate(zip(parts, arrays.items(), strict=True)):
        axes.hist(100 * values, bins, color=SERIES_COLOURS[number % len(SERIES_COLOURS)])
        for what, value, line in (("mean", values.mean(), "-"), ("median", np.median(values), "--")):
            axes.axvline(100 * value, color=INK, linestyle=line, label=f"{what} {format_score(value)}")
        axes.set(title=name, ylabel="photos")
        axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        axes.grid(axis="y")
        axes.legend()
    parts[-1].set_xlabel(f"{label} × 100 of a photo")
    described = " ".join(_distribution_in_words(*pair) for pair in arrays.items())
    figure.alt_text = f"{label} of single photos, times 100. {described}"
    return figure


def _distribution_in_words(name: str, values: NDArray[np.float64]) -> str:
    low, high, mean, median = (
        format_score(value) for value in (values.min(), values.max(), values.mean(), np.median(values))
    )
    return f"{name}: {len(values):,} photos from {low} to {high}, mean {mean}, median {median}."


class WordUse(NamedTuple):
    """How often a captioner and people write a word."""

    word: str
    candidate_rate: float  # uses per 1,000 words that the captioner writes
    reference_rate: float  # uses per 1,000 words that people write
    evidence: float  # log-likelihood ratio G²; above 10.8, chance alone gives it one time in 1,000


def compare_word_use(candidates: Iterable[str], references: Iterable[Iterable[str]]) -> list[WordUse]:
    """Compare which words a captioner writes with those that people write of the same photos.

    Args:
        candidates: list of str, cleaned (words between spaces), with at least one word.
        references: list of lists of str, cleaned: what people wrote, with at least one word.

    Returns:
        list of `WordUse`, every word of either, the clearest difference first. A word is over-used where
        `candidate_rate` is above `reference_rate`.

    Raises:
        InputError: where one side has no word.

    Example:
        >>> use = compare_word_use(["a dog", "a dog"], [["the dog runs", "the dog"], ["the puppy"]])
        >>> use[0].word, use[0].candidate_rate, use[0].reference_rate
        ('a', 500.0, 0.0)

    References:
        Dunning 1993, Accurate Methods for the Statistics of Surprise and Coincidence.
    """
    written = collections.Counter(word for caption in candidates for word in caption.split())
    expected = collections.Counter(word for captions in references for caption in captions for word in caption.split())
    totals = written.total(), expected.total()
    if not all(totals):
        raise InputError(f"{totals[0]} words of a captioner and {totals[1]} of people; give some of both")
    uses = [_word_use(word, (written[word], expected[word]), totals) for word in written | expected]
    return sorted(uses, key=lambda use: (-use.evidence, use.word))


def _word_use(word: str, counts: tuple[int, int], totals: tuple[int, int]) -> WordUse:
    evidence = 0.0
    for count, total in zip(counts, totals, strict=True):
        chance = total * sum(counts) / sum(totals)
        evidence += 2 * count * math.log(count / chance) if count else 0.0
    return WordUse(word, 1000 * counts[0] / totals[0], 1000 * counts[1] / totals[1], evidence)


@styled
def plot_word_use(candidates: Iterable[str], references: Iterable[Iterable[str]], top: int = 12) -> DescribedFigure:
    """The words that a captioner writes most clearly too often, and too rarely, compared with people.

    Args:
        candidates: list of str, as for `compare_word_use`.
        references: list of lists of str, as for `compare_word_use`.
        top: int, words a side, at least 1.

    Returns:
        `DescribedFigure` of two parts, over-used and under-used words, in uses per 1,000 words.

    Raises:
        InputError: as `compare_word_use`.

    Example:
        >>> plot_word_use(["a dog", "a dog"], [["a brown dog runs", "the dog"], ["a puppy"]]).alt_text
        'Words the captioner writes more often than people: a, dog; less often: brown, puppy, runs, the.'
    """
    uses = compare_word_use(candidates, references)
    over = [use for use in uses if use.candidate_rate > use.reference_rate][:top]
    under = [use for use in uses if use.candidate_rate < use.reference_rate][:top]
    rows = max(len(over), len(under), 3)
    figure = DescribedFigure(figsize=(8.4, 1.6 + 0.26 * rows), layout="constrained")
    parts = figure.subplots(1, 2, sharex=True)
    _draw_word_use(parts[0], over, "Written too often")
    _draw_word_use(parts[1], under, "Written too rarely")
    most = max(use.candidate_rate + use.reference_rate for use in uses)
    for axes in parts:
        axes.set(xlim=(-0.15, most), ylim=(rows - 0.5, -0.5))
    figure.legend(*parts[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    more, less = (", ".join(use.word for use in side) or "none" for side in (over, under))
    figure.alt_text = f"Words the captioner writes more often than people: {more}; less often: {less}."
    return figure


def _draw_word_use(axes: Axes, uses: Sequence[WordUse], title: str) -> None:
    """One line a word, from people's rate to the captioner's."""
    places = range(len(uses))
    people, captioner = [use.reference_rate for use in uses], [use.candidate_rate for use in uses]
    axes.hlines(places, people, captioner, color=LINE, linewidth=3)
    axes.plot(people, places, "s", color=GREY, markersize=7, label="people")
    axes.plot(captioner, places, "o", color=BLUE, markersize=7, label="captioner")
    axes.set_yticks(places, [shorten(use.word) for use in uses])
    axes.tick_params(axis="y", length=0)
    axes.set_xscale("symlog", linthresh=1)  # straight below 1, so that 0 (never written) has a place
    axes.xaxis.set_major_formatter(FuncFormatter(_with_commas))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(title=title, xlabel="uses per 1,000 words")
    axes.grid(axis="x")


@styled
def plot_confusion(
    labels: Sequence[str],
    matrix: Sequence[Sequence[int]] | NDArray[Any],
    title: str,
    claimed: str = "the caption says",
    true: str = "the picture shows",
) -> DescribedFigure:
    """What captions claim against what is so: a table of counts, coloured by each row's shares.

    Args:
        labels: list of n str, the classes, for rows and columns alike.
        matrix: int `(n, n)`, counts; row: what is true, column: what was claimed.
        title: str.
        claimed, true: str, labels of the two axes.

    Returns:
        `DescribedFigure`; a good captioner's counts lie on the diagonal.

    Raises:
        InputError: where the matrix is not `(n, n)` counts.

    Example:
        >>> plot_confusion(["red", "blue"], [[8, 2], [1, 9]], "Colours").alt_text
        'Colours: 17 of 20 right. Most frequent mistake: blue for red (2 times).'
    """
    matrix = np.asarray(matrix)
    if (
        matrix.shape != (len(labels), len(labels))
        or not len(labels)
        or matrix.dtype.kind not in "ui"
        or matrix.min() < 0
    ):
        raise InputError(f"the matrix is {matrix.dtype} {matrix.shape} for {len(labels)} labels; give (n, n) counts")
    labels = [shorten(label) for label in labels]
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = 2 + 0.5 * len(labels)
    figure = DescribedFigure(figsize=(side + 0.9, side), layout="constrained")
    axes = figure.add_subplot(title=printable(title), xlabel=claimed, ylabel=true, aspect="equal")
    mesh = axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolors=PALE, linewidth=0.5)
    for row, column in np.argwhere(matrix):
        colour = PAPER if shares[row, column] > 0.5 else INK
        place: dict[str, Any] = {"horizontalalignment": "center", "verticalalignment": "center", "fontsize": 9}
        axes.text(column + 0.5, row + 0.5, f"{matrix[row, column]:,}", color=colour, **place)
    axes.set_xticks(
        np.arange(len(labels)) + 0.5, labels, rotation=45, horizontalalignment="right", rotation_mode="anchor"
    )
    axes.set_yticks(np.arange(len(labels)) + 0.5, labels)
    axes.tick_params(length=0)
    axes.invert_yaxis()
    bar = figure.colorbar(mesh, ax=axes, shrink=0.8, format=FuncFormatter(lambda share, _: f"{100 * share:.0f}"))
    bar.set_label("share of the row (%)")
    figure.alt_text = f"{title}: {np.trace(matrix):,} of {matrix.sum():,} right.{_worst_mistake(labels, matrix)}"
    return figure


def _worst_mistake(labels: Sequence[str], matrix: NDArray[Any]) -> str:
    mistakes = matrix - np.diag(np.diag(matrix))
    row, column = np.unravel_index(mistakes.argmax(), mistakes.shape)
    if not mistakes.any():
        return ""
    return f" Most frequent mistake: {labels[column]} for {labels[row]} ({mistakes[row, column]:,} times)."


@styled
def plot_feature_channels(
    image: ImageSource, grid: NDArray[Any], channels: Sequence[int] | None = None
) -> DescribedFigure:
    """A photo beside some channels of its feature grid: where in the photo each one answers.

    Args:
        image: as `images.load_image` takes it.
        grid: float `(num_regions, feature_dim)`, one photo's features, regions row by row of a square.
        channels: list of int, which channels to show, each in `[0, feature_dim)`; None takes the four with the
            highest activation.

    Returns:
        `DescribedFigure`; each channel has its own scale, from 0 to its highest activation.

    Raises:
        InputError: where the grid is not square, or a channel is not there.

    Example:
        >>> grid = np.zeros((49, 512), np.float16)
        >>> grid[24, 7] = 3.0
        >>> plot_feature_channels(np.zeros((224, 224, 3), np.uint8), grid, [7]).alt_text
        'A photo and 1 of 512 channels of its 7×7 feature grid. Channel 7 is highest, 3.0, in row 4, column 4.'
    """
    grid = np.asarray(grid, np.float32)
    side = math.isqrt(grid.shape[0])
    if grid.ndim != 2 or side * side != grid.shape[0] or not grid.size:
        raise InputError(f"the grid has shape {grid.shape}; give (num_regions, feature_dim) of a square grid, as 7×7")
    channels = np.argsort(-grid.max(axis=0), kind="stable")[:4].tolist() if channels is None else list(channels)
    missing = [channel for channel in channels if not 0 <= channel < grid.shape[1]]
    if missing or not channels:
        raise InputError(f"channels are {channels!r:.80}; give one or more from 0 to {grid.shape[1] - 1}")
    figure = DescribedFigure(figsize=(1.9 * (1 + len(channels)), 2.5), layout="constrained")
    photo, *parts = figure.subplots(1, 1 + len(channels))
    photo.imshow(load_image(image, size=(224, 224)))  # squashed, as the encoder sees it
    photo.set_title("photo", fontsize=10.5)
    found = []
    for axes, channel in zip(parts, channels, strict=True):
        values = grid[:, channel].reshape(side, side)  # (num_regions,) -> (rows, columns)
        row, column = np.unravel_index(values.argmax(), values.shape)
        mesh = axes.imshow(values, cmap="viridis", vmin=min(0, values.min()), vmax=max(values.max(), 1e-6))
        axes.set_title(f"channel {channel}", fontsize=10.5)
        figure.colorbar(mesh, ax=axes, location="bottom", shrink=0.9, label="activation")
        found.append(f"Channel {channel} is highest, {values.max():.1f}, in row {row + 1}, column {column + 1}.")
    for axes in (photo, *parts):
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    what = f"A photo and {len(channels)} of {grid.shape[1]} channels of its {side}×{side} feature grid."
    figure.alt_text = " ".join([what, *found])
    return figure
