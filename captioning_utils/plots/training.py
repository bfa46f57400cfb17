"""Figures of a training run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from captioning_utils.base.errors import InputError
from captioning_utils.base.wording import count_noun, printable
from captioning_utils.plots.figure import BLUE, ORANGE, SERIES_COLOURS, DescribedFigure, styled


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
