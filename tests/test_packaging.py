"""What is installed is what the requirements say, and holds all that the package reads."""

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from email.parser import HeaderParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from PIL import Image

import captioning_utils

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def read_requirements(name):
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return set(filter(None, (line.partition("#")[0].strip() for line in lines)))


def test_requirements_are_the_dependencies_and_what_notebooks_and_tests_need():
    dependencies, extras = PROJECT["project"]["dependencies"], PROJECT["project"]["optional-dependencies"]
    assert read_requirements("requirements.txt") == {*dependencies, *extras["notebooks"]}
    needed = {each for name in ("app", "export", "hub", "metrics", "scale") for each in extras[name]}
    assert needed <= read_requirements("requirements-dev.txt")


def test_type_checkers_see_the_names_that_are_imported_on_first_use():
    tree = ast.parse(Path(captioning_utils.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    seen = {alias.asname: node.module for node in block.body for alias in node.names}
    assert set(seen) == set(captioning_utils.__all__)
    for name, home in seen.items():
        assert getattr(captioning_utils, name) is getattr(importlib.import_module(home), name), name


def test_every_module_and_data_file_is_in_the_wheel():
    settings = PROJECT["tool"]["setuptools"]
    assert settings["packages"] == {"find": {"include": ["captioning_utils*"]}}  # every folder with an __init__.py
    modules = {path.parent for path in (ROOT / "captioning_utils").rglob("*.py")}
    assert all((folder / "__init__.py").is_file() for folder in modules)
    packed = set()
    folders = {".".join(folder.relative_to(ROOT).parts): folder for folder in modules}
    for name, patterns in settings["package-data"].items():
        for pattern in patterns:
            assert list(folders[name].glob(pattern)), f"{name} has no {pattern}"
            packed.update(folders[name].glob(pattern))
    files = {path for path in (ROOT / "captioning_utils").rglob("*") if path.is_file()}
    assert {path for path in files if path.suffix not in (".py", ".pyc")} == packed


def test_the_version_is_said_once():
    assert re.fullmatch(r"\d+\.\d+\.\d+", captioning_utils.__version__)
    assert "version" not in PROJECT["project"]
    assert f"\nversion: {captioning_utils.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {captioning_utils.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_python_is_declared_tested_and_of_the_oldest_and_newest_keras():
    classifiers = PROJECT["project"]["classifiers"]
    declared = [line.rpartition(" ")[2] for line in classifiers if re.search(r":: \d\.\d+$", line)]
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    tested = re.search(r"python: \[(.*)\]", workflow)[1]
    assert declared == re.findall(r'"([\d.]+)"', tested)
    assert PROJECT["project"]["requires-python"] == f">={declared[0]},<3.{int(declared[-1].partition('.')[2]) + 1}"
    (keras,) = [line for line in PROJECT["project"]["dependencies"] if line.startswith("keras")]
    oldest = (ROOT / ".ci" / "oldest.txt").read_text(encoding="utf-8")
    assert f"keras=={re.search('>=([0-9.]+)', keras)[1]}.*" in oldest


def test_the_lock_has_every_requirement_by_hash():
    lock = (ROOT / ".ci" / "oldest.lock").read_text(encoding="utf-8")
    entries = re.findall(r"^(\S+)==(\S+)(.*(?:\n    .*)*)", lock, re.MULTILINE)
    assert "\n".join(f"{name}=={version}{rest}" for name, version, rest in entries) == lock.rstrip("\n")
    assert all("--hash=sha256:" in rest for *_, rest in entries)
    locked = {name: version for name, version, _ in entries}
    for file in ("requirements.txt", "requirements-dev.txt", ".ci/oldest.txt"):
        for requirement in map(Requirement, read_requirements(file)):
            assert locked[requirement.name.lower().replace("_", "-")] in requirement.specifier, requirement


def test_every_requirement_has_its_licence_listed():
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"[a-z0-9-]+", page))
    for file in ("requirements.txt", "requirements-dev.txt"):
        assert {each.name.lower().replace("_", "-") for each in map(Requirement, read_requirements(file))} <= listed


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A fresh environment with the wheel; what the package needs comes from the environment of the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(
        ROOT / "captioning_utils", source / "captioning_utils", ignore=shutil.ignore_patterns("__pycache__")
    )
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source], check=True)
    venv.create(folder / "environment")
    (own,) = (folder / "environment").glob("**/site-packages")
    (own / "needed.pth").write_text("\n".join(path for path in sys.path if "site-packages" in path))
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "--python", folder / "environment", "install", "--no-deps", wheel], check=True)
    return folder / "environment"


def test_the_wheel_says_what_it_is(environment):
    (metadata,) = environment.glob("**/captioning_utils-*.dist-info/METADATA")
    found = HeaderParser().parsestr(metadata.read_text(encoding="utf-8"))
    assert found["Version"] == captioning_utils.__version__
    assert found["License-Expression"] == "MIT"
    assert set(found.get_all("Provides-Extra")) == set(PROJECT["project"]["optional-dependencies"])


def test_the_installed_command_captions_a_photo_from_another_folder(environment, vgg16_weights, tmp_path):
    Image.new("RGB", (300, 200), "green").save(tmp_path / "photo.png")
    programs = environment / ("Scripts" if os.name == "nt" else "bin")
    where = [programs / "python", "-c", "import captioning_utils; print(captioning_utils.__file__)"]
    for command, is_right in (
        (where, lambda shown: Path(shown.strip()).is_relative_to(environment)),
        ([programs / "captioning"], lambda shown: shown.startswith("usage: captioning COMMAND")),
        ([programs / "captioning", "generate", "--image_path", "photo.png"], lambda shown: "photo.png: a " in shown),
    ):
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert is_right(result.stdout), result.stdout
