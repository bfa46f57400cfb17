"""Figures of data, training and scores. Each `plot_` function returns a matplotlib `Figure` with an `alt_text`."""

from captioning_utils.plots.captions import plot_caption_lengths as plot_caption_lengths
from captioning_utils.plots.captions import plot_feature_channels as plot_feature_channels
from captioning_utils.plots.captions import plot_photos as plot_photos
from captioning_utils.plots.captions import plot_word_frequencies as plot_word_frequencies
from captioning_utils.plots.figure import DescribedFigure as DescribedFigure
from captioning_utils.plots.figure import styled as styled
from captioning_utils.plots.scores import plot_confusion as plot_confusion
from captioning_utils.plots.scores import plot_score_by_length as plot_score_by_length
from captioning_utils.plots.scores import plot_score_distribution as plot_score_distribution
from captioning_utils.plots.scores import plot_scores as plot_scores
from captioning_utils.plots.scores import plot_word_use as plot_word_use
from captioning_utils.plots.training import plot_losses as plot_losses
from captioning_utils.plots.training import plot_validation_losses as plot_validation_losses
