"""The package stays small where it teaches: size of files and functions, and messages without a surface's words."""

import ast
import re
from pathlib import Path

import pytest

import captioning_utils

PACKAGE = Path(captioning_utils.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))


def test_the_top_level_fits_on_one_screen():
    assert len([path for path in PACKAGE.iterdir() if path.name != "__pycache__"]) <= 25


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_are_short(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    assert {node.name: lines for node in functions if (lines := count_lines(node)) > 50} == {}


def count_lines(function):
    """Lines of a function, its docstring left out."""
    first = function.body[0]
    docstring = first if ast.get_docstring(function) is not None else None
    return function.end_lineno - function.lineno + 1 - (docstring.end_lineno - first.lineno + 1 if docstring else 0)


def test_the_library_names_no_option_of_the_shell():
    """Its messages are shown in notebooks and on the page as well."""
    # Programs, and a page with their commands, may:
    shells = ("commands", "__main__.py", "onnx_captions.py", "model_card.py")
    for path in FILES:
        if any(part in path.parts for part in shells):
            continue
        strings = [node.value for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                   if isinstance(node, ast.Constant) and isinstance(node.value, str)]  # fmt: skip
        option = re.compile(r"(?<![\w-])--[a-z]+_[a-z]+|--(weights|layer|split)\b")
        assert list(filter(option.search, strings)) == [], path
