"""The pages say what the files say, and what they tell a reader to run, runs."""

import functools
import re
import runpy
import shutil
import warnings
from pathlib import Path

import pytest
from docs_commands import NOT_RUN, Step, check_step, collect_options, read_steps, run_step

import captioning_utils
from captioning_utils.__main__ import COMMANDS
from captioning_utils.base.files import write_json
from captioning_utils.captioner import captioner_path
from captioning_utils.commands import quickstart
from captioning_utils.commands.shell import OK, PARTLY
from captioning_utils.scenes import dataset as scenes_dataset
from captioning_utils.scenes import scene
from captioning_utils.settings import FAST_CAPTIONER

ROOT = Path(__file__).parents[1]
FILL_TABLES = runpy.run_path(str(ROOT / "docs" / "fill_tables.py"))
MAKE_ERRORS = runpy.run_path(str(ROOT / "docs" / "make_errors.py"))
FOLDERS = ("captioning_utils", "data", "docs", "notebooks", "results", "tests")
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))])
LINKED = ["train.py", "generate.py", "evaluate.py", "streamlit_app.py", "captioning_utils", "benchmarks", "notebooks"]
LINKED += ["tests", "results", "requirements.txt", "requirements-dev.txt", "pyproject.toml", "Dockerfile"]
SCENES = 20  # the fewest with two in val and two in test
# Files that a page takes for granted, each a captioner.
GIVEN = {"docs/deployment.md": ("image_caption_model.h5", "holiday.h5")}


def name_of(page):
    return page.relative_to(ROOT).as_posix()


pages = functools.partial(pytest.mark.parametrize, "page", ids=name_of)


def with_tables():
    return [page for page in PAGES if FILL_TABLES["TABLE"].search(page.read_text(encoding="utf-8"))]


@pages(with_tables())
def test_tables_are_those_of_the_results(page):
    text = page.read_text(encoding="utf-8")
    assert FILL_TABLES["fill_tables"](text, page.parent) == text


def test_the_readme_shows_the_results():
    assert ROOT / "README.md" in with_tables()


def test_the_errors_are_those_of_the_code():
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    assert MAKE_ERRORS["fill_page"](text) == text, "run: python docs/make_errors.py"


def test_every_error_says_what_to_do():
    messages = [text for each in MAKE_ERRORS["find_refusals"]() for text in each.messages]
    assert len(messages) > 300
    silent = [text for text in messages if not MAKE_ERRORS["split_message"](text)[1]]
    assert [text for text in silent if not text.endswith((": ⟨error⟩", ": ⟨reason⟩"))] == []


@pages(PAGES)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target, section in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", text):
        if "://" not in target:
            found = page.parent / target if target else page
            assert found.exists(), f"{page.name} links to {target}"
            if section:
                assert section in sections_of(found), f"{page.name} links to {target}#{section}"


def sections_of(page):
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


# ---- commands


@pytest.fixture(scope="module")
def things(tmp_path_factory, vgg16_weights):
    """What readers have on their disk, small: datasets, photos, captions of another captioner."""
    folder = tmp_path_factory.mktemp("things")
    drawn = scenes_dataset.draw_dataset(folder / "data" / "drawn", SCENES)
    for name in ("flickr8k", "my_photos"):
        shutil.copytree(drawn, folder / "data" / name)
    (folder / "data" / "features").mkdir()
    (folder / "data" / "samples").symlink_to(ROOT / "data" / "samples")
    (folder / "holiday").mkdir()
    for seed, name in enumerate(("photo.jpg", "a.jpg", "b.jpg", "holiday/1.jpg", "holiday/2.jpg")):
        scenes_dataset.draw_scene(scene.generate_scene(seed)).save(folder / name)
    write_json(folder / "refs.json", {"1.jpg": ["a dog runs", "the dog is running"], "2.jpg": ["two cats", "cats"]})
    write_json(folder / "captions_of_any_captioner.json", {"1.jpg": "a dog", "2.jpg": "two cats sleep"})
    return folder


@pytest.fixture
def reader(things, tmp_path, monkeypatch):
    """A folder of the reader's own: a clone, and in it the things above. The drawn dataset is small."""
    for name in LINKED:
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "README.md", tmp_path)  # copies of what a command may write
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    for path in things.iterdir():  # links, so that all pages share the features, which go by the photos' real path
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        scenes_dataset, "draw_dataset", functools.partial(scenes_dataset.draw_dataset, num_scenes=SCENES)
    )
    monkeypatch.setattr(quickstart, "NUM_SCENES", SCENES)
    monkeypatch.setattr(quickstart, "SETTINGS", quickstart.SETTINGS | {"epochs": 1})
    return tmp_path


# Modules run in a process that knows them already, and pdoc finds the package in the clone and behind a link.
@pytest.mark.filterwarnings("ignore:.*(found in sys.modules|may refer to either):RuntimeWarning")
@pages([page for page in PAGES if read_steps(page)])
def test_what_a_page_tells_to_run_runs(page, reader):
    for name in GIVEN.get(name_of(page), ()):
        shutil.copy(captioner_path(FAST_CAPTIONER), reader / name)
    names = {"__name__": "__main__"}
    for step in read_steps(page):
        where = f"{name_of(page)}:{step.line}: {step.text}"
        print(f"\n{where}", flush=True)
        if step.reason:
            check_step(step)
            continue
        allowed = (OK, PARTLY) if " check " in step.text else (OK,)  # twenty photos are worth a look
        assert run_step(step, names) in allowed, where


def test_each_exception_is_of_use():
    commands = [step.text for page in PAGES for step in read_steps(page) if step.language == "bash"]
    unused = [start for start in NOT_RUN if not any(re.match(start, command) for command in commands)]
    assert not unused, f"no page has a command like {unused}; take it out of NOT_RUN"


def test_a_wrong_option_on_a_page_would_be_seen(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    page = tmp_path / "page.md"
    page.write_text("```bash\nbash .ci/run && python -m captioning_utils push a.h5 me/it --licence mit  # no\n```\n")
    first, second = read_steps(page)
    assert (first.line, first.text) == (2, "bash .ci/run")
    assert (second.line, second.text) == (2, "python -m captioning_utils push a.h5 me/it --licence mit")
    assert first.reason
    assert second.reason
    with pytest.raises(AssertionError, match="its options are refused"):
        check_step(second)
    assert "unrecognized arguments: --licence" in capsys.readouterr().err


def test_a_wrong_answer_on_a_page_would_be_seen(capsys):
    names = {}
    assert run_step(Step(3, "python", ">>> two = 2\n>>> two\n2\n"), names) == 0
    assert run_step(Step(9, "python", ">>> two\n3\n"), names) == 1
    assert "line 9" in capsys.readouterr().out
    assert run_step(Step(12, "python", "two += 1"), names) == 0
    assert names["two"] == 3


# ---- reference


def test_the_reference_has_every_public_name_and_no_warning(tmp_path):
    make_api = runpy.run_path(str(ROOT / "docs" / "make_api.py"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_api["build_reference"](tmp_path)
    names = make_api["read_public_names"]()
    assert set(names["captioning_utils"]) == set(captioning_utils.__all__)
    for module, public in names.items():
        page = (tmp_path / f"{module.replace('.', '/')}.html").read_text(encoding="utf-8")
        for name in public:
            assert f'<section id="{name}">' in page, f"{module}.{name} is not in the reference; has it a docstring?"
    images = (tmp_path / "captioning_utils" / "images.html").read_text(encoding="utf-8")
    assert '<section id="resize_image">' not in images  # public is what docs/api.md lists


# ---- words


OF_OTHERS = {
    "--hypothesis-profile",
    *("--memory", "--cpus", "--check", "--no-browser", "--upgrade"),  # of docker, ruff, Jupyter, pip
    *("--every-refusal", "--hypothesis-profile"),  # of pytest
    *("--show", "--seeds", "--folder", "--only"),  # of results/reproduce.py and tests/faults/run.py
}


def test_every_option_that_a_page_names_exists():
    known = collect_options(COMMANDS) | OF_OTHERS
    for page in PAGES:
        prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for code in re.findall(r"`([^`]+)`", prose):
            unknown = set(re.findall(r"(?<!\S)--[a-z][\w-]+", code)) - known
            assert not unknown, f"{name_of(page)} names {unknown}"
