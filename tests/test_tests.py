"""Tests go through what is public, so that a private function can be moved without them."""

import ast
import re
from pathlib import Path

import pytest

FILES = sorted([*Path(__file__).parent.rglob("*.py"), *(Path(__file__).parents[1] / "benchmarks").glob("*.py")])
PRIVATE = re.compile(r"_(?!exit\b)[A-Za-z]\w*")  # os._exit is public
OF_ITS_OWN = {"self", "cls"}


def find_private_names(code):
    """What a file's code takes from others though its name begins with an underscore: list of "line: name"."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            found += [(node.lineno, alias.name) for alias in node.names if PRIVATE.fullmatch(alias.name)]
        elif isinstance(node, ast.Attribute) and PRIVATE.fullmatch(node.attr):
            if not (isinstance(node.value, ast.Name) and node.value.id in OF_ITS_OWN):
                found.append((node.lineno, node.attr))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("setattr", "getattr")):
            texts = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            names = [text.rpartition(".")[2] for text in texts]
            found += [(node.lineno, name) for name in names if PRIVATE.fullmatch(name)]
    return [f"{line}: {name}" for line, name in sorted(found)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_private_name_is_used(path):
    assert find_private_names(path.read_text(encoding="utf-8")) == []


def test_a_private_name_would_be_seen():
    code = "from a import _b\na._c(self._own, a.__name__)\npatch.setattr('a._D', 1)\npatch.setattr(a, '_e', 1)"
    assert find_private_names(code) == ["1: _b", "2: _c", "3: _D", "4: _e"]
