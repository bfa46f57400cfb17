"""The pictures of a captioner at work show the maps and the trees that they are given, all of them."""

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from captioning_utils import InputError
from captioning_utils.explain import AttentionMaps, plot_attention_maps, plot_beam_tree
from captioning_utils.explain.beam_tree import BeamNode, BeamTree

NODES = [
    BeamNode("startseq", -1, 0.0, 0.0, 0.0),
    BeamNode("a", 0, -0.1, -0.1, -0.1),
    BeamNode("the", 0, -2.4, -2.4, -2.4),
    BeamNode("dog", 1, -0.5, -0.6, -0.3),
    BeamNode("cat", 1, -1.25, -1.35, -0.68),
    BeamNode("endseq", 3, -0.2, -0.8, -0.27),
    BeamNode("runs", 3, -1.8, -2.4, -0.8),
]
TREE = BeamTree(NODES, [5, 6])  # "a dog" and "a dog runs" at the end; "the" and "a cat" dropped


def make_maps(words=("a", "dog", "endseq"), rows=2, columns=3):
    weights = np.random.default_rng(0).random((len(words), rows, columns), np.float32)
    weights /= weights.sum(axis=(1, 2), keepdims=True)
    weights[1] = 0.1
    weights[1, 1, 2] = 0.5
    return AttentionMaps(list(words), weights, np.full((20, 30, 3), 90, np.uint8), " ".join(words[:-1]))


def texts(figure):
    """All the words that stand on a figure."""
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def test_every_word_has_its_map_over_the_photo():
    maps = make_maps()
    figure = plot_attention_maps(maps)
    photo, *parts, bar = figure.axes
    np.testing.assert_array_equal(photo.images[0].get_array(), maps.image)
    assert [axes.get_title(loc="left") for axes in (photo, *parts)] == ["photo", "a", "dog", "endseq"]
    for axes, weights in zip(parts, maps.weights, strict=True):
        grey, seen = axes.images
        assert grey.get_array().shape == (20, 30)
        np.testing.assert_array_equal(seen.get_array(), weights)
        assert seen.get_interpolation() == "bicubic"
        assert seen.get_extent() == grey.get_extent()  # it lies over the whole photo
    assert bar.get_xlabel() == "attention to a region (%); at the mark: all regions alike"


def test_all_maps_have_one_scale_and_it_marks_an_even_look():
    maps = make_maps()
    _, *parts, bar = plot_attention_maps(maps).axes
    scales = {(axes.images[1].norm.vmin, axes.images[1].norm.vmax) for axes in parts}
    assert scales == {(0, maps.weights.max())}
    (mark,) = [line for line in bar.get_lines() if len(line.get_xdata()) == 2]
    assert list(mark.get_xdata()) == [pytest.approx(1 / 6)] * 2


def test_the_alt_text_says_where_each_look_went():
    alt_text = plot_attention_maps(make_maps()).alt_text
    assert 'for each word of "a dog", on a grid of 2×3 regions (16.7 % each if all had the same)' in alt_text
    assert '"dog": 50.0 % in row 2, column 3' in alt_text


@pytest.mark.parametrize(("columns", "shape"), [(1, (4, 1)), (3, (2, 3)), (9, (1, 4))])
def test_maps_stand_in_rows(columns, shape):
    axes = plot_attention_maps(make_maps(), columns).axes[0]
    assert axes.get_subplotspec().get_gridspec().get_geometry() == shape


def test_a_beam_tree_has_every_word_and_log_probability():
    found = texts(plot_beam_tree(TREE))
    assert {node.word for node in NODES} <= set(found)
    assert {"−0.10", "−2.40", "−0.50", "−1.25", "−0.20", "−1.80"} <= set(found)
    assert {"score −0.27", "score −0.80", "Beam search, 2 sentences at a time"} <= set(found)


def test_lines_lead_from_each_word_to_those_that_followed_it():
    figure = plot_beam_tree(TREE)
    places = {text.get_text(): text.get_position() for text in figure.findobj(matplotlib.text.Text)}
    lines = {(tuple(line.get_xydata()[0]), tuple(line.get_xydata()[-1])) for line in figure.axes[0].get_lines()}
    assert lines == {(places[NODES[node.parent].word], places[node.word]) for node in NODES[1:]}
    assert places["startseq"][0] == places["a"][0] == places["dog"][0] == places["endseq"][0]  # the best: one column
    assert places["dog"][1] == places["cat"][1]  # words of one step: one height


def test_branches_do_not_share_a_place():
    words = [BeamNode("startseq", -1, 0, 0, 0)]
    for number in range(1, 40):
        words.append(BeamNode(f"word{number}", (number - 1) // 2, -0.1, -0.1, -0.1))
    figure = plot_beam_tree(BeamTree(words, [39, 38, 20]))
    places = [text.get_position() for text in figure.axes[0].texts if text.get_text().startswith("word")]
    assert len(set(places)) == len(places) == 39
    renderer = FigureCanvasAgg(figure).get_renderer()
    paper = figure.bbox
    assert all(
        paper.contains(*corner)
        for text in figure.axes[0].texts
        for corner in text.get_window_extent(renderer).get_points()
    )


def test_a_tree_is_described_by_its_sentences():
    assert plot_beam_tree(TREE).alt_text == (
        'Beam search as a tree of 7 words. Kept to the end: "startseq a dog endseq" (score -0.27); '
        '"startseq a dog runs" (score -0.80). Dropped on the way: "startseq the"; "startseq a cat".'
    )


def test_what_a_stranger_writes_can_be_drawn():
    hostile = "<b>$x_{&\x00\ud800" + "w" * 60
    maps = make_maps((hostile, "dog", "endseq"))
    tree = BeamTree([NODES[0], BeamNode(hostile, 0, -1.0, -1.0, -1.0)], [1])
    for figure in (plot_attention_maps(maps), plot_beam_tree(tree)):
        figure.encode()
        figure.alt_text.encode("utf-8")


@pytest.mark.parametrize(
    ("plot", "arguments", "message"),
    [
        (plot_attention_maps, (make_maps(), 0), "columns is 0"),
        (plot_beam_tree, (BeamTree(NODES[:1] * 201, [0]),), "201 words, 200 can be drawn"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(plot, arguments, message):
    with pytest.raises(InputError, match=message):
        plot(*arguments)
