"""The drawings of the decoders are complete: every number of the decoder sits in one of the boxes."""

import re

import keras
import matplotlib
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import FancyBboxPatch

from captioning_utils import InputError
from captioning_utils.decoders import DECODERS, build_decoder
from captioning_utils.explain import plot_decoder
from captioning_utils.plots.figure import DescribedFigure

CASES = {
    "merge-pooled": ("merge", (12,), {"embedding_dim": 8, "hidden_dim": 16}),
    "merge-grid": ("merge", (5, 12), {"embedding_dim": 8, "hidden_dim": 16, "num_heads": 3}),
    "attention-gru": ("attention", (5, 12), {"embedding_dim": 8, "hidden_dim": 16, "attention_dim": 7}),
    "attention-lstm": ("attention", (5, 12), {"embedding_dim": 8, "hidden_dim": 16, "cell": "lstm"}),
    "transformer-1": ("transformer", (5, 12), {"hidden_dim": 16, "num_heads": 2, "num_layers": 1}),
    "transformer-3": ("transformer", (5, 12), {"hidden_dim": 16, "num_heads": 4, "num_layers": 3}),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def decoder(request):
    name, feature_shape, settings = request.param
    return build_decoder(name, vocabulary_size=23, feature_shape=feature_shape, **settings)


def texts(figure):
    """The lines of words on a figure, from the first box to the last."""
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def test_the_boxes_hold_all_numbers_of_the_decoder(decoder):
    found = [re.fullmatch(r"([\d,]+) numbers", text) for text in texts(plot_decoder(decoder))]
    counts = [int(match[1].replace(",", "")) for match in found if match]
    assert sum(counts) == decoder.count_params()


def test_the_words_on_a_figure_lie_inside_their_boxes(decoder):
    figure = plot_decoder(decoder)
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [patch.get_window_extent(renderer) for patch in figure.findobj(FancyBboxPatch) if patch.get_zorder() == 3]
    words = [text.get_window_extent(renderer) for text in figure.axes[0].texts if text.get_zorder() == 4]
    assert len(words) >= 2 * len(boxes) >= 16
    for word in words:
        assert any(box.x0 < word.x0 and word.x1 < box.x1 and box.y0 < word.y0 and word.y1 < box.y1 for box in boxes)


def test_boxes_do_not_overlap_and_lie_on_the_paper(decoder):
    figure = plot_decoder(decoder)
    boxes = [patch.get_window_extent() for patch in figure.findobj(FancyBboxPatch) if patch.get_zorder() == 3]
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number])
        assert figure.bbox.x0 < box.x0 < box.x1 < figure.bbox.x1
        assert figure.bbox.y0 < box.y0 < box.y1 < figure.bbox.y1


@pytest.mark.parametrize(
    ("case", "title", "shapes"),
    [
        ("merge-pooled", "The merge decoder", {"(12)", "(16)", "(length, 8)", "(length, 16)", "(length, 23)"}),
        ("merge-grid", "The merge decoder", {"(5, 12)", "(3 × 12)", "(16)", "(length, 23)"}),
        ("attention-gru", "The attention decoder", {"(5, 12)", "(5, 8)", "(5, 7)", "(5)", "(8)", "(16)", "(23)"}),
        ("attention-lstm", "The attention decoder", {"2 × (16)", "(5, 256)"}),
        ("transformer-3", "The transformer decoder", {"(5, 16)", "(length, 16)", "(length, 23)"}),
    ],
)
def test_shapes_are_those_of_the_configuration(case, title, shapes):
    name, feature_shape, settings = CASES[case]
    figure = plot_decoder(build_decoder(name, vocabulary_size=23, feature_shape=feature_shape, **settings))
    assert isinstance(figure, DescribedFigure)
    assert texts(figure)[0].startswith(title)
    assert shapes <= set(texts(figure))
    assert figure.alt_text.startswith(title)
    assert all(shape in figure.alt_text for shape in shapes)


def test_the_alt_text_says_what_flows_where():
    decoder = build_decoder("attention", vocabulary_size=23, feature_shape=(5, 12), hidden_dim=16, embedding_dim=8)
    alt_text = plot_decoder(decoder).alt_text
    assert "attention weights: (5), 4,608 numbers, from keys: dense and state of the GRU." in alt_text
    assert "weighted mean: (8), from regions: norm, dense and attention weights." in alt_text


def test_layers_and_heads_of_a_transformer_are_named():
    decoder = build_decoder("transformer", vocabulary_size=23, feature_shape=(5, 12), num_layers=3, num_heads=4)
    assert any("3 such layers,\nwith 4 heads" in text for text in texts(plot_decoder(decoder)))


def test_every_decoder_has_a_drawing_and_other_models_have_none():
    assert {name for name, *_ in CASES.values()} == set(DECODERS) - {"ensemble"}  # its members have theirs
    with pytest.raises(InputError, match="no drawing of a Sequential"):
        plot_decoder(keras.Sequential())
