"""Pictures of a captioner at work: where it looked for each word, and which sentences it weighed.

They take what `attention_maps` and `beam_tree` compute; style and alt text are those of `plots`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, PowerNorm, to_rgb
from matplotlib.lines import Line2D

from captioning_utils.errors import InputError
from captioning_utils.plots import BLUE, GREY, INK, LINE, ORANGE, PAPER, DescribedFigure, shorten, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from captioning_utils.attention_maps import AttentionMaps
    from captioning_utils.beam_tree import BeamTree

SHARES = (0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1)  # where the scale of the attention has its numbers
MOST_NODES = 200  # of a beam tree; more cannot be read
COLUMN, STEP = 1.05, 0.42  # inches from branch to branch and from word to word of a beam tree
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
        >>> from captioning_utils.attention_maps import AttentionMaps
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


@styled
def plot_beam_tree(tree: BeamTree) -> DescribedFigure:
    """The tree of a small beam search: words from top to bottom, on each line the log-probability of its word.

    Args:
        tree: `beam_tree.BeamTree` of at most 200 nodes.

    Returns:
        `DescribedFigure`: the best sentence in blue on the left, the others that were kept to the end with dark lines,
        each with its score, and what was dropped on the way in grey.

    Raises:
        InputError: for a tree that is too large to be read.

    Example:
        >>> from captioning_utils.beam_tree import BeamNode, BeamTree
        >>> nodes = [BeamNode("startseq", -1, 0, 0, 0), BeamNode("a", 0, -0.1, -0.1, -0.1),
        ...          BeamNode("the", 0, -2.4, -2.4, -2.4), BeamNode("endseq", 1, -0.3, -0.4, -0.2)]
        >>> print(plot_beam_tree(BeamTree(nodes, [3])).alt_text)
        Beam search as a tree of 4 words. Kept to the end: "startseq a endseq" (score -0.20). Dropped on the way:
        "startseq the".
    """
    if len(tree.nodes) > MOST_NODES:
        raise InputError(f"the tree has {len(tree.nodes)} words, {MOST_NODES} can be drawn; search with fewer beams")
    paths = [tree.path(node) for node in range(len(tree.nodes))]
    inner = {node.parent for node in tree.nodes}
    dropped = [node for node in range(len(paths)) if node not in inner and node not in tree.leaves]
    columns, depths = _find_columns(paths, [*tree.leaves, *dropped]), [len(path) - 1 for path in paths]
    width, height = max(4.8, COLUMN * (max(columns) + 1) + 0.4), STEP * (max(depths) + 1) + 1.5
    figure = DescribedFigure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-0.7, width - 0.7), ylim=(height - 1.1, -1.1))  # inches from the root
    axes.set_axis_off()
    sentences = f"{len(tree.leaves)} sentence{'s' if len(tree.leaves) > 1 else ''}"
    axes.text(-0.5, -0.85, f"Beam search, {sentences} at a time", fontsize=12, fontweight="bold", va="center")
    axes.text(-0.5, -0.58, "on a line: the log-probability of its word, in nats", color=GREY, fontsize=9, va="center")
    places = [(COLUMN * column, STEP * depth) for column, depth in zip(columns, depths, strict=True)]
    for node in range(len(paths)):
        _draw_node(axes, tree, node, places, _look(tree, paths, node))
    names = {"best sentence": BLUE, "kept to the end": INK} | ({"dropped on the way": LINE} if dropped else {})
    handles = [Line2D([], [], color=colour, linewidth=2, label=name) for name, colour in names.items()]
    figure.legend(handles=handles, loc="lower left", ncols=3, fontsize=9)
    figure.alt_text = _tree_in_words(tree, paths, dropped)
    return figure


def _tree_in_words(tree: BeamTree, paths: list[list[int]], dropped: list[int]) -> str:
    texts = [" ".join(tree.nodes[node].word for node in path) for path in paths]
    kept = "; ".join(f'"{texts[leaf]}" (score {tree.nodes[leaf].score:.2f})' for leaf in tree.leaves)
    lost = "; ".join(f'"{texts[node]}"' for node in dropped) or "nothing"
    return f"Beam search as a tree of {len(paths)} words. Kept to the end: {kept}. Dropped on the way: {lost}."


def _find_columns(paths: list[list[int]], ends: Sequence[int]) -> list[int]:
    """A column for each node, so that no two branches share a place: list of int, 0 for the first branch.

    `ends` are the last nodes of all branches. Each branch takes, in this order, the free column nearest to where it
    begins.
    """
    columns, taken, placed = [0] * len(paths), set(), {0}
    for end in ends:
        branch = [node for node in paths[end] if node not in placed]
        parent, first = paths[branch[0]][-2], len(paths[branch[0]]) - 1
        depths = range(first - 1, len(paths[end]) + 1)  # with room for the line to it and the score below it
        nearest = sorted(range(len(paths)), key=lambda column: abs(column - columns[parent]))
        column = next(column for column in nearest if not any((column, depth) in taken for depth in depths))
        taken |= {(column, depth) for depth in depths}
        placed |= set(branch)
        for node in branch:
            columns[node] = column
    return columns


def _look(tree: BeamTree, paths: list[list[int]], node: int) -> tuple[str, str, float, int]:
    """(colour of the word, colour of line and frame, width of the line, its layer) by what became of a node."""
    if node in paths[tree.leaves[0]]:
        return BLUE, BLUE, 2.0, 3
    kept = any(node in paths[leaf] for leaf in tree.leaves)
    return (INK, INK, 1.2, 2) if kept else (GREY, LINE, 1.2, 1)


def _draw_node(
    axes: Axes, tree: BeamTree, number: int, places: list[tuple[float, float]], look: tuple[str, str, float, int]
) -> None:
    """A word, the line from the word before it, and below a leaf its score."""
    node, (x, y), (colour, line, width, layer) = tree.nodes[number], places[number], look
    if number:
        (before_x, before_y), turn = places[node.parent], y - 0.64 * STEP
        axes.plot([before_x, before_x, x, x], [before_y, turn, turn, y], color=line, linewidth=width, zorder=layer)
        label: dict[str, Any] = {"color": colour, "fontsize": 7.5, "va": "center", "zorder": 5}
        axes.text(x + 0.06, y - 0.46 * STEP, _with_minus(node.log_prob), **label)
    frame = {"boxstyle": "round,pad=0.2", "facecolor": PAPER, "edgecolor": line}
    axes.text(x, y, shorten(node.word), color=colour, fontsize=9, ha="center", va="center", bbox=frame, zorder=4)
    if number in tree.leaves:
        score = f"score {_with_minus(node.score)}"
        axes.text(x, y + 0.6 * STEP, score, color=colour, fontsize=8.5, fontweight="bold", ha="center", va="center")


def _with_minus(number: float) -> str:
    return f"{number:.2f}".replace("-", "−")
