"""Fill the tables of Markdown pages, so that nothing in them is typed by hand.

    python docs/fill_tables.py README.md docs/choosing_a_model.md

replaces what stands between `<!-- table: FOLDER -->` and `<!-- end of table -->` by the scores in that folder, or
after `<!-- table: FOLDER (ROW, ROW) -->` by those of the rows named; and between `<!-- settings: CONFIG -->` and
`<!-- end of table -->` by the fields of that configuration, such as TrainingConfig; and after `<!-- speed: FOLDER -->`
or `<!-- speed: FOLDER (FIGURE; FIGURE) -->` by what the scripts in benchmarks/ measured. A test holds them equal.
"""

import argparse
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from captioning_utils import InputError
from captioning_utils.base.checks import options_of
from captioning_utils.base.files import read_json, write_text
from captioning_utils.commands.shell import run_command
from captioning_utils.metrics import METRIC_LABELS, format_score
from captioning_utils.settings import GenerationConfig, SelfCriticalConfig, TrainingConfig

COLUMNS = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "meteor", "rouge_l", "cider_d")
WITH_INTERVAL = ("bleu_4", "cider_d")
CONFIGS = {config.__name__: config for config in (GenerationConfig, TrainingConfig, SelfCriticalConfig)}
TABLE = re.compile(r"(<!-- (table|settings|speed): (\S+)(?: \((.*?)\))? -->\n).*?(<!-- end of table -->)", re.DOTALL)


def build_results_table(folder, names=()):
    """A Markdown table of all results in a folder: baselines, captioners from worse to better, people.

    In brackets stands the interval over photos, or of several seeds their range.

    Args:
        folder: str or `Path` with result files of `evaluate.py`, all of the same dataset, split and protocol.
        names: list of str, the rows that are wanted; empty for all.

    Returns:
        str, lines that each end in a line break.

    Raises:
        InputError: where the folder has no result file, or no row of such a name.
    """
    found = {path.stem: read_json(path) for path in sorted(Path(folder).glob("*.json"))}
    if not found:
        raise InputError(f"{folder} holds no result file (.json); write one with evaluate.py --out")
    rows = sorted(
        (_captioner_row(name, document) for name, document in found.items()), key=lambda row: row[1]["cider_d"]["value"]
    )
    baselines = _runs(next(iter(found.values())))[0]["baselines"]
    others = [(name, baseline["scores"], "", "") for name, baseline in baselines.items()]
    rows = [row for row in others if row[0] != "people"] + rows + [row for row in others if row[0] == "people"]
    if names:
        by_name = {re.sub(r"\*\*|, \d+ seeds", "", row[0]): row for row in rows}
        missing = [name for name in names if name not in by_name]
        if missing:
            raise InputError(f"{folder} has no row {', '.join(missing)}; give some of {', '.join(by_name)}")
        rows = [by_name[name] for name in names]
    lines = [
        ["captioner", *(METRIC_LABELS[name] for name in COLUMNS), "parameters", "minutes of training"],
        ["---", *["---:"] * (len(COLUMNS) + 2)],
    ]
    lines += [[name, *(_cell(scores, column) for column in COLUMNS), *rest] for name, scores, *rest in rows]
    return _markdown(lines)


def build_settings_table(name):
    """A Markdown table of a configuration's fields: default, what is allowed, what it does.

    Args:
        name: str, of `CONFIGS`.

    Returns:
        str, lines that each end in a line break.

    Raises:
        InputError: where there is no such configuration.
    """
    if name not in CONFIGS:
        raise InputError(f"there is no configuration {name!r}; give one of {', '.join(CONFIGS)}")
    lines = [["setting", "default", "allowed", "what it does"], ["---"] * 4]
    for field in options_of(CONFIGS[name]):
        allowed, purpose = str(field.metadata["allowed"]), field.metadata["help"]
        lines.append([f"`{field.name}`", str(field.default), allowed, purpose])
    return _markdown(lines)


def build_speed_table(folder, names=()):
    """A Markdown table of what all benchmarks measured: the median of the rounds, in brackets their range and number.

    Below it stands on which machine, and how busy that was.

    Args:
        folder: `Path` with the JSON files that the benchmarks wrote by `--out`.
        names: list of str, the figures that are wanted, as far as the colon; empty for all.

    Returns:
        str, lines that each end in a line break.

    Raises:
        InputError: where the folder has no such file, or no such figure.
    """
    documents = [read_json(path) for path in sorted(Path(folder).glob("*.json"))]
    if not documents:
        raise InputError(f"{folder} holds no figures (.json); write some with a benchmark's --out")
    by_name = {one["what"].partition(":")[0]: (one, document) for document in documents for one in document["claims"]}
    missing = [name for name in names if name not in by_name]
    if missing:
        raise InputError(f"{folder} has no figure {'; '.join(missing)}; give some of {'; '.join(by_name)}")
    chosen = [by_name[name] for name in names or by_name]
    lines = [["what", "here", "the other side", "measured", "target"], ["---", "---", "---", "---:", "---"]]
    machines = {}
    for one, document in chosen:
        figure = "{median:.3g} ({low:.3g}–{high:.3g}; {rounds})".format(**one["figure"])
        target = "".join(f"{name.replace('_', ' ')} {value}" for name, value in one["target"].items())
        measured = f"{figure} {'×' if one['unit'] == 'times' else one['unit']}"
        lines.append([one["what"], one["here"], one["other"], measured, target])
        machine = document["machine"]
        facts = ", ".join([machine["processor"], f"{machine['cores']} cores", *machine["extensions"][-1:]])
        machines.setdefault(facts, {})[f"`{document['script']}` at load {machine['load']}"] = None
    return _markdown(lines) + "".join(f"\n{facts}: {', '.join(scripts)}.\n" for facts, scripts in machines.items())


def _markdown(lines):
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _runs(document):
    """The runs of a result file: one a seed."""
    return document.get("captioners", [document])


def _captioner_row(name, document):
    """Name, scores, millions of parameters and minutes of training of a captioner; of several seeds the means."""
    runs = _runs(document)
    scores, label = document.get("scores"), f"**{name}**"
    if len(runs) > 1:
        scores = {metric: found | {"value": found["mean"]} for metric, found in document["summary"].items()}
        label += f", {len(runs)} seeds"
    millions = runs[0]["captioner"]["parameters"] / 1e6
    minutes = sum(run["captioner"]["training_minutes"] for run in runs) / len(runs)
    return label, scores, f"{millions:.1f} M", f"{minutes:.0f}"


def _cell(scores, column):
    if column not in scores:
        return ""
    value = format_score(scores[column]["value"])
    if column not in WITH_INTERVAL or "low" not in scores[column]:
        return value
    return f"{value} ({format_score(scores[column]['low'])}–{format_score(scores[column]['high'])})"


def fill_tables(text, root):
    """Replace every marked table in a Markdown text by the one that its folder or configuration gives.

    Args:
        text: str, Markdown.
        root: `Path` that the folders are relative to.

    Returns:
        str, the text with its tables up to date.
    """

    def fill(match):
        start, kind, name, rows, end = match.groups()
        if kind == "settings":
            return start + build_settings_table(name) + end
        if kind == "speed":
            return start + build_speed_table(root / name, rows.split("; ") if rows else ()) + end
        return start + build_results_table(root / name, rows.split(", ") if rows else ()) + end

    return TABLE.sub(fill, text)


def main(arguments=None):
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="+", type=Path, metavar="PAGE", help="page with tables to fill")
    for path in parser.parse_args(arguments).pages:
        write_text(path, fill_tables(path.read_text(encoding="utf-8"), path.parent))


if __name__ == "__main__":
    sys.exit(run_command(main))
