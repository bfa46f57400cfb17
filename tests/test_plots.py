"""The figures hold the right words and numbers, whatever the captions and the reader's settings."""

import base64
import io
import math
import re
import xml.etree.ElementTree as ElementTree

import matplotlib
import matplotlib.style
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from captioning_utils import InputError
from captioning_utils.base.wording import printable
from captioning_utils.metrics import compare_word_use
from captioning_utils.plots import (
    plot_caption_lengths,
    plot_confusion,
    plot_feature_channels,
    plot_losses,
    plot_photos,
    plot_score_by_length,
    plot_score_distribution,
    plot_scores,
    plot_validation_losses,
    plot_word_frequencies,
    plot_word_use,
)
from captioning_utils.plots.figure import SERIES_COLOURS, DescribedFigure

PHOTO = np.full((30, 40, 3), 128, np.uint8)
HISTORY = [
    {"epoch": 1, "loss": 5.0, "nats_per_token": 4.5, "val_nats_per_token": 4.0},
    {"epoch": 2, "loss": 4.0, "nats_per_token": 3.5, "val_nats_per_token": 3.25},
    {"epoch": 3, "loss": 3.5, "nats_per_token": 3.0, "val_nats_per_token": 3.5},
]
CAPTIONS = ["a dog runs", "a dog runs on the grass", "a cat"]
REFERENCES = [["a brown dog runs", "the dog"], ["a puppy runs"], ["a cat sits", "the cat"]]
HOSTILE = "<script>$x & ]]> --> \x00\x1b \ud800 \uffff $\\frac{ дом 犬"


def all_figures(word="dog"):
    """Every kind of figure, with `word` wherever a stranger's text can stand."""
    captions = [f"a {word} runs", f"a {word}", "a cat"]
    return {
        "photos": plot_photos([PHOTO] * 3, captions, REFERENCES),
        "losses": plot_losses(HISTORY),
        "validation losses": plot_validation_losses({word: HISTORY, "other": HISTORY[:1]}),
        "lengths": plot_caption_lengths(captions),
        "frequencies": plot_word_frequencies(captions, min_count=2),
        "scores": plot_scores({word: {"bleu_4": 0.2}, "other": {"bleu_4": 0.1}}, title=word),
        "by length": plot_score_by_length([3, 2, 2], [0.1, 0.2, 0.3]),
        "distribution": plot_score_distribution({word: [0.1, 0.2, 0.9], "other": [0.3]}),
        "word use": plot_word_use(captions, REFERENCES),
        "confusion": plot_confusion([word, "cat"], [[3, 1], [0, 2]], word),
        "channels": plot_feature_channels(PHOTO, np.arange(98.0).reshape(49, 2)),
    }


def texts(figure):
    """All the words that stand on a figure."""
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text)]


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("word", ["dog", HOSTILE])
def test_every_figure_can_be_drawn_and_is_described(word):
    for name, figure in all_figures(word).items():
        assert isinstance(figure, DescribedFigure)
        assert len(figure.alt_text) > 20, name
        figure.alt_text.encode("utf-8")  # no half characters
        media_type, content = figure.encode()
        if name in ("photos", "channels"):
            assert media_type == "image/jpeg"
        else:
            assert media_type == "image/svg+xml"
            ElementTree.fromstring(base64.b64decode(content))  # well-formed, whatever the words


def test_every_plot_names_its_axes():
    for name, figure in all_figures().items():
        if name not in ("photos", "channels", "frequencies", "word use", "scores", "distribution"):
            assert figure.axes[0].get_xlabel(), name
            assert figure.axes[0].get_ylabel(), name
    frequencies, coverage = all_figures()["frequencies"].axes
    assert (frequencies.get_xlabel(), coverage.get_ylabel()) == ("times written", "share of the text (%)")
    *_, last = all_figures()["distribution"].axes
    assert (last.get_xlabel(), last.get_ylabel()) == ("CIDEr-D × 100 of a photo", "photos")


@pytest.mark.parametrize("settings", [{"text.color": "white", "font.size": 30}, {"axes.facecolor": "black"}])
def test_a_readers_settings_neither_change_a_figure_nor_are_changed(settings):
    usual = {name: figure.encode("png") for name, figure in all_figures().items()}
    with matplotlib.rc_context(settings):
        before = dict(matplotlib.rcParams)
        unusual = {name: figure.encode("png") for name, figure in all_figures().items()}
        assert dict(matplotlib.rcParams) == before
    assert usual == unusual


def show_in_notebook(figure, monkeypatch):
    """What a notebook keeps of a figure where pyplot has told IPython how to draw all figures: (data, metadata)."""
    from IPython.core.formatters import DisplayFormatter

    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, metadata, raw: shown.append((data, metadata)))
    formatter = DisplayFormatter()
    formatter.formatters["image/png"].for_type(Figure, lambda figure: b"another picture")
    assert formatter.format(figure) == ({}, {})
    return shown[0]


def test_a_notebook_shows_the_figure_without_pyplot(monkeypatch):
    figure = plot_losses(HISTORY)
    data, metadata = show_in_notebook(figure, monkeypatch)
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert picture.size == (1080, 604)  # 7.5 by 4.2 inches
    assert data["text/plain"] == figure.alt_text
    assert metadata["image/png"] == {"width": 720, "height": 403, "alt": figure.alt_text}


def test_a_notebook_keeps_one_picture_of_photos_beside_pyplot(monkeypatch):
    data, _ = show_in_notebook(plot_photos([PHOTO], ["a dog"]), monkeypatch)
    assert set(data) == {"image/jpeg", "text/plain"}


def test_series_colours_differ_in_lightness_on_the_paper():
    """At least 2:1 against the light ground, so that every series is seen."""

    def luminance(colour):
        channels = np.array(matplotlib.colors.to_rgb(colour))
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    assert len(set(SERIES_COLOURS)) == len(SERIES_COLOURS)
    assert all(1.03 / (luminance(colour) + 0.05) > 2 for colour in SERIES_COLOURS)


def test_printable_keeps_text_and_drops_what_no_page_can_hold():
    assert printable("über 犬 👩‍🚒\ta\ud800b\x9f") == "über 犬 👩‍🚒 a b "


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e6])
def test_what_is_hardly_worth_a_figure_is_drawn(value):
    diverged = {"nats_per_token": value, "val_nats_per_token": value}
    one_epoch, equal = plot_losses(HISTORY[:1]), plot_word_use(["a dog"], [["a dog"]])
    late = plot_losses([HISTORY[0], HISTORY[1] | diverged])
    same = plot_score_distribution({"merge": [0.25] * 4})
    for figure in (late, plot_losses([HISTORY[0] | diverged]), one_epoch, same, equal):
        figure.encode("png")
    assert plot_losses(HISTORY).encode() == plot_losses(HISTORY).encode()  # the same data, the same SVG
    assert "best validation 4.00 in epoch 1" in late.alt_text
    assert [tick for tick in one_epoch.axes[0].get_xticks() if 0.5 <= tick <= 1.5] == [1]  # whole epochs
    assert equal.alt_text.endswith("than people: none; less often: none.")


def test_photos_have_their_captions_and_references():
    figure = plot_photos([PHOTO] * 3, ["a dog", "a cat " * 10, "a bird"], [["one"], [], ["two", "three"]], columns=2)
    assert len(figure.axes) == 3
    assert all(len(axes.images) == 1 for axes in figure.axes)
    assert " ".join(texts(figure)).count("a cat") == 10  # wrapped, nothing lost
    assert {"a dog", "· one", "· two", "· three"} <= set(texts(figure))
    assert figure.alt_text.startswith('3 photos with their captions: "a dog"; ')
    first, second, third = (axes.get_position() for axes in figure.axes)
    assert first.y0 == second.y0 > third.y0  # two columns
    assert all(text.get_position()[1] > 0 for text in figure.texts)  # the last row's words are on the paper


def test_photos_of_a_text_longer_than_a_line_stay_in_their_column():
    figure = plot_photos([PHOTO, PHOTO], ["two brown dogs run" * 20, "a dog"])
    renderer = FigureCanvasAgg(figure).get_renderer()
    next_column = figure.axes[1].get_window_extent(renderer).x0
    lines = [text for text in figure.texts if text.get_text() != "a dog"]
    assert len(lines) > 10
    assert all(text.get_window_extent(renderer).x1 < next_column for text in lines)


def test_the_legend_of_scores_is_not_cut_off():
    names = ("flickr8k_merge as it was", "from flickr8k_merge", "from notebook 3", "people")
    figure = plot_scores({name: {"cider_d": 0.5} for name in names})
    figure.encode("png")  # lays it out
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.width


def test_validation_losses_have_a_line_and_a_ring_for_each_run():
    figure = plot_validation_losses({"scratch": HISTORY, "tuned": HISTORY[:2]})
    axes, perplexity = figure.axes
    line, ring, other_line, other_ring = axes.get_lines()
    assert line.get_ydata().tolist() == [4.0, 3.25, 3.5]
    assert other_line.get_ydata().tolist() == [4.0, 3.25]
    assert [np.ravel(each.get_xydata()).tolist() for each in (ring, other_ring)] == [[2, 3.25], [2, 3.25]]
    assert line.get_color() == ring.get_color() != other_line.get_color() == other_ring.get_color()
    assert perplexity.get_ylim() == axes.get_ylim()
    assert "tuned: from 4.00 to 3.25 in 2 epochs, best 3.25 in epoch 2." in figure.alt_text


def test_losses_mark_the_best_epoch():
    figure = plot_losses(HISTORY)
    axes, perplexity = figure.axes
    train, validation, best = axes.get_lines()
    assert train.get_ydata().tolist() == [4.5, 3.5, 3.0]
    assert validation.get_ydata().tolist() == [4.0, 3.25, 3.5]
    assert (list(best.get_xdata()), list(best.get_ydata())) == ([2], [3.25])
    assert axes.get_ylabel() == "nats per token"
    assert perplexity.get_ylabel() == "perplexity"
    assert perplexity.yaxis.get_major_formatter()(math.log(30)) == "30"
    figure.encode("png")
    assert perplexity.get_ylim() == axes.get_ylim()


def test_caption_lengths_are_counted():
    axes = plot_caption_lengths([*CAPTIONS, "a cat", "word " * 70]).axes[0]
    bars = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in axes.patches if bar.get_height()}
    assert bars == {2: 2, 3: 1, 6: 1, 50: 1}
    assert "and more" in texts(axes)
    assert "median: 3 words" in texts(axes)


def test_word_frequencies_show_the_top_and_the_coverage():
    figure = plot_word_frequencies(CAPTIONS, top=2, min_count=2)
    left, right = figure.axes
    assert [bar.get_width() for bar in left.patches] == [3, 2]
    assert [label.get_text() for label in left.get_yticklabels()] == ["a", "dog"]
    curve, vocabulary = right.get_lines()
    assert len(curve.get_xdata()) == 7
    assert curve.get_ydata()[-1] == pytest.approx(100)
    assert vocabulary.get_xdata()[0] == 3
    assert vocabulary.get_ydata()[0] == pytest.approx(100 * 7 / 11)
    assert any("3 of 7 words" in text for text in texts(figure))


def test_scores_are_bars_times_100_with_whiskers():
    scores = {"merge": {"bleu_1": 0.6, "cider_d": 0.49}, "people": {"bleu_1": 0.58, "cider_d": 0.85}}
    intervals = {"merge": {"cider_d": {"low": 0.46, "high": 0.52, "confidence": 0.95}}}
    figure = plot_scores(scores, intervals, title="Test split")
    axes = figure.axes[0]
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([60, 49, 58, 85])
    (whisker,) = axes.containers[1].lines[2]
    assert whisker.get_segments()[0][:, 1].tolist() == pytest.approx([46, 52])
    assert {"BLEU-1", "CIDEr-D", "60.0", "85.0", "merge", "people", "Test split"} <= set(texts(figure))
    described = "Test split, times 100. merge: BLEU-1 60.0, CIDEr-D 49.0. people: BLEU-1 58.0, CIDEr-D 85.0."
    assert figure.alt_text == described
    with_a_gap = plot_scores({"merge": {"bleu_4": 0.2}, "people": {"bleu_4": 0.3, "meteor": 0.2}})
    assert len(with_a_gap.axes[0].patches) == 3


def test_score_by_length_shows_every_photo_and_the_means():
    figure = plot_score_by_length([7] * 5 + [9] * 5 + [12], [0.1, 0.2, 0.3, 0.4, 0.5] + [1.0] * 5 + [0.5])
    points, means = figure.axes[0].get_lines()
    assert len(points.get_xdata()) == 11
    assert np.abs(points.get_xdata() - ([7] * 5 + [9] * 5 + [12])).max() < 0.5  # no point in another column
    assert (list(means.get_xdata()), list(means.get_ydata())) == ([7, 9], pytest.approx([30, 100]))
    assert "7 words: 30.0 (5 captions); 9 words: 100.0 (5 captions)" in figure.alt_text


def test_score_distribution_counts_every_photo_of_every_captioner():
    figure = plot_score_distribution({"merge": [0.0, 0.1, 0.5], "people": [1.0, 0.5]}, "bleu_4")
    for axes, values, name in zip(figure.axes, ([0, 10, 50], [50, 100]), ("merge", "people"), strict=True):
        bars = {(bar.get_x(), bar.get_x() + bar.get_width()): bar.get_height() for bar in axes.patches}
        assert sum(bars.values()) == len(values)
        assert all(any(low <= value <= high and count for (low, high), count in bars.items()) for value in values)
        assert axes.get_title(loc="left") == name
    mean, median = figure.axes[0].get_lines()
    assert (mean.get_xdata()[0], median.get_xdata()[0]) == (pytest.approx(20), pytest.approx(10))
    assert {bar.get_x() for bar in figure.axes[0].patches} == {bar.get_x() for bar in figure.axes[1].patches}
    assert figure.alt_text == (
        "BLEU-4 of single photos, times 100. merge: 3 photos from 0.0 to 50.0, mean 20.0, median 10.0. "
        "people: 2 photos from 50.0 to 100.0, mean 75.0, median 75.0."
    )


def test_compare_word_use_ranks_by_evidence():
    """G² by hand: 10 of 20 words against 10 of 80."""
    use = compare_word_use(["x " * 10 + "y " * 10], [["x " * 10 + "z " * 70]])
    by_word = {entry.word: entry for entry in use}
    assert by_word["x"].candidate_rate == 500
    assert by_word["x"].reference_rate == 125
    assert by_word["x"].evidence == pytest.approx(2 * (10 * math.log(10 / 4) + 10 * math.log(10 / 16)))
    assert [entry.word for entry in use] == ["y", "z", "x"]


def test_word_use_names_over_and_under_used_words():
    figure = plot_word_use(["a dog", "a dog"], [["the dog runs", "the dog"], ["a puppy"]], top=2)
    over, under = figure.axes
    assert [label.get_text() for label in over.get_yticklabels()] == ["a", "dog"]
    assert [label.get_text() for label in under.get_yticklabels()] == ["the", "puppy"]
    people, captioner = over.get_lines()
    assert list(captioner.get_xdata()) == [500, 500]
    assert list(people.get_xdata()) == pytest.approx([1000 / 7, 2000 / 7])


def test_confusion_shows_counts_and_the_worst_mistake():
    figure = plot_confusion(["red", "blue", "none"], np.array([[8, 2, 0], [5, 1, 0], [0, 0, 0]]), "Colours")
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["8", "2", "5", "1"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("the caption says", "the picture shows")
    assert figure.alt_text == "Colours: 9 of 16 right. Most frequent mistake: red for blue (5 times)."


def test_feature_channels_stand_region_by_region():
    grid = np.zeros((49, 5), np.float16)
    grid[8, 3], grid[48, 1] = 2.0, 1.0
    figure = plot_feature_channels(PHOTO, grid, [3, 1])
    pictures = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert [picture.shape for picture in pictures] == [(224, 224, 3), (7, 7), (7, 7)]
    assert pictures[1][1, 1] == 2.0  # region 8 is row 1, column 1, counted from 0
    assert "Channel 3 is highest, 2.0, in row 2, column 2. Channel 1 is highest, 1.0, in row 7" in figure.alt_text
    assert len(re.findall("Channel", plot_feature_channels(PHOTO, grid).alt_text)) == 4


@pytest.mark.parametrize(
    ("plot", "arguments", "message"),
    [
        (plot_photos, ([PHOTO], []), "1 images, 0 captions"),
        (plot_photos, ([], []), "at least one image"),
        (plot_photos, (["missing.jpg"], ["a dog"]), "missing.jpg is not there"),
        (plot_losses, ([],), "is empty"),
        (plot_validation_losses, ({},), "no training run"),
        (plot_validation_losses, ({"mine": []},), "is empty"),
        (plot_losses, ([{"epoch": 1}],), "nats_per_token"),
        (plot_caption_lengths, ([],), "no captions"),
        (plot_word_frequencies, (["", " "],), "0 words"),
        (plot_word_frequencies, (["a dog"], 0), "top=0"),
        (plot_scores, ({},), "no scores"),
        (plot_score_by_length, ([1, 2], [0.1]), "2 lengths and 1 scores"),
        (plot_score_distribution, ({},), "no scores"),
        (plot_score_distribution, ({"merge": []},), "no scores"),
        (plot_score_distribution, ({"merge": [0.1, math.nan]},), "no scores"),
        (plot_word_use, ([""], [["a dog"]]), "0 words of a captioner"),
        (plot_confusion, (["red"], [[1, 2]], "x"), r"\(1, 2\) for 1 labels"),
        (plot_confusion, (["red"], [[0.5]], "x"), "float64"),
        (plot_feature_channels, (PHOTO, np.zeros((50, 8))), r"\(50, 8\)"),
        (plot_feature_channels, (PHOTO, np.zeros((49, 8)), [8]), "from 0 to 7"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(plot, arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        plot(*arguments)
    assert "\n" not in str(caught.value)


def test_letters_that_matplotlibs_font_lacks_come_from_another_font(monkeypatch, capsys, recwarn):
    from matplotlib import font_manager
    from matplotlib.text import Text

    from captioning_utils.plots import fonts

    own = [entry for entry in font_manager.fontManager.ttflist if entry.name in ("DejaVu Sans", "STIXGeneral")]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    monkeypatch.setattr(fonts, "told", [])
    for letter, told in (
        ("\u1d81", ""),
        ("狗", "note: no font on this machine has all letters of the captions, such as '狗'"),
    ):
        for _ in range(2):
            figure = plot_word_frequencies([f"d{letter}g runs"] * 9)
            figure.encode()
        errors = capsys.readouterr().err
        assert errors.startswith(told)
        assert errors.count("\n") == bool(told)
    assert not [each for each in recwarn if "Glyph" in str(each.message)]
    figure = plot_word_frequencies(["d\u1d81g runs"] * 9)
    figure.encode()
    families = {text.get_text(): text.get_fontfamily() for text in figure.findobj(Text)}
    assert families["d\u1d81g"] == ["DejaVu Sans", "STIXGeneral"]
    assert "STIXGeneral" not in families["runs"]
