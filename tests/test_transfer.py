"""Downloads against a server on 127.0.0.1 that misbehaves in every way that servers do."""

import hashlib
import http.server
import threading

import pytest

from captioning_utils import InputError
from captioning_utils.base import transfer
from captioning_utils.base.transfer import check_digest, fetch_file

CONTENT = bytes(range(256)) * 1000


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT, with HTTP Range; `cuts` says after how many bytes each of the next answers breaks off."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.cuts, self.ranges, self.knows_ranges, self.status = CONTENT, [], [], True, 200
        self.shift, self.framing = 0, {}
        self.url = f"http://127.0.0.1:{self.server_port}/photos.zip"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.knows_ranges else 0
        whole = len(self.server.content)
        if start >= whole:
            self.send_error(416)
            return
        if self.server.status != 200:
            self.send_error(self.server.status)
            return
        start += self.server.shift
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        for name, value in (self.server.framing or {"Content-Length": str(whole - start)}).items():
            self.send_header(name, value)
        self.end_headers()
        end = start + self.server.cuts.pop(0) if self.server.cuts else whole
        self.wfile.write(self.server.content[start:end])
        self.close_connection = True


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(transfer, "WAITS", (0, 0))
    monkeypatch.setattr(transfer, "CHUNK", 1000)
    server = Server()
    yield server
    server.shutdown()
    server.server_close()


def test_a_whole_file(server, tmp_path, capfd):
    fetch_file(server.url, tmp_path / "a", len(CONTENT))
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert server.ranges == [None]
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "photos.zip: 100%" in captured.err


def test_goes_on_where_it_was_cut_off(server, tmp_path):
    server.cuts = [1500, 0, 100_000]
    fetch_file(server.url, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1500-", "bytes=1500-", "bytes=101500-"]


def test_goes_on_in_another_run(server, tmp_path):
    server.cuts = [5000, 0, 0]
    with pytest.raises(InputError, match=r"broke off at 5,000 of 256,000 bytes"):
        fetch_file(server.url, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT[:5000]
    fetch_file(server.url, tmp_path / "a", len(CONTENT))
    assert (tmp_path / "a").read_bytes() == CONTENT
    fetch_file(server.url, tmp_path / "a", len(CONTENT))
    assert server.ranges == [None, "bytes=5000-", "bytes=5000-", "bytes=5000-"]  # complete: nothing is asked


@pytest.mark.parametrize(
    ("there", "knows_ranges", "size"),
    [(CONTENT + b"more", True, None), (CONTENT + b"more", True, len(CONTENT)), (b"x" * 5000, False, None)],
)
def test_more_than_there_is_or_a_server_without_ranges_begins_again(server, tmp_path, there, knows_ranges, size):
    server.knows_ranges = knows_ranges
    (tmp_path / "a").write_bytes(there)
    fetch_file(server.url, tmp_path / "a", size)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_another_size_is_refused_at_once(server, tmp_path):
    with pytest.raises(InputError, match=r"is 256,000 bytes long, not 300,000; it is another file"):
        fetch_file(server.url, tmp_path / "a", 300_000)
    assert server.ranges == [None]
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("framing", "size", "message"),
    [
        ({"Connection": "close"}, 250_000, "sends more than 250,000 bytes"),
        ({"Connection": "close"}, 300_000, "ended after 256,000 of 300,000 bytes; try again"),
        ({"Transfer-Encoding": "chunked"}, 300_000, r"the download of \S+ broke off \(.+\); try again"),
    ],
)
def test_an_answer_of_unknown_length_is_counted(server, tmp_path, framing, size, message):
    server.framing = framing
    with pytest.raises(InputError, match=message):
        fetch_file(server.url, tmp_path / "a", size)


def test_bytes_from_another_place_are_refused(server, tmp_path):
    (tmp_path / "a").write_bytes(CONTENT[:5000])
    server.shift = 10
    with pytest.raises(InputError, match=r"asked for the bytes from 5,000 on and sent '5010-"):
        fetch_file(server.url, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT[:5000]


@pytest.mark.parametrize(("status", "asked"), [(404, 1), (503, 3)])
def test_a_refusal_ends_it_and_an_overloaded_server_is_asked_again(server, tmp_path, status, asked):
    (tmp_path / "a").write_bytes(CONTENT[:5000])
    server.status = status
    with pytest.raises(InputError, match=f"cannot be read .*{status}"):
        fetch_file(server.url, tmp_path / "a")
    assert len(server.ranges) == asked
    assert (tmp_path / "a").read_bytes() == CONTENT[:5000]


def test_no_server(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        fetch_file("http://127.0.0.1:1/a.zip", tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_digest(tmp_path):
    (tmp_path / "a").write_bytes(CONTENT)
    right = hashlib.sha256(CONTENT).hexdigest()
    check_digest(tmp_path / "a", "sha256", right)
    with pytest.raises(InputError, match=f"its SHA-256 is {right}, not 00"):
        check_digest(tmp_path / "a", "sha256", "00" * 32)
