"""Run all notebooks and keep their outputs, stamped, so that a test can tell stale outputs from fresh ones.

    python notebooks/execute.py        # all of them
    python notebooks/execute.py 6 8    # keep the outputs of 6 and 8; those before them run for what they save
    python notebooks/execute.py 10     # stands alone: it reads nothing of the others

1 to 9 are to come from one run: what one notebook says, another repeats. They run one after the other in a fresh
copy of the repository, where the drawn dataset is the only one: no output can depend on what lies in your folders, and
none can show a photo of somebody else's. The minutes that each took go into its text and into the table of README.md
here.
"""

import argparse
import functools
import hashlib
import json
import os
import re
import resource
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from captioning_utils import InputError, load_backend
from captioning_utils.base.files import atomic_write
from captioning_utils.commands.shell import run_command

ALONE = (10,)  # numbers of notebooks that read nothing of the others
STAMP = "captioning_utils"  # the key in a notebook's metadata
SECONDS_PER_CELL = 1800  # on a machine that others keep busy
MOST_BYTES = 1_000_000  # of a notebook file
ABSOLUTE_PATH = re.compile(
    r"((?<![\w./])|file://)/(home|root|tmp|Users|Volumes|work|workspace|usr|opt|var|mnt|media|srv|content|kaggle)/"
    r"|\b[A-Z]:[\\/](?!/)"
)
PROFILE = re.compile(r'^PROFILE = "drawn"', flags=re.M)
MINUTES = re.compile(r"[\d.]+(?=\s+machine\s+minutes)")
SHIPPED = re.compile(r"load_captioner\(\)|predict_caption\((?!.*captioner=)")  # code that opens the default captioner
_COLOUR_CODES = re.compile(r"\x1b\[[0-9;]*m")
_LOG_LINE = re.compile(  # of TensorFlow and Ray; other in every run
    r"[IWEF]\d{4} [\d:.]+ +\d+ \S+:\d+\] |WARNING: All log messages before absl|WARNING:tensorflow:"
    r"|\[[-\d :,]+ [IWEF] \d+ \d+\] \S+\.cc:\d+: "
)


def find_notebooks(folder=ROOT / "notebooks"):
    """The notebooks in the order of their numbers: list of `Path`."""
    return sorted(Path(folder).glob("[0-9][0-9]_*.ipynb"))


def plan(notebooks, numbers=()):
    """Which notebooks to run, and of which to keep the outputs.

    Args:
        notebooks: list of `Path`, in the order of their numbers.
        numbers: int, the notebooks to keep; none keeps all.

    Returns:
        list of (`Path`, bool), up to the last one to keep that does not stand `ALONE`, and those that do.

    Raises:
        InputError: for a number that no notebook has.

    Example:
        >>> plan([Path("01_clean.ipynb"), Path("02_train.ipynb"), Path("03_use.ipynb")], [2])
        [(PosixPath('01_clean.ipynb'), False), (PosixPath('02_train.ipynb'), True)]
    """
    known = [int(path.name[:2]) for path in notebooks]
    numbers = set(numbers) or set(known)
    if numbers - set(known):
        raise InputError(f"there is no notebook {min(numbers - set(known))}; give numbers of {known}")
    last = max(numbers.difference(ALONE), default=0)
    numbered = zip(known, notebooks, strict=True)
    return [(path, n in numbers) for n, path in numbered if n in numbers or (n < last and n not in ALONE)]


def copy_repository(destination):
    """Copy what the notebooks need, and no data but the samples, into a new folder; returns the notebooks in it."""
    ignore = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for folder in ("captioning_utils", "notebooks", "data/samples"):
        shutil.copytree(ROOT / folder, Path(destination) / folder, ignore=ignore)
    shutil.copy(ROOT / "requirements.txt", destination)  # the set-up cell compares it with what is installed
    return find_notebooks(Path(destination) / "notebooks")


def execute_notebook(path, smoke=False):
    """Run a notebook from top to bottom in a kernel of its own.

    Args:
        path: `Path` of the notebook; it is only read.
        smoke: bool, whether it runs at the tests' tiny sizes.

    Returns:
        The notebook with clean outputs and their stamp.

    Raises:
        nbclient.exceptions.CellExecutionError: where a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    sources = [cell.source for cell in notebook.cells]
    if smoke:
        for cell in code_cells(notebook):
            cell.source = PROFILE.sub('PROFILE = "drawn_smoke"', cell.source)
    client = NotebookClient(
        notebook,
        timeout=SECONDS_PER_CELL,
        kernel_name="python3",
        coalesce_streams=True,  # progress bars as they looked at the end
        record_timing=False,  # the same run should give the same file
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(path.parent)}},
    )
    with tempfile.TemporaryDirectory() as profile:  # nobody's IPython start-up files
        client.execute(env=os.environ | {"IPYTHONDIR": profile})
    for cell, source in zip(notebook.cells, sources, strict=True):
        cell.source = source
    for cell in code_cells(notebook):
        cell.outputs = [output for output in map(_clean, cell.outputs) if _text(output).strip() or "data" in output]
    notebook.metadata.pop("widgets", None)
    notebook.metadata[STAMP] = compute_stamp(notebook)
    return notebook


def code_cells(notebook):
    """The code cells of a notebook: list."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def compute_stamp(notebook):
    """Hashes of a notebook's code, of the package's defaults that it builds on, and of its outputs: dict of str."""
    cells = code_cells(notebook)
    return {
        "code": _hash([cell.source for cell in cells if not _is_set_up(cell)]),
        "defaults": _hash_defaults(any(SHIPPED.search(cell.source) for cell in cells)),
        "outputs": _hash([cell.outputs for cell in cells]),
    }


@functools.cache
def _hash_defaults(shipped):
    """Of what changes outputs though no cell changes: the drawings, the default settings, the captioner if shipped."""
    load_backend()
    from captioning_utils.captioner import DEFAULT_CAPTIONER
    from captioning_utils.scenes.scenery import DRAWING_VERSION
    from captioning_utils.settings import GenerationConfig, TrainingConfig

    captioner = hashlib.sha256(DEFAULT_CAPTIONER.read_bytes()).hexdigest() if shipped else ""
    return _hash([captioner, DRAWING_VERSION, repr(GenerationConfig()), repr(TrainingConfig())])


def write_minutes(notebook, index, name, seconds):
    """Write how long a notebook took into its text and into the last column of its row in the index.

    Args:
        notebook: notebook node, changed in place; its text says "… machine minutes" once.
        index: str, the text of notebooks/README.md.
        name: str, the notebook's file.
        seconds: float.

    Returns:
        str, the index with the new number.

    Example:
        >>> notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("**Time.** 0 machine minutes.")])
        >>> write_minutes(notebook, "| [1](01_clean.ipynb) | clean | 9 |", "01_clean.ipynb", 100)
        '| [1](01_clean.ipynb) | clean | 1.7 |'
        >>> notebook.cells[0].source
        '**Time.** 1.7 machine minutes.'
    """
    minutes = f"{seconds / 60:.1f}"
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = MINUTES.sub(minutes, cell.source)
    return re.sub(rf"(\({re.escape(name)}\).*\|)[^|\n]*\|$", rf"\g<1> {minutes} |", index, flags=re.M)


def find_faults(notebook):
    """What is wrong with an executed notebook that is about to be committed.

    Args:
        notebook: notebook node, as `nbformat.read` gives it.

    Returns:
        list of str, one readable sentence a fault; empty for a good one.
    """
    cells = code_cells(notebook)
    outputs = [output for cell in cells for output in cell.outputs]
    texts = [cell.source for cell in notebook.cells if not _is_set_up(cell)] + [_text(output) for output in outputs]
    counts = [cell.execution_count for cell in cells]
    stamp, fresh = notebook.metadata.get(STAMP, {}), compute_stamp(notebook)
    paths = [found[0] for found in map(ABSOLUTE_PATH.search, texts) if found]
    faults = {
        "an output is an error": any(output.output_type == "error" for output in outputs),
        "the cells were not run from top to bottom": counts != list(range(1, 1 + len(cells))),
        "the outputs are older than the code": stamp.get("code") != fresh["code"],
        "the outputs are older than the default captioner, settings or drawings": stamp.get("defaults")
        != fresh["defaults"],
        "the outputs were not made by execute.py": stamp.get("outputs") != fresh["outputs"],
        f"it holds an absolute path, such as {paths[:1]}": paths,
        "an output is a widget": any("application/vnd.jupyter.widget-view+json" in o.get("data", {}) for o in outputs),
        f"it is larger than {MOST_BYTES:,} bytes": len(nbformat.writes(notebook).encode()) > MOST_BYTES,
    }
    return [f"{fault}; run: python notebooks/execute.py" for fault, is_there in faults.items() if is_there]


def main(arguments=None):
    """Execute all notebooks, or up to the last of some, and stamp those to keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("numbers", nargs="*", type=int, metavar="NUMBER", help="notebook to keep; all otherwise")
    numbers = parser.parse_args(arguments).numbers
    index, run = ROOT / "notebooks" / "README.md", datetime.now(UTC).isoformat(timespec="seconds")
    with tempfile.TemporaryDirectory() as folder:
        for copy, keep in plan(copy_repository(folder), numbers):
            started, processor = time.monotonic(), _processor_seconds()
            notebook = execute_notebook(copy)
            seconds, processor = time.monotonic() - started, _processor_seconds() - processor
            notebook.metadata[STAMP] |= {"run": run, "seconds": round(seconds)}
            if keep:
                text = write_minutes(notebook, index.read_text(encoding="utf-8"), copy.name, round(seconds))
                index.write_text(text, encoding="utf-8")
                with atomic_write(ROOT / "notebooks" / copy.name) as temporary:
                    nbformat.write(notebook, temporary)
            size = len(nbformat.writes(notebook).encode()) / 1000
            print(f"{copy.name}: {seconds:.0f} s ({processor:.0f} s of processor time), {size:.0f} kB", flush=True)
            for fault in find_faults(notebook):
                print(f"  {fault}", file=sys.stderr)


def _is_set_up(cell):
    """Whether it is the cell that set_up.py writes: it changes no output, and names Colab's folders."""
    return "set-up" in cell.metadata.get("tags", [])


def _clean(output):
    """Without colour codes and log lines of the machine."""
    if output.output_type == "stream":
        lines = output.text.splitlines(keepends=True)
        output.text = _COLOUR_CODES.sub("", "".join(line for line in lines if not _LOG_LINE.match(line)))
    return output


def _text(output):
    if output.output_type == "stream":
        return output.text
    pictures = ("image/png", "image/jpeg")  # an SVG is text
    return "\n".join(str(value) for kind, value in output.get("data", {}).items() if kind not in pictures)


def _hash(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _processor_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.exit(run_command(main))
