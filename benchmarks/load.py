"""What does the web page do under load: fifty visitors at once, each with photos of their own? Linux only.

    python benchmarks/load.py --seconds 300

Starts the page, and opens a session for every visitor, with the websocket and the uploads of a browser. A visitor
uploads a photo, waits for its sentences, fetches the table, and compares it with what the captioner says of this very
photo without a page; then comes the next photo. Every tenth upload is no photo, which must be refused by its name.
In the end twice as many come at once as there are places: each gets its sentences, or is told that the queue is full.
"""

import argparse
import contextlib
import io
import itertools
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from pathlib import Path
from typing import NamedTuple

from measure import read_process, whole
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Common_pb2 import FileUploaderState, StringArray, UploadedFileInfo
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import connect

sys.path.insert(0, str(Path(__file__).parents[1]))

from captioning_utils.app.queue import PLACES
from captioning_utils.commands.shell import run_command
from captioning_utils.scenes import draw_scene, generate_scene
from captioning_utils.settings import FAST_CAPTIONER

ROOT = Path(__file__).parents[1]
PATIENCE = 900  # seconds that a visitor waits for sentences
FULL = "the queue is full"
SAYS = {"alert": "body", "exception": "message"}
UPLOADER = "Photos, one or many"


class Page(NamedTuple):
    """A page that is served."""

    address: str
    process: subprocess.Popen
    folder: Path  # of its temporary files


@contextlib.contextmanager
def serve_page(folder):
    """Run the page, its temporary files in a folder; gives a `Page`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", "--server.headless=true"]
    options = [f"--server.port={port}", "--server.address=127.0.0.1", "--server.fileWatcherType=none"]
    environment = os.environ | {"TMPDIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        [*command, *options], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    page = Page(f"http://127.0.0.1:{port}", process, Path(folder))
    try:
        wait_until_healthy(page)
        yield page
    finally:
        process.terminate()
        process.wait()


def wait_until_healthy(page):
    """Wait until a page's server answers."""
    for _ in range(600):
        if page.process.poll() is not None:
            raise RuntimeError("the page's server has ended")
        try:
            with urllib.request.urlopen(f"{page.address}/_stcore/health"):
                return
        except OSError:
            time.sleep(0.5)
    raise RuntimeError("the page's server does not answer")


class Visitor:
    """A session of the page, as a browser has one."""

    def __init__(self, address):
        self.address, self.states, self.widgets, self.session = address, {}, {}, ""
        with urllib.request.urlopen(f"{address}/_stcore/health") as answer:
            self.token = re.search("_streamlit_xsrf=([^;]+)", answer.headers["Set-Cookie"])[1]
        self.headers = {"Cookie": f"_streamlit_xsrf={self.token}", "X-Xsrftoken": self.token}
        stream = f"{address.replace('http', 'ws')}/_stcore/stream"
        protocols = ["streamlit", self.token]
        connection = connect(stream, subprotocols=protocols, additional_headers=self.headers, max_size=None)
        self.open = contextlib.ExitStack()
        self.stream = self.open.enter_context(connection)
        self.run()

    def run(self):
        """Run the page with all that was chosen; gives what it shows: list of (kind, element)."""
        message = BackMsg()
        message.rerun_script.widget_states.widgets.extend(self.states.values())
        message.rerun_script.SetInParent()
        self.stream.send(message.SerializeToString())
        shown = []
        while (message := self.receive()).WhichOneof("type") != "script_finished":
            if message.WhichOneof("type") == "new_session":
                self.session = message.new_session.initialize.session_id
            if message.delta.HasField("new_element"):
                kind = message.delta.new_element.WhichOneof("type")
                element = getattr(message.delta.new_element, kind)
                shown.append((kind, element))
                if hasattr(element, "label"):
                    self.widgets[element.label] = element
        return shown

    def receive(self):
        message = ForwardMsg()
        message.ParseFromString(self.stream.recv(timeout=PATIENCE))
        return message

    def choose(self, label, **value):
        """Set a control; `value` is the field of its state."""
        name = self.widgets[label].id
        self.states[name] = WidgetState(id=name, **value)

    def upload(self, name, content):
        """Give the page a file, in place of the last one; gives its place on the server."""
        message = BackMsg()
        message.file_urls_request.request_id = name
        message.file_urls_request.file_names.append(name)
        message.file_urls_request.session_id = self.session
        self.stream.send(message.SerializeToString())
        while (message := self.receive()).WhichOneof("type") != "file_urls_response":
            pass
        (urls,) = message.file_urls_response.file_urls
        border = uuid.uuid4().hex
        head = f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        body = head.encode() + content + f"\r\n--{border}--\r\n".encode()
        self.request(urls.upload_url, "PUT", body, {"Content-Type": f"multipart/form-data; boundary={border}"})
        info = UploadedFileInfo(name=name, size=len(content), file_id=urls.file_id, file_urls=urls)
        self.choose(UPLOADER, file_uploader_state_value=FileUploaderState(uploaded_file_info=[info]))
        return urls

    def describe(self, name, content):
        """Have a photo described; gives the rows of its table, or what the page says instead."""
        urls = self.upload(name, content)
        shown = self.run()
        tables = [each.url for kind, each in shown if kind == "download_button" and each.label.endswith("JSON")]
        rows = json.loads(self.request(tables[0])) if tables else None
        self.request(urls.delete_url, "DELETE")
        said = [getattr(each, SAYS[kind]) for kind, each in shown if kind in SAYS]
        return rows or " ".join(said).replace("\\", "")

    def request(self, path, method="GET", body=None, headers=()):
        headers = self.headers | dict(headers)
        request = urllib.request.Request(self.address + path, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.read()


class Load:
    """Visitors, all at once, and what became of their photos.

    Args:
        address: str, where the page is served.
        captioner: str, the name of a shipped captioner.
        photos: list of bytes.
    """

    def __init__(self, address, captioner, photos):
        from captioning_utils.captioner import load_captioner  # which starts TensorFlow

        self.address, self.captioner, self.photos = address, captioner, photos
        self.expected = load_captioner(captioner).caption_images(list(map(io.BytesIO, photos)), num_captions=3)
        self.seconds, self.refused, self.full, self.wrong = [], 0, 0, []

    def visit(self, number, until):
        """One visitor, who stays until a time, for one photo at least."""
        try:
            visitor = Visitor(self.address)
            visitor.choose("What shall be described?", string_array_value=StringArray(data=["Your photos"]))
            visitor.choose("Describe with", string_value=self.captioner)
            visitor.run()
            for turn in itertools.count():
                self.give(visitor, number + turn, f"photo_{number}_{turn}.jpg")
                if time.monotonic() >= until:
                    break
            visitor.open.close()
        except Exception as error:
            self.wrong.append(f"visitor {number}: {error!r}")

    def give(self, visitor, turn, name):
        """Give one photo, each tenth time something else, and check what comes back."""
        started, chosen = time.monotonic(), turn * 7 % len(self.photos)
        is_photo = turn % 10 != 9
        answer = visitor.describe(name, self.photos[chosen] if is_photo else b"a shopping list")
        if is_photo and is_right(answer, name, self.expected[chosen]):
            self.seconds.append(time.monotonic() - started)
        elif FULL in answer:
            self.full += 1
        elif not is_photo and f"{name} is not a photo" in answer:
            self.refused += 1
        else:
            self.wrong.append(f"{name}: {answer!r:.300}, not {self.expected[chosen][0]}")

    def run(self, visitors, seconds):
        """Let visitors come at once, and stay for some seconds; gives photos a second."""
        before, started = len(self.seconds), time.monotonic()
        threads = [threading.Thread(target=self.visit, args=(each, started + seconds)) for each in range(visitors)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return (len(self.seconds) - before) / (time.monotonic() - started)


def is_right(rows, name, expected):
    """Whether a table is that of a photo: its name, its sentences, and its scores but for rounding."""
    return (
        isinstance(rows, list)
        and [(row["image"], row["caption"]) for row in rows] == [(name, each.caption) for each in expected]
        and all(abs(row["score"] - each.score) < 0.01 for row, each in zip(rows, expected, strict=True))
    )


def draw_photos(number):
    """Drawn scenes as JPEG files of the size that a phone sends: list of bytes."""
    photos = []
    for seed in range(number):
        file = io.BytesIO()
        draw_scene(generate_scene(seed)).resize((1600, 1200)).save(file, "JPEG", quality=90)
        photos.append(file.getvalue())
    return photos


def watch(page, readings, stop):
    """Note every second: megabytes of memory, open files, files in the temporary folder."""
    while not stop.wait(1):
        readings.append((*read_process(page.process.pid), len(os.listdir(page.folder))))


def list_clone():
    """All files of the clone, with the time of their last change."""
    return {path: path.stat().st_mtime_ns for path in ROOT.rglob("*") if ".git" not in path.parts and path.is_file()}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--visitors", type=whole, default=50)
    parser.add_argument("--seconds", type=whole, default=300)
    parser.add_argument("--warm_up", type=whole, default=60, help="seconds before, in which caches fill")
    parser.add_argument("--photos", type=whole, default=200, help="different photos")
    parser.add_argument("--captioner", default=FAST_CAPTIONER, help="one that ships with the package")
    options = parser.parse_args(arguments)
    before = list_clone()
    with tempfile.TemporaryDirectory() as folder, serve_page(folder) as page:
        load = Load(page.address, options.captioner, draw_photos(options.photos))
        readings, stop = [], threading.Event()
        threading.Thread(target=watch, args=(page, readings, stop), daemon=True).start()
        alone = load.run(1, options.warm_up / 2)
        load.run(options.visitors, options.warm_up)
        load.seconds, warm = [], len(readings)
        together = load.run(options.visitors, options.seconds)
        done = len(readings)
        if not load.seconds:
            raise SystemExit("\n".join(load.wrong[:10]))
        answers, median, slowest = len(load.seconds), statistics.median(load.seconds), max(load.seconds)
        load.run(2 * PLACES, 0)
        stop.set()
        left = os.listdir(folder)
    print(f"{answers} photos of {options.visitors} visitors in {options.seconds} s: {together:.2f} a second")
    print(f"one visitor alone: {alone:.2f} a second; of all, each waits {median:.1f} s, at the most {slowest:.1f} s")
    for name, column in (("memory, MB", 0), ("open files", 1), ("temporary files", 2)):
        values = [each[column] for each in readings[warm:done]]
        third = len(values) // 3 or 1
        first, last = statistics.mean(values[:third]), statistics.mean(values[-third:])
        highest = max(each[column] for each in readings)
        print(f"{name}: {first:.0f} in the first third, {last:.0f} in the last, at the most {highest:.0f}")
    print(f"what is no photo, refused by its name: {load.refused}")
    print(f"of {2 * PLACES} visitors at once, told that the queue is full: {load.full}")
    changed = [str(path) for path, stamp in list_clone().items() if before.get(path) != stamp]
    print(f"lost, swapped or wrong: {len(load.wrong)}; temporary files left: {len(left)}; changed: {len(changed)}")
    print(*load.wrong[:10], *changed[:10], sep="\n")
    return 1 if load.wrong or left or changed else 0


if __name__ == "__main__":
    sys.exit(run_command(main))
