"""Make docs/errors.md, the list of all refusals that a user can meet, from the code. A test holds them equal.

python docs/make_errors.py
"""

import argparse
import ast
import builtins
import importlib
import inspect
import itertools
import re
import sys
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from captioning_utils import InputError
from captioning_utils.base.files import write_text

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "captioning_utils"
PAGE = Path(__file__).with_name("errors.md")
START, END = "<!-- refusals -->\n", "<!-- end of refusals -->"
KINDS = (InputError, FileNotFoundError, argparse.ArgumentTypeError)


class Refusal(NamedTuple):
    """A place in the package that makes an exception whose message a user sees."""

    path: Path
    line: int
    kind: type
    messages: list  # of str, one for each wording; ⟨names⟩ stand for what differs from case to case


class Scope(NamedTuple):
    """Where a message is made, which says what the names in it mean."""

    module: object
    function: ast.FunctionDef


def find_refusals():
    """All refusals of the package, by file and line: list of `Refusal`. What only passes on a text is left out."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                scope = Scope(module, function)
                found += [refusal for node in ast.walk(function) if (refusal := _read_call(node, scope, path))]
    return sorted({(each.path, each.line): each for each in found}.values(), key=lambda each: each[:2])


def _read_call(node, scope, path):
    match node:
        case ast.Call(func=ast.Name(id=name), args=[_, *_]):
            kind = vars(scope.module).get(name, vars(builtins).get(name))
        case ast.Call(func=ast.Attribute(value=ast.Name(id=place), attr=name), args=[_, *_]):
            kind = getattr(vars(scope.module).get(place), name, None)
        case _:
            return None
    if not (isinstance(kind, type) and issubclass(kind, KINDS)):
        return None
    messages = [text for text in _read(node.args[0], scope) if re.search(r"\w", re.sub("⟨.*?⟩", "", text))]
    return Refusal(path, node.lineno, kind, messages) if messages else None


def _read(node, scope):
    """All wordings of a text in the code: list of str."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=parts):
            return ["".join(each) for each in itertools.product(*(_read(part, scope) for part in parts))]
        case ast.BinOp(left=ast.Constant() as left, op=ast.Add(), right=right):
            return ["".join(each) for each in itertools.product(_read(left, scope), _read(right, scope))]
        case ast.IfExp(body=body, orelse=orelse):
            return _read(body, scope) + _read(orelse, scope)
        case ast.FormattedValue(value=value):
            return _read(value, scope)
        case ast.Call(func=ast.Name(id=name)) if name.lstrip("_").startswith("explain"):
            helper = vars(scope.module)[name]
            (function,) = ast.parse(inspect.getsource(helper)).body
            own = Scope(inspect.getmodule(helper), function)
            given = [each.value for each in ast.walk(function) if isinstance(each, ast.Return)]
            return [text for value in given for text in _read(value, own)]
        case ast.Name(id=name) if values := _assigned(name, scope.function):
            return [text for value in values for text in _read(value, scope)]
    return [_evaluate(node, scope.module) or f"⟨{_describe(node)}⟩"]


def _assigned(name, function):
    """The text that a function gives one of its names, where that is said in one place: list of one node, or none."""
    values = [
        node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and any(isinstance(each, ast.Name) and each.id == name for each in node.targets)
    ]
    known = len(values) == 1 and isinstance(values[0], ast.JoinedStr | ast.Constant | ast.IfExp)
    return values if known and name not in _names(values[0]) else []


def _evaluate(node, module):
    """What a part of a message is in all cases, such as a limit; None where it differs from case to case."""
    if not all(name.isupper() for name in _names(node)):  # constants of the module, and no variables
        return None
    # of the package's own code, which has been imported, so that nothing runs that did not
    return str(eval(compile(ast.Expression(node), "", "eval"), vars(module)))


def _names(node):
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def _describe(node):
    """A name for what differs from case to case."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) if name != "__name__":
            return name.strip("_").replace("_", " ").lower()
        case ast.Call(func=ast.Name(id="len"), args=[ast.Name(id="self")]):
            return "length"
        case ast.Call(func=ast.Name(id="len"), args=[of]):
            return f"number of {_describe(of)}"
        case ast.Call(func=ast.Name(id="type"), args=[of]):
            return f"type of {_describe(of)}"
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
        case ast.Call(func=ast.Name(id="getattr")):
            return "value"
        case ast.Call(func=ast.Name(id="map") | ast.Attribute(attr="join"), args=[*_, of]):
            return _describe(of)
        case ast.Call(func=ast.Name(), args=[of, *_]) | ast.Call(func=ast.Attribute(value=of)):
            return _describe(of)
        case ast.Attribute(value=of) | ast.Subscript(value=of) | ast.BinOp(left=of):
            return _describe(of)
    return "value"


def build_tables(refusals):
    """Markdown of all refusals: a section a part of the package, a row a message; str."""
    lines = []
    for part, members in itertools.groupby(refusals, lambda each: each.path.relative_to(PACKAGE).parts[0]):
        lines += [f"\n### {part.removesuffix('.py')}\n", "| what it says | what to do |", "|---|---|"]
        messages = dict.fromkeys(text for refusal in members for text in refusal.messages)
        lines += [f"| {' | '.join(map(_escape, split_message(text)))} |" for text in messages]
    return "\n".join(lines) + "\n"


def split_message(text):
    """What a message says was received, and what to do; the second is empty where the reason in it says that."""
    cause, found, cure = text.rpartition("; ")
    return (cause, cure) if found else (text, "")


def _escape(text):
    return re.sub(r"([\\|*<`])", r"\\\1", text)


def fill_page(text):
    """The page with its tables up to date; str."""
    start, end = text.index(START) + len(START), text.index(END)
    return text[:start] + build_tables(find_refusals()) + text[end:]


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    write_text(PAGE, fill_page(PAGE.read_text(encoding="utf-8")))
