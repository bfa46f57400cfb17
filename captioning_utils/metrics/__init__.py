"""Scores of captions: BLEU, ROUGE-L, CIDEr-D, METEOR; protocols, diversity, intervals."""

from captioning_utils.metrics.bleu import compute_bleu as compute_bleu
from captioning_utils.metrics.bleu import compute_bleu_statistics as compute_bleu_statistics
from captioning_utils.metrics.cider import Cider as Cider
from captioning_utils.metrics.diversity import compute_diversity as compute_diversity
from captioning_utils.metrics.diversity import compute_set_diversity as compute_set_diversity
from captioning_utils.metrics.java_metrics import compute_nltk_meteor as compute_nltk_meteor
from captioning_utils.metrics.java_metrics import find_java_tools as find_java_tools
from captioning_utils.metrics.protocols import PROTOCOLS as PROTOCOLS
from captioning_utils.metrics.protocols import Protocol as Protocol
from captioning_utils.metrics.protocols import get_protocol as get_protocol
from captioning_utils.metrics.protocols import tokenize_captions as tokenize_captions
from captioning_utils.metrics.rouge import compute_rouge_l as compute_rouge_l
from captioning_utils.metrics.scores import METRIC_LABELS as METRIC_LABELS
from captioning_utils.metrics.scores import Scores as Scores
from captioning_utils.metrics.scores import compute_scores as compute_scores
from captioning_utils.metrics.scores import format_score as format_score
from captioning_utils.metrics.scores import pair_images as pair_images
from captioning_utils.metrics.uncertainty import compare_scores as compare_scores
from captioning_utils.metrics.uncertainty import compute_interval as compute_interval
from captioning_utils.metrics.uncertainty import summarize_runs as summarize_runs
from captioning_utils.metrics.word_use import compare_word_use as compare_word_use
