"""The notebooks run from top to bottom, and what is committed is what their code gives."""

import ast
import importlib.util
import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"

_spec = importlib.util.spec_from_file_location("execute_notebooks", NOTEBOOKS / "execute.py")
execute = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(execute)

COMMITTED = execute.find_notebooks()
NEEDED = 3  # so many come in order and save what the others need, which need nothing of each other
ALONE = [path for path in COMMITTED if int(path.name[:2]) in execute.ALONE]  # they need the extra [scale], no other
COURSE = COMMITTED[:5]  # the others are electives
MOST_NAMES = 25  # of the package, in the course
WRITTEN_OUT = ("keras.Input", "layers.LSTM", "layers.Embedding", ".compile(", ".fit(", "yield", "pickle.dump(",
               "pickle.load(")  # fmt: skip
TEMPLATE = ("What you will learn", "What you need", "Time.", "Where you are in the pipeline", "## Set-up",
            "## Configuration", "## Check", "## What is saved", "## Limits",
            "## Exercises", "## References", "## Solutions")  # fmt: skip


@pytest.fixture(params=COMMITTED, ids=lambda path: path.stem)
def committed(request):
    """One committed notebook."""
    return nbformat.read(request.param, as_version=4)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A folder with what the notebooks need, and no data."""
    folder = tmp_path_factory.mktemp("clone")
    execute.copy_repository(folder)
    return folder


@pytest.fixture(scope="module")
def run(clone, vgg16_weights):
    """A function that runs the copy of a notebook, after those whose files it needs, each once; gives its faults."""
    faults = {}  # of those that have run

    def run(name):
        alone = name in {path.name for path in ALONE}
        if alone:
            pytest.importorskip("ray", reason="comes with the extra [scale]")
        for needed in [path.name for path in COMMITTED[:NEEDED] if path.name < name and not alone]:
            run(needed)
            if faults[needed]:
                pytest.fail(f"{name} cannot run: it needs the files of {needed}, which failed", pytrace=False)
        if name not in faults:
            faults[name] = ["it stopped"]
            faults[name] = execute.find_faults(execute.execute_notebook(clone / "notebooks" / name, smoke=True))
        return faults[name]

    return run


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_it_runs_with_its_checks_and_solutions(path, run):
    before = {file: file.read_bytes() for file in NOTEBOOKS.iterdir() if file.is_file()}
    assert run(path.name) == []
    assert {file: file.read_bytes() for file in before} == before


def test_together_they_save_what_the_pages_name(run, clone):
    for path in COMMITTED[:9]:
        run(path.name)
    saved = {path.name for path in (clone / "runs/notebooks/drawn_smoke").iterdir()}
    assert saved >= {"text.json", "features.pkl", "image_caption_model.h5", "evaluation.json", "captions.csv"}
    assert saved >= {"attention_model.h5", "transformer_model.h5", "self_critical_model.h5", "ensemble_model.h5"}
    assert saved >= {"learned_eyes_model.h5"}
    assert saved >= {"my_photos", "own_my_photos"}


def test_committed_outputs_are_fresh_and_clean(committed):
    assert execute.find_faults(committed) == []


def test_committed_outputs_show_free_pictures_only(committed):
    # Made by execute.py (see find_faults), which has no other photos than the samples and those that this line draws.
    configuration = next(cell.source for cell in committed.cells if "configuration" in cell.metadata.get("tags", []))
    assert execute.PROFILE.search(configuration)
    photos = re.search(r"^PHOTOS = (\S+)", configuration, flags=re.M)
    assert photos is None or photos[1] in ('Path("data/samples")', "None")


def test_committed_notebook_follows_the_template(committed):
    text = "\n".join(cell.source for cell in committed.cells if cell.cell_type == "markdown")
    places = [text.find(part) for part in TEMPLATE]
    assert -1 not in places
    assert places == sorted(places)
    exercises = text.partition("## Exercises")[2].partition("## References")[0]
    solutions = [cell for cell in committed.cells if "solution" in cell.metadata.get("tags", [])]
    assert 3 <= len(solutions) <= 5
    assert len(re.findall(r"^\d\. ", exercises, flags=re.M)) == len(solutions)


def test_committed_notebook_checks_its_goals_and_asks_for_predictions(committed):
    text = "\n".join(cell.source for cell in committed.cells if cell.cell_type == "markdown")
    goals = re.findall("^- ", text.partition("What you will learn")[2].partition("What you need")[0], flags=re.M)
    (check,) = [cell.source for cell in committed.cells if "check" in cell.metadata.get("tags", [])]
    assert 3 <= len(goals) <= 5
    assert len(re.findall(r"^ *assert ", check, flags=re.M)) >= len(goals)
    assert "**Predict first:**" in text
    assert "my_guess = " in "\n".join(cell.source for cell in execute.code_cells(committed))
    assert "On Flickr8k you will see" in text


def test_the_course_writes_the_essential_lines_itself():
    code = "\n".join(cell.source for path in COURSE for cell in execute.code_cells(nbformat.read(path, as_version=4)))
    assert [line for line in WRITTEN_OUT if line not in code] == []
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("captioning_utils"):
            names |= {alias.name for alias in node.names}
    assert len(names) <= MOST_NAMES, sorted(names)


@pytest.mark.parametrize("number", [6, 8, 9, 10])
def test_an_elective_is_short(number):
    notebook = nbformat.read(COMMITTED[number - 1], as_version=4)
    words = sum(len(cell.source.split()) for cell in notebook.cells if cell.cell_type == "markdown")
    lines = sum(len(cell.source.splitlines()) for cell in execute.code_cells(notebook)[1:])  # without the set-up
    assert words <= 1600
    assert lines <= 250


def test_all_were_executed_in_one_run_and_say_how_long_it_took(committed):
    notebooks = [nbformat.read(path, as_version=4) for path in COMMITTED if path not in ALONE]
    assert len({notebook.metadata[execute.STAMP].get("run") for notebook in notebooks}) == 1
    text = "\n".join(cell.source for cell in committed.cells if cell.cell_type == "markdown")
    minutes = f"{committed.metadata[execute.STAMP]['seconds'] / 60:.1f}"
    assert execute.MINUTES.findall(text) == [minutes]
    assert re.search(r"minutes\s+of\s+study", text)


def test_the_index_says_the_same_minutes_as_the_notebooks():
    index = (NOTEBOOKS / "README.md").read_text(encoding="utf-8")
    for path in COMMITTED:
        seconds = nbformat.read(path, as_version=4).metadata[execute.STAMP]["seconds"]
        (row,) = re.findall(rf"^.*\({path.name}\).*\|$", index, flags=re.M)
        assert row.split("|")[-2].strip() == f"{seconds / 60:.1f}"


def printed(path):
    """All that a committed notebook prints: str."""
    notebook = nbformat.read(path, as_version=4)
    return "\n".join(output.get("text", "") for cell in execute.code_cells(notebook) for output in cell.outputs)


def test_notebooks_agree_on_the_scores_of_the_same_captioner():
    found = r"BLEU-4 ([\d.]+)  ROUGE-L ([\d.]+)  CIDEr-D ([\d.]+)\n\(protocol standard, [\d,]+ photos, 5 references"
    (evaluated,) = set(re.findall(found, printed(COMMITTED[3])))
    (compared,) = set(re.findall(r"^merge +(\d+\.\d) +(\d+\.\d) +(\d+\.\d) ", printed(COMMITTED[7]), flags=re.M))
    assert evaluated == compared


def test_links_between_files_lead_somewhere(committed):
    text = "\n".join(cell.source for cell in committed.cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)#:\s]+)\)", text)  # no colon: not those into the web
    assert [link for link in links if not (NOTEBOOKS / link).exists()] == []


def test_index_names_every_notebook():
    index = (NOTEBOOKS / "README.md").read_text(encoding="utf-8")
    assert len(COMMITTED) >= 10
    assert [path.name for path in COMMITTED if f"({path.name})" not in index] == []


def test_some_are_kept_and_those_before_them_run():
    paths = [Path(f"{number:02}_any.ipynb") for number in (1, 2, 3, 5, 10)]
    assert execute.plan(paths) == [(path, True) for path in paths]
    assert execute.plan(paths, [3, 1]) == [(paths[0], True), (paths[1], False), (paths[2], True)]
    assert execute.plan(paths, [10]) == [(paths[4], True)]
    assert execute.plan(paths, [2, 10]) == [(paths[0], False), (paths[1], True), (paths[4], True)]
    with pytest.raises(ValueError, match=r"no notebook 4; give numbers of \[1, 2, 3, 5, 10\]"):
        execute.plan(paths, [4])


def test_a_word_for_a_number_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        execute.main(["six"])
    assert "invalid int value: 'six'" in capsys.readouterr().err


def test_smoke_runs_at_the_tests_sizes_and_keeps_the_code(tmp_path):
    path = tmp_path / "any.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell('PROFILE = "drawn"  # or another\nprint(PROFILE)')]), path)
    (cell,) = execute.execute_notebook(path, smoke=True).cells
    assert (cell.source.splitlines()[0], cell.outputs[0].text) == ('PROFILE = "drawn"  # or another', "drawn_smoke\n")


@pytest.fixture
def sound():
    """A small notebook as execute.py leaves it."""
    notebook = new_notebook(cells=[new_code_cell("1 + 1", execution_count=1)])
    notebook.cells[0].outputs = [new_output("stream", text="2\n")]
    notebook.metadata[execute.STAMP] = execute.compute_stamp(notebook)
    assert execute.find_faults(notebook) == []
    return notebook


def change_code(notebook):
    notebook.cells[0].source = "1 + 2"


def change_output(notebook):
    notebook.cells[0].outputs[0].text = "3\n"


def change_defaults(notebook):
    notebook.metadata[execute.STAMP]["defaults"] = "those of another captioner"


def run_out_of_order(notebook):
    notebook.cells[0].execution_count = 2


def restamped(output):
    def tamper(notebook):
        notebook.cells[0].outputs = [output]
        notebook.metadata[execute.STAMP] = execute.compute_stamp(notebook)

    return tamper


@pytest.mark.parametrize(
    ("tamper", "fault"),
    [
        (change_code, "older than the code"),
        (change_defaults, "older than the default captioner"),
        (change_output, "not made by execute.py"),
        (run_out_of_order, "not run from top to bottom"),
        (restamped(new_output("error", ename="ValueError", evalue="no", traceback=[])), "is an error"),
        (restamped(new_output("stream", text="saved to /home/ann/photos")), "absolute path"),
        (restamped(new_output("stream", text=r"saved to C:\photos")), "absolute path"),
        (restamped(new_output("stream", text="saved to D:/photos")), "absolute path"),
        (restamped(new_output("stream", text="see file:///Users/ann/report.html")), "absolute path"),
        (restamped(new_output("display_data", {"image/svg+xml": "<a href='/home/ann/'/>"})), "absolute path"),
        (restamped(new_output("display_data", {"image/png": "A" * 1_000_000})), "larger than"),
        (restamped(new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}})), "widget"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_faults_are_found(sound, tamper, fault):
    tamper(sound)
    assert any(fault in found for found in execute.find_faults(sound))


def test_progress_bars_keep_their_last_state_only(tmp_path):
    code = 'import sys\nsys.stderr.write("1 of 2\\r2 of 2\\n")\nprint("\\x1b[31mred\\x1b[0m")'
    path = tmp_path / "bar.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(code)]), path)
    (cell,) = execute.execute_notebook(path).cells
    assert {output.name: output.text for output in cell.outputs} == {"stderr": "2 of 2\n", "stdout": "red\n"}
