"""Figures of a dataset: photos, caption lengths, words, feature channels."""

from __future__ import annotations

import collections
import math
import statistics
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from captioning_utils.base.errors import InputError
from captioning_utils.base.wording import printable
from captioning_utils.images import ImageSource, load_image
from captioning_utils.plots.figure import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    PAPER,
    POINTS_PER_INCH,
    STYLE,
    DescribedFigure,
    shorten,
    styled,
    with_commas,
)

LONGEST_BAR = 50  # words; longer captions share the last bar of the histogram


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
    characters = int(width * POINTS_PER_INCH / (STYLE["font.size"] * 0.56))  # 0.56: DejaVu's mean letter width
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
    axes.yaxis.set_major_formatter(FuncFormatter(with_commas))
    if lengths.max() > LONGEST_BAR:
        axes.text(LONGEST_BAR, bars[-1], "and more", horizontalalignment="center", verticalalignment="bottom")
    axes.grid(axis="y")
    axes.legend()
    figure.alt_text = (
        f"Histogram of words per caption: {len(lengths):,} captions, from {lengths.min()} to {lengths.max()} words, "
        f"median {median:g}."
    )
    return figure


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
    axes.xaxis.set_major_formatter(FuncFormatter(with_commas))
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
    axes.xaxis.set_major_formatter(FuncFormatter(with_commas))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(title="What a vocabulary covers", xlabel="words known, most common first", ylabel="share of the text (%)")
    axes.set_ylim(0, 104)
    axes.grid()
    axes.legend(loc="lower right", frameon=True, facecolor=PAPER, edgecolor=PAPER)
    return share, size


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
