"""What notebooks and pages import is public: docs/api.md lists it, and it is there."""

import importlib
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("notebooks/*.ipynb")])


def find_imports(path):
    """(module, name) of all that a page's or notebook's code imports from the package."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = nbformat.reads(text, as_version=4).cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    found = re.findall(r"^(?:>>> )?[ ]*from (captioning_utils[\w.]*) import (\([^)]+\)|[\w, ]+)", text, flags=re.M)
    return {(module, name) for module, names in found for name in re.findall(r"(?<!as )\b(?!as\b)\w+", names)}


PUBLIC = find_imports(ROOT / "docs" / "api.md")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_only_public_names_are_imported(path):
    assert find_imports(path) - PUBLIC - {("captioning_utils", "__version__")} == set()


def test_every_public_name_is_there_once():
    assert len({name for _, name in PUBLIC}) == len(PUBLIC)
    for module, name in sorted(PUBLIC):
        assert getattr(importlib.import_module(module), name)
