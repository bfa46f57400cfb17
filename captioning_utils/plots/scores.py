"""Figures of scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from captioning_utils.base.errors import InputError
from captioning_utils.base.wording import printable
from captioning_utils.metrics.scores import METRIC_LABELS, format_score
from captioning_utils.metrics.word_use import WordUse, compare_word_use
from captioning_utils.plots.figure import (
    BLUE,
    GREY,
    INK,
    LINE,
    ORANGE,
    PALE,
    PAPER,
    SERIES_COLOURS,
    SKY,
    DescribedFigure,
    shorten,
    styled,
    with_commas,
)

NARROWEST_UPRIGHT = 0.4  # inches; on narrower bars, the values stand on end
DISTRIBUTION_BINS = 25  # bars of a histogram of scores
MIN_CAPTIONS_FOR_MEAN = 5  # a mean over fewer captions of one length says too little to be drawn


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
    axes.xaxis.set_major_formatter(FuncFormatter(with_commas))
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
