"""Figures of data, training and scores. Each `plot_` function returns a matplotlib `Figure` with an `alt_text`."""

from captioning_utils.plots.captions import (
    plot_caption_lengths,
    plot_feature_channels,
    plot_photos,
    plot_word_frequencies,
)
from captioning_utils.plots.figure import DescribedFigure, styled
from captioning_utils.plots.scores import (
    plot_confusion,
    plot_score_by_length,
    plot_score_distribution,
    plot_scores,
    plot_word_use,
)
from captioning_utils.plots.training import plot_losses, plot_validation_losses
