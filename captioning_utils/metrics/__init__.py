"""Scores of captions: BLEU, ROUGE-L, CIDEr-D, METEOR; protocols, diversity, intervals."""

from captioning_utils.metrics.bleu import compute_bleu, compute_bleu_statistics
from captioning_utils.metrics.cider import Cider
from captioning_utils.metrics.diversity import compute_diversity, compute_set_diversity, find_odd_pairs
from captioning_utils.metrics.java_metrics import compute_nltk_meteor, find_java_tools
from captioning_utils.metrics.protocols import PROTOCOLS, Protocol, get_protocol, tokenize_captions
from captioning_utils.metrics.rouge import compute_rouge_l
from captioning_utils.metrics.scores import METRIC_LABELS, Scores, compute_scores, format_score
from captioning_utils.metrics.uncertainty import compare_scores, compute_interval, summarize_runs
from captioning_utils.metrics.word_use import compare_word_use
