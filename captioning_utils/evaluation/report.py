"""An `Evaluation` to look at: tables for the console, and one page that shows where a captioner fails."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from captioning_utils.evaluation.comparison import describe_comparison
from captioning_utils.evaluation.records import CONFIDENCE, Evaluation, EvaluationData, ScoredCaptions
from captioning_utils.metrics.scores import METRIC_LABELS, format_score
from captioning_utils.metrics.uncertainty import summarize_runs
from captioning_utils.scenes.truth import KINDS_OF_CLAIM
from captioning_utils.scenes.truth_summary import NOTHING
from captioning_utils.text import clean_caption

if TYPE_CHECKING:
    from captioning_utils.evaluation.html_page import PhotoEntry, Report


Table: TypeAlias = tuple[list[str], list[list[str]]]
"""Column heads, and rows of the same length."""
PHOTOS_SHOWN = 8  # of the best, of the median and of the worst
WORDS_LISTED = 60  # of those that people use and the captioner never
LABELS_IN_CONFUSION = 12  # the most frequent ones of a kind; more are not readable
_PHOTO_METRICS = ("cider_d", "rouge_l", "bleu_1", "bleu_4")  # shown with a photo; it is ranked by the first two
_DIVERSITY = {  # what compute_diversity and compute_set_diversity find, in words; True where it is a share
    "num_captions": ("captions", False),
    "distinct_share": ("different captions", True),
    "novel_share": ("captions that are not in the train split", True),
    "words_used": ("different words", False),
    "words_used_share": ("share of the known words that is used", True),
    "mean_length": ("words a caption", False),
    "repeated_trigram_share": ("captions with three words in a row twice", True),
    "repeated_word_share": ("captions with a word twice in a row", True),
    "unknown_word_rate": ("words that are not known words", True),
    "fluency": ("captions whose neighbouring words the train split has too", True),
    "div_1": ("Div-1 of a photo's captions", False),
    "div_2": ("Div-2", False),
    "mbleu_4": ("mBLEU-4 (lower is more diverse)", False),
    "self_cider": ("self-CIDEr", False),
}


# ---- tables, as a list of column heads and a list of rows


def score_table(evaluation: Evaluation) -> Table:
    """Captioners with their intervals, the baselines, and people, in one table.

    Example:
        >>> from captioning_utils.evaluation.records import CandidateSet, EvaluationData
        >>> from captioning_utils.evaluation.evaluate import evaluate
        >>> data = EvaluationData("pets", {1: ["a dog runs", "a dog"], 2: ["a cat", "a cat sits"]})
        >>> columns, rows = score_table(evaluate([CandidateSet("mine", {1: ["a dog"], 2: ["a cat"]})], data))
        >>> [row[:2] for row in rows]
        [['mine', '100.0'], ['  95 % interval', '100.0–100.0'], ['people (1 reference)', '80.0']]
    """
    metrics = list(evaluation.captioners[0].summary)
    rows = []
    for line in evaluation.captioners:
        rows.append(_score_row(line.name, line.summary, metrics))
        ranges = [_range(line.summary[metric]) for metric in metrics]
        rows.append([f"  {100 * CONFIDENCE:.0f} % interval", *ranges])
    if len(evaluation.captioners) > 1 and not evaluation.comparison:
        runs = summarize_runs([line.require_scores().corpus for line in evaluation.captioners])
        rows.append([f"mean of {len(evaluation.captioners)}", *(format_score(runs[name]["mean"]) for name in metrics)])
        rows.append(["  lowest–highest", *(_range(runs[name]) for name in metrics)])
    for line in evaluation.baselines:
        rows.append(_score_row(_baseline_label(line, evaluation), line.summary, metrics))
    return ["", *(METRIC_LABELS[metric] for metric in metrics)], rows


def _score_row(name: str, summary: Mapping[str, Mapping[str, float]], metrics: Iterable[str]) -> list[str]:
    return [name, *(format_score(summary[metric]["value"]) for metric in metrics)]


def _range(values: Mapping[str, float]) -> str:
    return f"{format_score(values['low'])}–{format_score(values['high'])}" if "low" in values else "…"


def _baseline_label(line: ScoredCaptions, evaluation: Evaluation) -> str:
    """People are scored against fewer references than all others: that belongs to their name."""
    if line.references == evaluation.captioners[0].references:
        return line.name
    return f"{line.name} ({_count_references(line.references)})"


def _count_references(references: Mapping[str, float]) -> str:
    least, most = references["min"], references["max"]
    return f"{least if least == most else f'{least} to {most}'} reference{'s' if most > 1 else ''}"


def diversity_table(evaluation: Evaluation) -> Table:
    """What word overlap hides, of the captioners and of people."""
    lines = evaluation.captioners + [line for line in evaluation.baselines if line.name == "people"]
    rows = [
        [label, *(_number(line.diversity.get(key), is_share) for line in lines)]
        for key, (label, is_share) in _DIVERSITY.items()
        if any(key in line.diversity for line in evaluation.captioners)
    ]
    return ["", *(line.name for line in lines)], rows


def truth_table(evaluation: Evaluation) -> Table:
    """How many claims about drawn scenes are right, kind by kind."""
    lines = evaluation.captioners + evaluation.baselines
    if not evaluation.captioners[0].truth:
        return ["", *(line.name for line in lines)], []
    rows = [[f"right {kind}", *(_right_of(line.truth["kinds"][kind]) for line in lines)] for kind in KINDS_OF_CLAIM]
    rows.append(["captions without a mistake", *(_number(line.truth["without_mistake_share"], True) for line in lines)])
    return ["", *(line.name for line in lines)], rows


def _right_of(kind: Mapping[str, Any]) -> str:
    return f"{_number(kind['right_share'], True)} of {kind['claims']:,}" if kind["claims"] else "0 claims"


def _number(value: float | None, is_share: bool) -> str:
    if value is None:
        return "…"
    return f"{100 * value:.1f} %" if is_share else f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


def align_columns(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as text: the first column to the left, the others to the right.

    Example:
        >>> print(align_columns(["", "BLEU-4"], [["mine", "18.3"], ["people", "20.9"]]))
                BLEU-4
        mine      18.3
        people    20.9
    """
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    return "\n".join(
        "  ".join([first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]).rstrip()
        for first, *others in [columns, *rows]
    )


# ---- the console


def describe_evaluation(evaluation: Evaluation) -> list[str]:
    """What was scored, how, and by whom the captions are: sentences that belong to the tables."""
    data, protocol = evaluation.data, evaluation.protocol
    left_out = f" ({evaluation.left_out:,} left out)" if evaluation.left_out else ""
    source = f" ({data.split_source})" if data.split_source else ""
    split = f", {data.split} split{source}" if data.split else ""
    lines = [
        f"{data.name}{split}: {len(data.references):,} photos{left_out}, "
        f"{_count_references(evaluation.captioners[0].references)} each; "
        f"protocol {protocol.name} ({protocol.description})"
    ]
    lines += evaluation.captioners[0].require_scores().remarks
    lines += [
        f"{line.name}: captioner {line.settings['captioner']['fingerprint']}, {_decoding(line.settings['decoding'])}"
        for line in evaluation.captioners
        if "captioner" in line.settings
    ]
    return [*lines, ", ".join(f"{name} {version}" for name, version in evaluation.packages.items())]


def _decoding(decoding: Mapping[str, Any]) -> str:
    if decoding["temperature"] is None:
        how = f"beam search with {decoding['beam_size']} beams" if decoding["beam_size"] > 1 else "greedy search"
        how += f", length penalty {decoding['length_penalty']:g}"
    else:
        how = (
            f"sampled at temperature {decoding['temperature']:g}, top-p {decoding['top_p']:g}, seed {decoding['seed']}"
        )
    repeats = f", no {decoding['block_repeats']} words twice" if decoding["block_repeats"] else ""
    return f"{how}, at most {decoding['max_length']} words{repeats}"


def format_evaluation(evaluation: Evaluation) -> str:
    """All tables as text for the console."""
    parts = ["\n".join(describe_evaluation(evaluation)), align_columns(*score_table(evaluation))]
    parts += ["\n".join(_comparison_in_words(evaluation))] if evaluation.comparison else []
    for columns, rows in (diversity_table(evaluation), truth_table(evaluation)):
        parts += [align_columns(columns, rows)] if rows else []
    return "\n\n".join(parts)


def _comparison_in_words(evaluation: Evaluation) -> list[str]:
    """For each metric a sentence: which of the first two captioners is better, and is that significant?"""
    first, second = evaluation.captioners[:2]
    return [describe_comparison(found, first.name, second.name) for found in evaluation.comparison]


# ---- the page


def build_report(evaluation: Evaluation, photos: str = "none") -> Report:
    """The page of an evaluation."""
    from captioning_utils.evaluation.html_page import Report
    from captioning_utils.plots.scores import plot_scores

    names = " and ".join(line.name for line in evaluation.captioners)
    report = Report(f"How good are the captions of {names}?", describe_evaluation(evaluation), photos)
    lines = evaluation.captioners + evaluation.baselines
    values = {line.name: {metric: found["value"] for metric, found in line.summary.items()} for line in lines}
    whiskers = {line.name: {m: found for m, found in line.summary.items() if "low" in found} for line in lines}
    report.add_table("Scores", *score_table(evaluation), caption=_EXPLANATION_OF_SCORES)
    report.add_figure(None, plot_scores(values, whiskers, f"Scores, protocol {evaluation.protocol.name}"))
    if evaluation.comparison:
        report.add_text("Is the difference significant?", [*_comparison_in_words(evaluation), _EXPLANATION_OF_TEST])
    for line in evaluation.captioners:
        of_whom = f" of {line.name}" if len(evaluation.captioners) > 1 else ""
        _add_photos(report, evaluation, line, of_whom)
        _add_words(report, evaluation, line, of_whom)
    report.add_table("Diversity and honesty", *diversity_table(evaluation), caption=_EXPLANATION_OF_DIVERSITY)
    _add_truth(report, evaluation)
    for line in evaluation.captioners:
        if line.settings:
            report.add_table(f"Settings of {line.name}", ["setting", "value"], list(_flatten(line.settings)))
    return report


_EXPLANATION_OF_SCORES = (
    f"All values times 100. The interval says what other photos of the same kind would have given, in "
    f"{100 * CONFIDENCE:.0f} of 100 draws; it does not cover the luck of a training run. People are each scored "
    "against the others who described the photo, one reference fewer than captioners have, which costs some points."
)
_EXPLANATION_OF_TEST = (
    "Interval: paired bootstrap over the photos. p: how often swapping the two captioners' captions at random gives "
    "a difference as large. Another training run of the same captioner differs too; to see by how much, train with "
    "several seeds and evaluate all of them together."
)
_EXPLANATION_OF_DIVERSITY = (
    "Known words are the captioner's vocabulary; for people, the words of the train split. People are represented by "
    "the first caption of each photo."
)
_EXPLANATION_OF_TRUTH = (
    "Each claim that a caption makes about a drawn scene is checked against the scene's facts. A colour, count, "
    'action or relation of an object that is not there is wrong; the pictures count it in the row "nothing".'
)


def _add_photos(report: Report, evaluation: Evaluation, line: ScoredCaptions, of_whom: str) -> None:
    per_image = line.require_scores().per_image
    ranked = sorted(per_image, key=lambda image_id: [-per_image[image_id][metric] for metric in _PHOTO_METRICS[:2]])
    count = min(PHOTOS_SHOWN, len(ranked) // 3)
    middle = (len(ranked) - count) // 2
    groups = {"Best": ranked[:count], "Median": ranked[middle : middle + count], "Worst": ranked[-count:]}
    for name, image_ids in groups.items() if count else [("All", ranked)]:
        entries = [_photo_entry(evaluation.data, line, image_id) for image_id in image_ids]
        text = f"Ranked by {METRIC_LABELS[_PHOTO_METRICS[0]]}, then {METRIC_LABELS[_PHOTO_METRICS[1]]}."
        report.add_photos(f"{name} photos{of_whom}", entries, text)


def _photo_entry(data: EvaluationData, line: ScoredCaptions, image_id: str) -> PhotoEntry:
    from captioning_utils.evaluation.html_page import PhotoEntry

    scores = line.require_scores().per_image[image_id]
    return PhotoEntry(
        path=data.image_paths.get(image_id, str(image_id)),
        candidate=line.captions[image_id][0],
        references=data.references[image_id],
        scores={METRIC_LABELS[metric]: format_score(scores[metric]) for metric in _PHOTO_METRICS},
    )


def _add_words(report: Report, evaluation: Evaluation, line: ScoredCaptions, of_whom: str) -> None:
    """Score against length, words used too much and too little, words never used."""
    from captioning_utils.metrics.word_use import compare_word_use
    from captioning_utils.plots.scores import plot_score_by_length, plot_word_use

    candidates = [clean_caption(captions[0]) for captions in line.captions.values()]
    references = [[clean_caption(caption) for caption in each] for each in evaluation.data.references.values()]
    lengths = [len(caption.split()) for caption in candidates]
    metric = _PHOTO_METRICS[0]
    scores = [values[metric] for values in line.require_scores().per_image.values()]
    report.add_figure(f"Score and caption length{of_whom}", plot_score_by_length(lengths, scores, metric))
    if not any(lengths) or not any(caption for each in references for caption in each):
        return
    uses = compare_word_use(candidates, references)
    never = sorted((use for use in uses if not use.candidate_rate), key=lambda use: (-use.reference_rate, use.word))
    report.add_figure(f"Words{of_whom}", plot_word_use(candidates, references))
    report.add_text(
        None,
        f"Of {sum(use.reference_rate > 0 for use in uses):,} different words that people use for these photos, "
        f"{line.name} never writes {len(never):,}. People's most frequent ones of these: "
        f"{', '.join(use.word for use in never[:WORDS_LISTED]) or 'none'}.",
    )


def _add_truth(report: Report, evaluation: Evaluation) -> None:
    from captioning_utils.plots.scores import plot_confusion

    columns, rows = truth_table(evaluation)
    if not rows:
        return
    report.add_table("Truth", columns, rows, caption=_EXPLANATION_OF_TRUTH)
    for line in evaluation.captioners:
        for kind in KINDS_OF_CLAIM:
            confusion = line.truth["kinds"][kind]["confusion"]
            if confusion:
                labels, matrix, left_out = confusion_matrix(confusion)
                figure = plot_confusion(labels, matrix, f"{kind.capitalize()} claimed by {line.name}")
                report.add_figure(None, figure, f"Not shown, because rarer: {left_out:,}." if left_out else "")


def confusion_matrix(confusion: Mapping[str, Mapping[str, int]]) -> tuple[list[str], list[list[int]], int]:
    """(labels, counts, number of claims left out) of the most frequent labels, "nothing" last."""
    cells = collections.Counter({(truth, said): n for truth, row in confusion.items() for said, n in row.items()})
    totals: collections.Counter[str] = collections.Counter()
    for pair, count in cells.items():
        totals.update(dict.fromkeys(pair, count))
    frequent = sorted(totals, key=lambda label: (label != NOTHING, -totals[label], label))[:LABELS_IN_CONFUSION]
    labels = sorted(frequent, key=lambda label: (label == NOTHING, label))
    matrix = [[cells[truth, said] for said in labels] for truth in labels]
    return labels, matrix, cells.total() - sum(map(sum, matrix))


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[list[str]]:
    """Nested settings as rows of a table: ["decoding: beam_size", "5"]."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}: ")
        else:
            yield [f"{prefix}{name}", str(value)]
