"""The set-up cell finds or fetches the repository wherever a notebook is opened; one script writes it everywhere."""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
ADDRESS = "https://github.com/anne/captions"

_spec = importlib.util.spec_from_file_location("set_up_notebooks", ROOT / "notebooks" / "set_up.py")
set_up = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(set_up)

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def first_cell(path):
    return next(cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")


def test_all_set_up_cells_are_the_scripts():
    for path in NOTEBOOKS:
        cell = first_cell(path)
        assert (path.name, cell.source) == (path.name, set_up.write_cell(set_up.read_address()))
        assert cell.metadata == set_up.FOLDED


@pytest.fixture
def clone(tmp_path):
    """A copy of all that the script writes to."""
    (tmp_path / "notebooks").mkdir()
    for path in [*NOTEBOOKS, *(ROOT / name for name in ("README.md", "notebooks/README.md", "pyproject.toml"))]:
        shutil.copy(path, tmp_path / path.relative_to(ROOT))
    shutil.copy(ROOT / "CITATION.cff", tmp_path)
    return tmp_path


def read_all(folder):
    return {path: path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.is_file()}


def test_an_address_is_stamped_everywhere_and_taken_back(clone):
    set_up.stamp("", clone)
    unpublished = read_all(clone)
    set_up.stamp(ADDRESS, clone)
    set_up.stamp(set_up.read_address(clone), clone)
    published = read_all(clone)
    assert [path.name for path in published if path.suffix != ".md" and ADDRESS not in published[path]] == []
    for readme in (clone / "README.md", clone / "notebooks" / "README.md"):
        place = "https://colab.research.google.com/github/anne/captions/blob/main/notebooks"
        badges = [f"]({place}/{path.name})" for path in NOTEBOOKS]
        assert [published[readme].count(badge) for badge in badges] == [1] * len(NOTEBOOKS)
    set_up.stamp("", clone)
    assert read_all(clone) == unpublished


def test_what_is_no_address_is_refused(capsys):
    for wrong in (
        "github.com/anne/captions",
        "https://github.com/anne",
        'https://github.com/anne/a"b',
        "https://x.org/a/b",
    ):
        with pytest.raises(SystemExit, match="2"):
            set_up.main([wrong])
        assert capsys.readouterr().err.endswith("give https://github.com/owner/name\n")


@pytest.fixture
def run_cell(tmp_path, monkeypatch):
    """A function that runs the cell in an empty folder, where everything is installed; gives the folder it ends in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND"):
        monkeypatch.setenv(name, os.environ.get(name, "3" if name.startswith("TF") else "tensorflow"))

    def run(address="", source="from a ZIP that I upload"):
        cell = set_up.write_cell(address).replace('SOURCE = "from a ZIP that I upload"', f'SOURCE = "{source}"')
        exec(compile(cell, "set-up", "exec"), {})
        return Path.cwd()

    return run


def write_zip(path, top="captions-main/", requirements="packaging\njupyter\n"):
    """A ZIP of a small repository."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{top}captioning_utils/__init__.py", "")
        archive.writestr(f"{top}requirements.txt", requirements)


@pytest.mark.parametrize("top", ["captions-main/", ""], ids=["as GitHub makes it", "as git archive makes it"])
def test_a_zip_beside_the_notebook_is_unpacked_once(tmp_path, run_cell, top, capsys):
    (tmp_path / "another.zip").write_text("no archive")
    write_zip(tmp_path / "captions.zip", top)
    assert run_cell() == tmp_path / "captioning" / top
    assert sys.path[0] == str(Path.cwd())
    printed = capsys.readouterr().out
    assert f"Keras {importlib.metadata.version('keras')} on".lower() in printed.lower()
    os.chdir(tmp_path)
    (tmp_path / "captions.zip").unlink()
    assert run_cell() == tmp_path / "captioning" / top


def test_in_a_clone_the_clone_is_found(tmp_path, run_cell, monkeypatch):
    (tmp_path / "captioning_utils").mkdir()
    (tmp_path / "requirements.txt").write_text("")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert run_cell() == tmp_path


def test_an_address_is_cloned(tmp_path, run_cell, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")  # the address leads to a folder of this machine
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{tmp_path / 'origin'}.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", ADDRESS)
    write_zip(tmp_path / "a.zip", top="")
    shutil.unpack_archive(tmp_path / "a.zip", tmp_path / "origin")
    (tmp_path / "a.zip").unlink()
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "-qm", "A"],
    ):
        subprocess.run(["git", *command], cwd=tmp_path / "origin", check=True)
    assert run_cell(ADDRESS) == tmp_path / "captioning"


@pytest.fixture
def colab(monkeypatch):
    """A module `google.colab` in which a user uploads nothing and has an empty Drive, until a test gives more."""
    colab = types.ModuleType("google.colab")
    colab.files = types.SimpleNamespace(upload=lambda: {})
    colab.drive = types.SimpleNamespace(mount=lambda place: None)
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    return colab


def test_in_colab_a_zip_can_be_uploaded(tmp_path, run_cell, colab):
    colab.files.upload = lambda: write_zip("captions.zip")
    assert run_cell() == tmp_path / "captioning" / "captions-main"


def test_in_colab_the_repository_can_lie_in_drive(tmp_path, run_cell, colab, monkeypatch):
    folder = tmp_path / "drive" / "MyDrive" / "captioning"
    folder.mkdir(parents=True)
    mounted = []
    colab.drive.mount = lambda place: (mounted.append(place), write_zip(folder / "captions.zip"))
    monkeypatch.setattr(set_up, "SETUP_CELL", set_up.SETUP_CELL.replace("/content/drive", str(tmp_path / "drive")))
    assert run_cell(source="from my Google Drive") == folder / "captioning" / "captions-main"
    assert mounted == [str(tmp_path / "drive")]


def test_without_any_repository_it_says_what_to_do(run_cell, colab):
    with pytest.raises(SystemExit, match="put its ZIP beside this notebook"):
        run_cell()


def test_only_what_is_missing_is_installed(tmp_path, run_cell, monkeypatch):
    calls = []
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: calls.append(command) or types.SimpleNamespace(stdout="")
    )
    installed = f"numpy>={importlib.metadata.version('numpy')}"
    write_zip(tmp_path / "a.zip", requirements=f"{installed}  # there\njupyter>=1,<2\n")
    run_cell()
    assert [command for command in calls if "pip" in command] == []
    Path("requirements.txt").write_text(f"{installed}\nno-such-package>=1\njupyter>=1,<2\n")
    run_cell()
    assert [command[4:] for command in calls if "pip" in command] == [["-q", installed, "no-such-package>=1"]]


def test_another_backend_needs_no_tensorflow(tmp_path, run_cell, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "numpy")
    write_zip(tmp_path / "a.zip", requirements="packaging\ntensorflow>=1000\ntensorboard>=1000\n")
    assert run_cell().name == "captions-main"  # with TensorFlow on the list pip would have failed
