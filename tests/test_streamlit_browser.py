"""The web page in a real browser: from a photo to its sentence, on a desk, on a phone, in the dark.

The screenshots are kept in the folder that `PAGE_SCREENSHOTS` names, otherwise in pytest's temporary folder.
"""

import csv
import io
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from captioning_utils.captioner import DEFAULT_CAPTIONER, predict_alternatives
from captioning_utils.images import SAMPLES
from captioning_utils.scenes import draw_scene, generate_scene

sync_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need Playwright")
pytest.importorskip("streamlit", reason="the page needs Streamlit (the extra app)")
ROOT = Path(__file__).parents[1]
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE = 600_000  # milliseconds; a busy machine is slow
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
DESK = {"viewport": {"width": 1360, "height": 850}}

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome is installed")


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def visit(served_page, browser):
    """A function that opens the page in a window of its own and waits for the first sentence."""
    contexts = []

    def visit(**window):
        contexts.append(browser.new_context(**(DESK | window)))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(served_page.address)
        wait_for_results(page)
        return page

    yield visit
    for context in contexts:
        context.close()


def wait_for_results(page):
    page.get_by_role("button", name="Download CSV").wait_for()
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory):
    folder = Path(os.environ.get("PAGE_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def photograph(page, path):
    """The whole page, not only the part in the window."""
    height = page.locator("[data-testid=stMain]").evaluate("main => main.scrollHeight")
    page.set_viewport_size({"width": page.viewport_size["width"], "height": height})
    page.wait_for_timeout(500)  # pictures and the layout settle
    page.screenshot(path=path)
    assert Image.open(path).getextrema() != ((0, 0),) * 3


def upload(page, *files):
    page.get_by_role("radio", name="Your photos").click()
    page.locator("[data-testid=stMain] input[type=file]").set_input_files(list(files))


def as_file(seed):
    file = io.BytesIO()
    draw_scene(generate_scene(seed)).save(file, "PNG")
    return {"name": f"scene_{seed}.png", "mimeType": "image/png", "buffer": file.getvalue()}


def test_from_upload_to_caption_and_download(visit, screenshots):
    page = visit()
    photograph(page, screenshots / "opened.png")
    upload(page, as_file(0), as_file(35))
    expected = predict_alternatives([draw_scene(generate_scene(seed)) for seed in (0, 35)], num_captions=3)
    for alternatives in expected:
        page.get_by_role("heading", name=alternatives[0].caption, exact=True).wait_for()
        page.get_by_role("img", name=alternatives[0].caption, exact=True).wait_for()
    wait_for_results(page)
    rows = [
        {"image": name, "captioner": DEFAULT_CAPTIONER.stem, "caption": each.caption, "score": round(each.score, 4)}
        for name, alternatives in zip(("scene_0.png", "scene_35.png"), expected, strict=True)
        for each in alternatives
    ]
    assert json.loads(download(page, "Download JSON")) == rows
    assert [row["caption"] for row in csv.DictReader(io.StringIO(download(page, "Download CSV")))] == [
        row["caption"] for row in rows
    ]
    photograph(page, screenshots / "two_photos.png")


def download(page, name):
    with page.expect_download() as waiting:
        page.get_by_role("button", name=name).click()
    return Path(waiting.value.path()).read_text(encoding="utf-8")


def test_a_text_file_named_jpg_is_refused_in_a_sentence(visit, screenshots):
    page = visit()
    upload(page, {"name": "notes.jpg", "mimeType": "image/jpeg", "buffer": b"a shopping list"})
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert alert.inner_text().endswith(
        "notes.jpg is not a photo that can be read here; give a JPEG, PNG, WebP, TIFF, GIF or BMP file"
    )
    photograph(page, screenshots / "refused.png")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_light_and_dark(visit, screenshots, scheme):
    page = visit(**PHONE, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    (background,) = {page.locator("[data-testid=stApp]").evaluate("app => getComputedStyle(app).backgroundColor")}
    brightness = sum(map(int, background.removeprefix("rgb(").rstrip(")").split(","))) / 3
    assert (brightness < 64) == (scheme == "dark")
    photograph(page, screenshots / f"phone_{scheme}.png")


def test_every_image_and_control_has_a_name_without_markdown(visit):
    page = visit()
    heard = page.locator("body").aria_snapshot()  # what a screen reader says
    roles = ("button", "combobox", "img", "radio", "slider")
    lines = [line.strip(" -'") for line in heard.splitlines()]
    controls = [line for line in lines if line.split(" ")[0].rstrip(":") in roles]
    assert len(controls) > 25
    assert [line for line in controls if '"' not in line] == []
    assert [line for line in controls if "**" in line or ":gray" in line] == []


def test_a_photograph_can_be_chosen_by_keyboard_alone(visit):
    page = visit()
    (alternatives,) = predict_alternatives([SAMPLES / "cat.jpg"])
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText").strip() == "Cat":
            break
    page.keyboard.press("Enter")
    page.get_by_role("heading", name=alternatives[0].caption, exact=True).wait_for()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_stays_bounded_with_the_largest_photo(served_page, visit):
    page = visit()
    before = peak_memory(served_page.process)  # with Keras and a caption: how much that is depends on the machine
    file = io.BytesIO()
    Image.new("RGBA", (9900, 9000), (0, 200, 0, 128)).save(file, "PNG")  # see-through costs most
    upload(page, {"name": "largest.png", "mimeType": "image/png", "buffer": file.getvalue()})
    page.get_by_text("9900×9000 pixels").wait_for()
    pixels = 9900 * 9000 * 4  # bytes, decoded
    assert peak_memory(served_page.process) - before < 4 * pixels


def peak_memory(process):
    """Bytes that a process has held at the most."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status)[1])
