"""Write the set-up cell of all notebooks, and the repository's address wherever it belongs.

    python notebooks/set_up.py                                  # again, from the address that is kept
    python notebooks/set_up.py https://github.com/owner/name    # published there, or forked
    python notebooks/set_up.py ""                               # not published

The address is kept in pyproject.toml. With one, notebooks that stand alone fetch the repository, and the tables of
README.md and notebooks/README.md get a badge for Colab behind each notebook; without one there are no badges.
"""

import argparse
import re
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
ADDRESS = re.compile(r"https://github\.com/[\w-]+/[\w.-]+")
SETUP_CELL = '''\
# @title Set-up: finds or fetches the repository, installs what is missing
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from packaging.requirements import Requirement

REPOSITORY = "<address>"  # written by notebooks/set_up.py
# @markdown In Colab, where neither an address nor a ZIP is there, take the repository
SOURCE = "from a ZIP that I upload"  # @param ["from a ZIP that I upload", "from my Google Drive"]
DRIVE_FOLDER = "captioning"  # @param {type:"string"}


def find_root(place):
    """The repository's folder in a place; a ZIP of it that lies there is unpacked first."""
    for path in filter(zipfile.is_zipfile, place.glob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            holds_package = any(name.endswith("captioning_utils/__init__.py") for name in archive.namelist())
            if holds_package and not (place / "captioning").exists():
                archive.extractall(place / "unpacking")
                (place / "unpacking").rename(place / "captioning")
    folders = [place, place / "captioning", *place.glob("captioning/*")]
    return next((folder for folder in folders if (folder / "captioning_utils").is_dir()), None)


def is_installed(requirement):
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(version, prereleases=True)


here = Path.cwd()
root = next((place for place in (here, *here.parents) if (place / "captioning_utils").is_dir()), None)
root = root or find_root(here)
if root is None and REPOSITORY:
    subprocess.run(["git", "clone", "-q", "--depth", "1", REPOSITORY, "captioning"], check=True)
elif root is None and "google.colab" in sys.modules:
    from google.colab import drive, files

    if "Drive" in SOURCE:
        drive.mount("/content/drive")
        root = find_root(Path("/content/drive/MyDrive", DRIVE_FOLDER))
    else:
        files.upload()  # a dialog; what it gets lands beside the notebook
root = root or find_root(here)
if root is None:
    raise SystemExit("the repository is not here: put its ZIP beside this notebook, or open the notebook in a clone")
os.chdir(root)  # from here on every path starts at the repository's folder
sys.path.insert(0, str(root))

backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
unneeded = ("jupyter",) if backend == "tensorflow" else ("jupyter", "tensor")  # what runs this cell, and TensorFlow
lines = [line.partition("#")[0].strip() for line in Path("requirements.txt").read_text().splitlines()]
needed = [line for line in lines if line and not line.startswith(unneeded)]
if not all(is_installed(Requirement(line)) for line in needed):
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", *needed], check=True)

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow starts quietly
list_gpus = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
gpu = shutil.which("nvidia-smi") and subprocess.run(list_gpus, capture_output=True, text=True).stdout.strip()
versions = [f"{name} {importlib.metadata.version(name)}" for name in ("keras", backend)]
print(f"Python {platform.python_version()}, {' on '.join(versions)}; {gpu or 'no GPU'}, {os.cpu_count()} cores")
'''
FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}, "tags": ["set-up"]}
COLAB = "https://colab.research.google.com/"


def write_cell(address):
    """The source of the set-up cell: str."""
    return SETUP_CELL.replace("<address>", address).rstrip()


def read_address(root=ROOT):
    """The address that is kept; "" where the repository is not published."""
    found = re.search(r'^Repository = "(.+)"$', (root / "pyproject.toml").read_text(encoding="utf-8"), flags=re.M)
    return found[1] if found else ""


def stamp(address, root=ROOT):
    """Write an address, or none, into notebooks, badges, pyproject.toml and CITATION.cff.

    Args:
        address: str, `https://github.com/owner/name`, or "" for none.
        root: `Path`, the repository's folder.
    """
    for path in sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        cell = next(cell for cell in notebook.cells if cell.cell_type == "code")
        cell.source, cell.metadata = write_cell(address), nbformat.from_dict(FOLDED)
        nbformat.write(notebook, path)
    for name in ("README.md", "notebooks/README.md"):
        _edit(root / name, r"(<!-- badges -->)(.*?)(<!-- end of badges -->)", lambda block: _put_badges(block, address))
    urls = f'[project.urls]\nRepository = "{address}"\n\n' if address else ""
    _edit(root / "pyproject.toml", r"(\[project\.urls\]\n.*?\n\n)?(?=\[project\.scripts\])", lambda _: urls)
    line = f'repository-code: "{address}"\n' if address else ""
    _edit(root / "CITATION.cff", r"(repository-code: .*?\n)?(?=license:)", lambda _: line)


def _put_badges(block, address):
    """A badge behind each link to a notebook, where there is an address."""
    text = re.sub(r" \[!\[Open in Colab\].*?\)\]\(.*?\)", "", block[0])
    if not address:
        return text
    place = f"{COLAB}{address.removeprefix('https://').replace('.com', '', 1)}/blob/main/notebooks"
    badge = rf" [![Open in Colab]({COLAB}assets/colab-badge.svg)]({place}/\1)"
    return re.sub(r"\]\((?:notebooks/)?(\d\d_\w+\.ipynb)\)", rf"\g<0>{badge}", text)


def _edit(path, pattern, replace):
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(pattern, replace, text, count=1, flags=re.S), encoding="utf-8")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "address", nargs="?", metavar="ADDRESS", help="of the repository; the one that is kept otherwise"
    )
    given = parser.parse_args(arguments).address
    address = read_address() if given is None else given.rstrip("/").removesuffix(".git")
    if address and not ADDRESS.fullmatch(address):
        parser.error(f"{address} is no address that Colab opens; give https://github.com/owner/name")
    stamp(address)


if __name__ == "__main__":
    main()
