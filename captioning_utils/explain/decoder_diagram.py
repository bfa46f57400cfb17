"""The decoders drawn with boxes and arrows: what flows where, in which shape, and where the learned numbers sit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from captioning_utils.base.errors import InputError
from captioning_utils.decoders.attention import AttentionConfig, AttentionDecoder
from captioning_utils.decoders.base import CaptionDecoder
from captioning_utils.decoders.merge import MergeConfig, MergeDecoder
from captioning_utils.decoders.transformer import TransformerConfig, TransformerDecoder
from captioning_utils.plots.figure import BLUE, GREY, INK, LINE, PAPER, SKY, DescribedFigure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes


Place: TypeAlias = tuple[float, float]
"""(column, row), from the top left."""
Source: TypeAlias = str | tuple[Any, ...]
"""The key of a box, or (key, *places on the way of the arrow)."""
Diagram: TypeAlias = "tuple[str, dict[str, Box], tuple[Place, Place, str] | None]"
"""Title, boxes by key, and of a frame the first and the last place and its note."""
COLUMN, ROW = 2.45, 0.92  # inches from box to box
WIDTH, HEIGHT = 2.1, 0.68  # inches of a box
MARGIN = 0.25  # inches around the boxes


class Box(NamedTuple):
    """A step of a decoder."""

    title: str
    shape: str  # of what comes out, for one photo; "length" is the number of words
    place: Place  # (column, row), from the top left
    layers: tuple[Any, ...] = ()  # layers and weights that it stands for
    sources: tuple[Source, ...] = ()  # keys of the boxes it reads; or (key, *places on the way of the arrow)


@styled
def plot_decoder(decoder: CaptionDecoder) -> DescribedFigure:
    """Draw a decoder with the shape of everything that flows through it.

    Args:
        decoder: `keras.Model` of `captioning_utils.decoders`.

    Returns:
        `DescribedFigure`; each box says what is done, the shape that comes out (for one photo, so without the batch)
        and how many learned numbers it takes. Together they are all the numbers of the decoder.

    Raises:
        InputError: for a model that is none of the package's decoders.

    Example:
        >>> from captioning_utils.decoders import build_decoder
        >>> figure = plot_decoder(build_decoder("merge", vocabulary_size=9, feature_shape=(8,)))
        >>> figure.alt_text[:100]
        'The merge decoder, 1,849,113 numbers. photo features: (8). layer norm, dropout: (8), 16 numbers, fro'
    """
    describe = _DIAGRAMS.get(type(decoder))
    if describe is None:
        raise InputError(f"there is no drawing of a {type(decoder).__name__}; give a decoder of build_decoder")
    title, boxes, frame = describe(decoder, decoder.config)
    columns, rows = (1 + max(box.place[axis] for box in boxes.values()) for axis in (0, 1))
    width, height = (columns - 1) * COLUMN + WIDTH + 2 * MARGIN, (rows - 1) * ROW + HEIGHT + 2 * MARGIN + 0.3
    figure = DescribedFigure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    total = f"{decoder.count_params():,} numbers"
    axes.text(MARGIN, MARGIN, f"{title}: {total}", fontsize=12, fontweight="bold", verticalalignment="center")
    if frame:
        _draw_frame(axes, *frame)
    for box in boxes.values():
        for source in box.sources:
            key, *way = source if isinstance(source, tuple) else (source,)
            _draw_arrow(axes, [boxes[key].place, *way, box.place])
    for box in boxes.values():
        _draw_box(axes, box)
    figure.alt_text = f"{title}, {total}. " + " ".join(_box_in_words(box, boxes) for box in boxes.values())
    return figure


def _merge(decoder: CaptionDecoder, config: MergeConfig) -> Diagram:
    hidden, features = config.hidden_dim, config.feature_shape
    boxes = {
        "features": Box("photo features", _shape(*features), (0, 0)),
        "norm": Box("layer norm, dropout", _shape(*features), (0, 1), (decoder.normalise,), ("features",)),
    }
    last, row = "norm", 2  # of the photo's next box
    if len(features) == 2:
        layers, shape = (decoder.region_keys, decoder.region_scores), _shape(f"{config.num_heads} × {features[1]}")
        boxes["averages"] = Box(f"{config.num_heads} weighted averages", shape, (0, 2), layers, ("norm",))
        last, row = "averages", 3
    embedded, words = _shape("length", config.embedding_dim), _shape("length", hidden)
    boxes |= {
        "image": Box("dense, ReLU", _shape(hidden), (0, row), (decoder.image,), (last,)),
        "words": Box("words so far", _shape("length"), (1, row - 2)),
        "embed": Box("embedding, dropout", embedded, (1, row - 1), (decoder.embed,), ("words",)),
        "lstm": Box("LSTM, dropout", words, (1, row), (decoder.lstm,), ("embed",)),
        "sum": Box("sum, for every word", words, (0.5, row + 1), (), ("image", "lstm")),
        "merged": Box("dense, ReLU, dropout", words, (0.5, row + 2), (decoder.merged,), ("sum",)),
    }
    shape = _shape("length", config.vocabulary_size)
    boxes["logits"] = Box("logits of the next words", shape, (0.5, row + 3), (decoder.logits,), ("merged",))
    return "The merge decoder", boxes, None


def _attention(decoder: CaptionDecoder, config: AttentionConfig) -> Diagram:
    width, hidden, regions = config.embedding_dim, config.hidden_dim, config.feature_shape[0]
    cell, name = decoder.cell, config.cell.upper()
    state = _shape(hidden) if config.cell == "gru" else f"2 × {_shape(hidden)}"
    boxes = {
        "features": Box("photo features", _shape(*config.feature_shape), (0, 0)),
        "regions": Box(
            "regions: norm, dense", _shape(regions, width), (0, 1), (decoder.normalise, decoder.project), ("features",)
        ),
        "keys": Box("keys: dense", _shape(regions, config.attention_dim), (1, 1), (decoder.keys,), ("regions",)),
        "first": Box("first state: mean, dense", state, (1, 0), (decoder.first_state,), ("regions",)),
        "state": Box(
            f"state of the {name}", state, (2, 1), (), ("first", ("gru", (2, 4.15), (2.7, 4.15), (2.7, 0.85))),
        ),
        "weights": Box("attention weights", _shape(regions), (1, 2), (cell.query, cell.score), ("keys", "state")),
        "gate": Box("gate: dense, sigmoid", _shape(width), (2, 2), (cell.gate,), ("state",)),
        "mean": Box("weighted mean", _shape(width), (0, 3), (), ("regions", "weights")),
        "context": Box("context: gate × mean", _shape(width), (1, 3), (), ("mean", "gate")),
        "word": Box("word before", "1 id", (3.25, 2)),
        "embed": Box("embedding", _shape(width), (3.25, 3), (decoder.embed,), ("word",)),
        "gru": Box(
            name, state, (2, 4), (cell.cell,),
            ("context", "embed", ("state", (2, 1.2), (2.55, 1.2), (2.55, 3.85))),
        ),
        "merged": Box(
            "all three: dense, tanh", _shape(width), (2, 5), (decoder.merged,),
            ("gru", ("context", (1, 5)), ("embed", (3.25, 5))),
        ),
        "logits": Box("logits of the word", _shape(config.vocabulary_size), (2, 6), (decoder.logits,), ("merged",)),
    }  # fmt: skip
    return "The attention decoder, choosing one word", boxes, None


def _transformer(decoder: CaptionDecoder, config: TransformerConfig) -> Diagram:
    hidden, blocks, regions = config.hidden_dim, decoder.blocks, config.feature_shape[0]
    words, layers = _shape("length", hidden), len(blocks)
    boxes = {
        "features": Box("photo features", _shape(*config.feature_shape), (0, 0)),
        "regions": Box(
            "norm, dense, + positions", _shape(regions, hidden), (0, 1),
            (decoder.normalise, decoder.project, decoder.regions), ("features",),
        ),
        "words": Box("words so far", _shape("length"), (1, 0)),
        "embed": Box("embedding, + positions", words, (1, 1), (decoder.embed, decoder.positions), ("words",)),
        "self": Box(
            "attention to words before", words, (1, 2),
            tuple(layer for block in blocks for layer in (block.norms[0], block.self_attention)), ("embed",),
        ),
        "cross": Box(
            "attention to regions", words, (1, 3),
            tuple(layer for block in blocks for layer in (block.norms[1], block.cross_attention)),
            ("self", ("regions", (0, 3))),
        ),
        "forward": Box(
            "feed-forward", words, (1, 4),
            tuple(layer for block in blocks for layer in (block.norms[2], block.widen, block.narrow)), ("cross",),
        ),
        "norm": Box("layer norm", words, (1, 5), (decoder.final_norm,), ("forward",)),
        "logits": Box(
            "logits: embedding, bias", _shape("length", config.vocabulary_size), (1, 6), (decoder.bias,), ("norm",)
        ),
    }  # fmt: skip
    note = f"{layers} such layer{'s' if layers > 1 else ''},\nwith {config.num_heads} heads;\neach step: norm first,\n"
    return "The transformer decoder", boxes, ((1, 2), (1, 4), note + "its result is added")


_DIAGRAMS: dict[type, Callable[[CaptionDecoder, Any], Diagram]] = {
    MergeDecoder: _merge,
    AttentionDecoder: _attention,
    TransformerDecoder: _transformer,
}


def _shape(*sizes: object) -> str:
    return f"({', '.join(map(str, sizes))})"


def _count(box: Box) -> int:
    """How many learned numbers a box stands for; int."""
    return sum(
        layer.count_params() if hasattr(layer, "count_params") else int(np.prod(layer.shape)) for layer in box.layers
    )


def _centre(place: Place) -> tuple[float, float]:
    """(column, row) → (x, y) in inches."""
    return MARGIN + WIDTH / 2 + place[0] * COLUMN, 2 * MARGIN + 0.15 + HEIGHT / 2 + place[1] * ROW


def _draw_box(axes: Axes, box: Box) -> None:
    x, y = _centre(box.place)
    count = _count(box)
    look: dict[str, Any] = {
        "facecolor": "#e4f1fa" if count else PAPER,
        "edgecolor": SKY if count else LINE,
        "linewidth": 1.2,
    }
    corner, style = (x - WIDTH / 2, y - HEIGHT / 2), "round,pad=0,rounding_size=0.08"
    axes.add_patch(FancyBboxPatch(corner, WIDTH, HEIGHT, boxstyle=style, zorder=3, **look))
    lines = [(box.title, INK, 9.5, "bold"), (box.shape, BLUE, 9.5, "normal")]
    if count:
        lines.append((f"{count:,} numbers", GREY, 8, "normal"))
    for number, (text, colour, size, weight) in enumerate(lines):
        place = (x, y + 0.2 * (number - (len(lines) - 1) / 2))
        look = {"color": colour, "fontsize": size, "fontweight": weight, "zorder": 4}
        axes.text(*place, text, horizontalalignment="center", verticalalignment="center", **look)


def _draw_arrow(axes: Axes, places: Sequence[Place]) -> None:
    """A line through the places that ends, with a head, at the edge of the last one's box."""
    points, half = np.array([_centre(place) for place in places]), np.array([WIDTH, HEIGHT]) / 2
    beside = np.abs(points[-2] - points[-1]) < half
    points[-1, beside] = points[-2, beside]  # straight in, where the line comes from straight beside the box
    towards = points[-2] - points[-1]
    points[-1] += towards * min(1, *(half[~beside] / np.abs(towards[~beside])))
    axes.add_patch(FancyArrowPatch(path=Path(points), arrowstyle="-|>", mutation_scale=11, color=GREY, zorder=2))


def _draw_frame(axes: Axes, first: Place, last: Place, note: str) -> None:
    """A dashed frame around the boxes from `first` to `last`, one below the other, with a note on its left."""
    (x, top), (_, bottom) = _centre(first), _centre(last)
    gap = (COLUMN - WIDTH) / 2
    corner, height = (x - WIDTH / 2 - gap, top - HEIGHT / 2 - gap / 2), bottom - top + HEIGHT + gap
    look: dict[str, Any] = {"facecolor": "none", "edgecolor": GREY, "linestyle": "--"}
    axes.add_patch(FancyBboxPatch(corner, WIDTH + 2 * gap, height, boxstyle="round,pad=0", zorder=1, **look))
    place = (corner[0] - 0.1, bottom + HEIGHT / 2)
    axes.text(*place, note, color=GREY, fontsize=9, horizontalalignment="right", verticalalignment="bottom")


def _box_in_words(box: Box, boxes: Mapping[str, Box]) -> str:
    count = _count(box)
    names = [boxes[source[0] if isinstance(source, tuple) else source].title for source in box.sources]
    parts = [box.shape, *([f"{count:,} numbers"] if count else []), *([f"from {' and '.join(names)}"] if names else [])]
    return f"{box.title}: {', '.join(parts)}."
