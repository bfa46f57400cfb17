"""An evaluation as a JSON document."""

from __future__ import annotations

from typing import Any

from captioning_utils.evaluation.records import CONFIDENCE, RESAMPLES, Evaluation, ScoredCaptions
from captioning_utils.metrics.protocols import PROTOCOLS
from captioning_utils.metrics.uncertainty import summarize_runs

DOCUMENT_VERSION = 1
DIGITS = 6  # of a score in 0–1 in a document, so that what is printed from it is rounded once


def build_document(evaluation: Evaluation) -> dict[str, Any]:
    """Everything that was found out, as plain values for `write_json`; the same input gives the same document.

    Neither references nor any caption of the train split are in it, so it can be published where they cannot.

    Args:
        evaluation: `Evaluation`.

    Returns:
        dict; scores are 0–1 (CIDEr 0–10), rounded to 4 digits. Of several captioners it holds a list of their
        documents, and the comparison or the mean and range of each score.

    Example:
        >>> from captioning_utils.evaluation import CandidateSet, EvaluationData, evaluate
        >>> data = EvaluationData("pets", {1: ["a dog runs", "a dog"], 2: ["a cat", "a cat sits"]})
        >>> evaluation = evaluate([CandidateSet("mine", {1: ["a dog"], 2: ["a cat"]})], data)
        >>> build_document(evaluation)["photos"]["1"]["caption"]
        'a dog'
    """
    documents = [_document(evaluation, line) for line in evaluation.captioners]
    if len(documents) == 1:
        return documents[0]
    common = {"format_version": DOCUMENT_VERSION, "captioners": documents}
    if evaluation.comparison:
        return common | {"comparison": _rounded(evaluation.comparison)}
    return common | {
        "summary": _rounded(summarize_runs([line.require_scores().corpus for line in evaluation.captioners]))
    }


def _document(evaluation: Evaluation, captioner: ScoredCaptions) -> dict[str, Any]:
    data, protocol = evaluation.data, evaluation.protocol
    return {
        "format_version": DOCUMENT_VERSION,
        "name": captioner.name,
        "dataset": data.name,
        "split": data.split,
        **({"split_source": data.split_source} if data.split_source else {}),
        "num_images": len(data.references),
        "left_out": evaluation.left_out,
        "protocol": protocol.name,
        "protocol_description": PROTOCOLS[protocol.name].description,
        **captioner.settings,
        "packages": evaluation.packages,
        "interval": {"confidence": CONFIDENCE, "resamples": RESAMPLES, "of": "photos, percentile bootstrap"},
        **_findings(captioner),
        "baselines": {line.name: _findings(line) for line in evaluation.baselines},
        "photos": {str(image_id): _photo(captioner, image_id) for image_id in data.references},
    }


def _findings(line: ScoredCaptions) -> dict[str, Any]:
    findings = {"references_per_image": line.references, "scores": line.summary, "diversity": line.diversity}
    return _rounded(findings | ({"truth": line.truth} if line.truth else {}))


def _photo(captioner: ScoredCaptions, image_id: str) -> dict[str, Any]:
    caption, *alternatives = captioner.captions[image_id]
    photo = {"caption": caption} | ({"alternatives": alternatives} if alternatives else {})
    return photo | _rounded(captioner.require_scores().per_image[image_id])


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(each) for each in value]
    return round(value, DIGITS) if isinstance(value, float) else value
