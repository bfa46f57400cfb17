"""Attention maps as pictures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, PowerNorm, to_rgb

from captioning_utils.base.errors import InputError
from captioning_utils.plots.figure import INK, ORANGE, DescribedFigure, shorten, styled

if TYPE_CHECKING:
    from captioning_utils.explain.attention_maps import AttentionMaps


SHARES = (0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1)  # where the scale of the attention has its numbers
_SPOTLIGHT = LinearSegmentedColormap.from_list("spotlight", [(*to_rgb(ORANGE), opacity) for opacity in (0.0, 0.9)])


@styled
def plot_attention_maps(maps: AttentionMaps, columns: int = 5) -> DescribedFigure:
    """A photo, and for each word of its caption where the captioner looked: the more orange, the more attention.

    Args:
        maps: `attention_maps.AttentionMaps`.
        columns: int, pictures a row, at least 1.

    Returns:
        `DescribedFigure`. The weights of the regions are smoothed (bicubic). All words have the same scale, by square
        roots, so that a spread look is paler than a keen one; its mark is a region's share if all had the same.

    Raises:
        InputError: where `columns` is below 1.

    Example:
        >>> from captioning_utils.explain import AttentionMaps
        >>> weights = np.full((2, 2, 2), 0.25, np.float32)
        >>> weights[0] = [[0.1, 0.7], [0.1, 0.1]]
        >>> maps = AttentionMaps(["dog", "endseq"], weights, np.zeros((8, 8, 3), np.uint8), "dog")
        >>> print(plot_attention_maps(maps).alt_text)
        Where a captioner looked in a photo for each word of "dog", on a grid of 2×2 regions (25.0 % each if all had
        the same). Most for "dog": 70.0 % in row 1, column 2; "endseq": 25.0 % in row 1, column 1.
    """
    if columns < 1:
        raise InputError(f"columns is {columns}; give 1 or more")
    height, width = maps.image.shape[:2]
    columns = min(columns, 1 + len(maps.words))
    rows = math.ceil((1 + len(maps.words)) / columns)
    figure = DescribedFigure(figsize=(1.5 * columns, 1.75 * rows + 0.75), layout="constrained")
    photo, *parts = figure.subplots(rows, columns, squeeze=False).flat
    photo.imshow(maps.image)
    photo.set_title("photo", fontsize=10.5)
    grey = maps.image @ np.array([0.299, 0.587, 0.114])  # (height, width), 0-255
    scale = PowerNorm(0.5, 0, maps.weights.max(), clip=True)  # or one keen look would pale all others
    look = {"cmap": _SPOTLIGHT, "norm": scale, "interpolation": "bicubic"}
    for axes, word, weights in zip(parts, maps.words, maps.weights, strict=False):
        axes.imshow(grey, cmap="gray", vmin=-160, vmax=255)  # pale, so that the orange stands out
        seen = axes.imshow(weights, extent=(-0.5, width - 0.5, height - 0.5, -0.5), **look)
        axes.set_title(shorten(word), fontsize=10.5)
    for axes in (photo, *parts):
        axes.set_axis_off()
    bar = figure.colorbar(seen, ax=[photo, *parts], location="bottom", fraction=0.05, aspect=40, shrink=0.6)
    bar.set_ticks([share for share in SHARES if share <= maps.weights.max()])
    bar.ax.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f}")
    bar.ax.axvline(1 / maps.weights[0].size, color=INK)
    bar.set_label("attention to a region (%); at the mark: all regions alike")
    figure.alt_text = _maps_in_words(maps)
    return figure


def _maps_in_words(maps: AttentionMaps) -> str:
    _, rows, columns = maps.weights.shape
    most = []
    for word, weights in zip(maps.words, maps.weights, strict=True):
        row, column = np.unravel_index(weights.argmax(), weights.shape)
        most.append(f'"{word}": {weights.max():.1%} in row {row + 1}, column {column + 1}'.replace("%", " %"))
    return (
        f'Where a captioner looked in a photo for each word of "{maps.caption}", on a grid of {rows}×{columns} regions '
        f"({100 / (rows * columns):.1f} % each if all had the same). Most for {'; '.join(most)}."
    )
