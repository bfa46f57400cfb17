"""How a sentence came about: attention maps, beam trees, diagrams of the decoders."""

from captioning_utils.explain.attention_maps import AttentionMaps as AttentionMaps
from captioning_utils.explain.attention_maps import compute_attention_maps as compute_attention_maps
from captioning_utils.explain.attention_maps import compute_attention_weights as compute_attention_weights
from captioning_utils.explain.attention_plots import plot_attention_maps as plot_attention_maps
from captioning_utils.explain.beam_plots import plot_beam_tree as plot_beam_tree
from captioning_utils.explain.beam_tree import grow_beam_tree as grow_beam_tree
from captioning_utils.explain.decoder_diagram import plot_decoder as plot_decoder
