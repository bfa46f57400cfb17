"""Beam trees as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.lines import Line2D

from captioning_utils.base.errors import InputError
from captioning_utils.plots.figure import BLUE, GREY, INK, LINE, PAPER, DescribedFigure, shorten, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from captioning_utils.explain.beam_tree import BeamTree


MOST_NODES = 200  # of a beam tree; more cannot be read
COLUMN, STEP = 1.05, 0.42  # inches from branch to branch and from word to word of a beam tree


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
        >>> from captioning_utils.explain.beam_tree import BeamNode, BeamTree
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
