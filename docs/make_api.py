"""Build the API reference, HTML pages of all that docs/api.md imports, from the docstrings.

    python docs/make_api.py            # writes runs/api; open runs/api/index.html

pdoc (https://pdoc.dev, in requirements-dev.txt) makes the pages; which names are public is said in docs/api.md alone.
"""

import argparse
import ast
import contextlib
import importlib
import re
import sys
from pathlib import Path
from unittest import mock

import pdoc

sys.path.insert(0, str(Path(__file__).parents[1]))

from captioning_utils.base.backend import load_backend
from captioning_utils.base.files import check_writable
from captioning_utils.commands.shell import run_command

PACKAGE = "captioning_utils"
LIST = Path(__file__).with_name("api.md")


def read_public_names(page=LIST):
    """The imports in a page's Python blocks: dict of module to list of names, in the page's order."""
    names = {}
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        for statement in ast.parse(block).body:
            if isinstance(statement, ast.ImportFrom):
                names.setdefault(statement.module, []).extend(alias.name for alias in statement.names)
    return names


def build_reference(folder):
    """Write the pages into a folder; returns the path of the first one."""
    names = read_public_names()
    members = {module_name: list(public) for module_name, public in names.items()}
    for module_name in names:
        while module_name != PACKAGE:  # a package shows its modules
            parent, _, child = module_name.rpartition(".")
            members.setdefault(parent, []).append(child)
            module_name = parent
    with contextlib.ExitStack() as meanwhile:
        for module_name in names:
            importlib.import_module(module_name)
        for module_name, public in members.items():
            module = sys.modules[module_name]
            for name in public:
                setattr(module, name, getattr(module, name))  # the package imports its names when they are first used
            # pdoc shows what __all__ names and no more.
            meanwhile.enter_context(mock.patch.object(module, "__all__", list(dict.fromkeys(public)), create=True))
        pdoc.render.configure(docformat="google")
        pdoc.pdoc(PACKAGE, output_directory=Path(folder))
    return Path(folder) / "index.html"


def main(arguments=None):
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="runs/api", help="folder to write to")
    options = parser.parse_args(arguments)
    check_writable(Path(options.out) / "index.html")
    load_backend()
    print(f"{build_reference(options.out)}: open it in a browser")


if __name__ == "__main__":
    sys.exit(run_command(main))
