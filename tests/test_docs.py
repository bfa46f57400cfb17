"""The README says what the files say."""

import re
from pathlib import Path

import pytest

from captioning_utils import cli, evaluate_command
from captioning_utils.results_table import TABLE, fill_tables

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FOLDERS = ("captioning_utils", "data", "docs", "notebooks", "results", "tests")
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))])


def test_tables_are_those_of_the_results():
    assert TABLE.search(README)
    assert fill_tables(README, ROOT) == README


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_option_in_the_readme_exists():
    parsers = {
        "train.py": cli._train_parser,
        "generate.py": cli._generate_parser,
        "evaluate.py": evaluate_command._evaluate_parser,
    }
    commands = re.findall(r"^python (\w+\.py) (.*)$", README, flags=re.MULTILINE)
    assert {name for name, _ in commands} == set(parsers)
    for name, arguments in commands:
        parsers[name]().parse_args(arguments.split())


def test_the_two_commands_are_there():
    assert "python -m pip install -r requirements.txt && python -m captioning_utils quickstart" in README
    assert "python -m pip install -r requirements.txt -r requirements-dev.txt && python -m pytest" in README
