"""One evaluation: captions of a split, scored beside baselines and people; its report and its document."""

from captioning_utils.evaluation.baselines import find_most_common_caption as find_most_common_caption
from captioning_utils.evaluation.baselines import find_nearest_photos as find_nearest_photos
from captioning_utils.evaluation.comparison import compare_captioners as compare_captioners
from captioning_utils.evaluation.comparison import describe_comparison as describe_comparison
from captioning_utils.evaluation.document import build_document as build_document
from captioning_utils.evaluation.evaluate import build_evaluation_data as build_evaluation_data
from captioning_utils.evaluation.evaluate import evaluate as evaluate
from captioning_utils.evaluation.html_page import PhotoEntry as PhotoEntry
from captioning_utils.evaluation.html_page import Report as Report
from captioning_utils.evaluation.provenance import provenance_of as provenance_of
from captioning_utils.evaluation.records import CandidateSet as CandidateSet
from captioning_utils.evaluation.records import Evaluation as Evaluation
from captioning_utils.evaluation.records import EvaluationData as EvaluationData
from captioning_utils.evaluation.records import ScoredCaptions as ScoredCaptions
from captioning_utils.evaluation.report import build_report as build_report
from captioning_utils.evaluation.report import format_evaluation as format_evaluation
from captioning_utils.evaluation.score_files import load_candidates as load_candidates
from captioning_utils.evaluation.score_files import load_references as load_references
