"""One evaluation: captions of a split, scored beside baselines and people; its report and its document."""

from captioning_utils.evaluation.baselines import find_most_common_caption, find_nearest_photos
from captioning_utils.evaluation.comparison import compare_captioners, describe_comparison
from captioning_utils.evaluation.document import build_document
from captioning_utils.evaluation.evaluate import build_evaluation_data, evaluate
from captioning_utils.evaluation.html_page import PhotoEntry, Report
from captioning_utils.evaluation.provenance import provenance_of
from captioning_utils.evaluation.records import CandidateSet, EvaluationData
from captioning_utils.evaluation.report import build_report, format_evaluation
from captioning_utils.evaluation.score_files import load_candidates, load_references
