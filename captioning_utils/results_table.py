"""The tables of README.md, made from the files in results/, so that no number in it is typed by hand.

    python -m captioning_utils.results_table README.md

replaces what stands between `<!-- table: FOLDER -->` and `<!-- end of table -->`; a test holds the two equal.
"""

import re
import sys
from pathlib import Path

from captioning_utils.errors import InputError
from captioning_utils.files import read_json, write_text
from captioning_utils.metrics import METRIC_LABELS, format_score

COLUMNS = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider_d")
WITH_INTERVAL = ("bleu_4", "cider_d")
TABLE = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def build_results_table(folder):
    """A Markdown table of all results in a folder: baselines, captioners from worse to better, people.

    Args:
        folder: str or `Path` with result files of `evaluate.py`, all of the same dataset, split and protocol.

    Returns:
        str, lines that each end in a line break.

    Raises:
        InputError: where the folder has no result file.
    """
    documents = [read_json(path) for path in sorted(Path(folder).glob("*.json"))]
    if not documents:
        raise InputError(f"{folder} holds no result file (.json); write one with evaluate.py --out")
    documents.sort(key=lambda document: document["scores"]["cider_d"]["value"])
    baselines = documents[0]["baselines"]
    rows = [(name, found["scores"]) for name, found in baselines.items() if name != "people"]
    rows += [(f"**{document['name']}**", document["scores"]) for document in documents]
    rows += [(name, found["scores"]) for name, found in baselines.items() if name == "people"]
    lines = [["captioner", *(METRIC_LABELS[name] for name in COLUMNS)], ["---", *["---:"] * len(COLUMNS)]]
    lines += [[name, *(_cell(scores[column], column) for column in COLUMNS)] for name, scores in rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _cell(score, column):
    value = format_score(score["value"])
    if column not in WITH_INTERVAL or "low" not in score:
        return value
    return f"{value} ({format_score(score['low'])}–{format_score(score['high'])})"


def fill_tables(text, root):
    """Replace every marked table in a Markdown text by the one that its folder gives.

    Args:
        text: str, Markdown.
        root: `Path` that the folders are relative to.

    Returns:
        str, the text with its tables up to date.

    Example:
        >>> fill_tables("no table here", Path("."))
        'no table here'
    """
    return TABLE.sub(lambda match: match[1] + build_results_table(root / match[2]) + match[3], text)


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        write_text(path, fill_tables(path.read_text(encoding="utf-8"), path.parent))
