"""How a sentence came about: attention maps, beam trees, diagrams of the decoders."""

from captioning_utils.explain.attention_maps import AttentionMaps, compute_attention_maps, compute_attention_weights
from captioning_utils.explain.attention_plots import plot_attention_maps
from captioning_utils.explain.beam_plots import plot_beam_tree
from captioning_utils.explain.beam_tree import grow_beam_tree
from captioning_utils.explain.decoder_diagram import plot_decoder
