"""What is installed is what the requirements say, and holds all that the package reads."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_requirements_are_the_dependencies_and_the_notebooks():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    requirements = [line.partition("#")[0].strip() for line in lines]
    extras = PROJECT["project"]["optional-dependencies"]
    assert set(filter(None, requirements)) == {*PROJECT["project"]["dependencies"], *extras["notebooks"]}


def test_contributors_have_what_the_page_needs():
    lines = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8").splitlines()
    requirements = {line.partition("#")[0].strip() for line in lines}
    assert set(PROJECT["project"]["optional-dependencies"]["app"]) <= requirements


def test_every_module_and_data_file_is_in_the_wheel():
    settings = PROJECT["tool"]["setuptools"]
    folders = {name: ROOT / name.replace(".", "/") for name in settings["packages"]}
    modules = {path.parent for path in (ROOT / "captioning_utils").rglob("*.py")}
    assert modules == set(folders.values())
    for name, patterns in settings["package-data"].items():
        for pattern in patterns:
            assert list(folders[name].glob(pattern)), f"{name} has no {pattern}"
    others = {
        path for path in (ROOT / "captioning_utils").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    packed = {
        path for name, patterns in settings["package-data"].items() for p in patterns for path in folders[name].glob(p)
    }
    assert others == packed
