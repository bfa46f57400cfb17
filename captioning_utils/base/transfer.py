"""Fetching a file from a server: goes on after a cut connection, watches size and hash, shows a progress bar."""

import hashlib
import queue
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from tqdm import tqdm

from captioning_utils.base.errors import InputError
from captioning_utils.base.types import AnyPath
from captioning_utils.base.wording import one_line

ANSWER_SECONDS = 10  # a server that has not answered by then is given up
WAITS = (1, 5, 15, 30)  # seconds before each new try of a download that broke off; they start anew when bytes arrive
CHUNK = 1 << 20
_GO_ON = "try again, which goes on from there"


class _BrokenOffError(InputError):
    """What may go better on the next try, unlike a refusal."""


def fetch_file(url: str, path: Path, size: int | None = None) -> None:
    """Download `url` to `path`, from the byte on at which an earlier download stopped.

    A connection that breaks off is made again, as long as something arrives; so is one that is silent for
    `ANSWER_SECONDS`. What has arrived stays at `path` when this raises, for the next call to go on from. Whether the
    bytes are the right ones is for `check_digest` to say.

    References:
        RFC 9110, HTTP Semantics, section 14 (Range requests).
    """
    waits = iter(WAITS)
    while True:
        before = _size_of(path)
        if size is not None and before == size:
            return
        try:
            _fetch_rest(url, path, size)
            return
        except _BrokenOffError as error:
            have = _size_of(path)
            waits = iter(WAITS) if have > before else waits
            seconds = next(waits, None) if have else None
            if seconds is None:
                raise InputError(str(error)) from error
        time.sleep(seconds)


def check_digest(path: AnyPath, algorithm: str, digest: str) -> None:
    """Refuse a file whose hash is another one.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a"
        >>> _ = path.write_bytes(b"")
        >>> check_digest(path, "md5", "d41d8cd98f00b204e9800998ecf8427e")
    """
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found != digest:
        name = {"md5": "MD5", "sha256": "SHA-256"}.get(algorithm, algorithm)
        raise InputError(
            f"{path} is damaged or another file: its {name} is {found}, not {digest}; delete it and get it again"
        )


def byte_bar(size: int | None, name: str, initial: int = 0) -> tqdm:
    """A progress bar on the standard error that counts bytes; `size` None or 0 where the whole is not known."""
    return tqdm(
        total=size or None, initial=initial, unit="B", unit_scale=True, unit_divisor=1024, desc=name, file=sys.stderr
    )


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _fetch_rest(url: str, path: Path, size: int | None) -> None:
    """One connection: ask for what is missing, and write it behind what is there."""
    have = _size_of(path)
    if size is not None and have > size:
        have = 0
    with _ask_from(url, have) as response:
        start = have if response.status == 206 else 0  # 200: a server that knows no ranges sends it all
        whole = _whole_size(response, url, start)
        if size is not None and whole not in (None, size):
            raise InputError(f"{url} is {whole:,} bytes long, not {size:,}; it is another file, get it elsewhere")
        with open(path, "r+b" if start else "wb") as file, byte_bar(whole or size, _name_of(url), start) as bar:
            file.seek(start)
            file.truncate()
            for chunk in _read_chunks(response, url):
                if size is not None and file.tell() + len(chunk) > size:
                    raise InputError(f"{url} sends more than {size:,} bytes; it is another file, get it elsewhere")
                file.write(chunk)
                bar.update(len(chunk))
    have = _size_of(path)
    if whole not in (None, have):
        raise _BrokenOffError(f"the download of {url} broke off at {have:,} of {whole:,} bytes; {_GO_ON}")
    if size not in (None, have):
        raise _BrokenOffError(f"{url} ended after {have:,} of {size:,} bytes; {_GO_ON}")


def _read_chunks(response: HTTPResponse, url: str) -> Iterator[bytes]:
    while True:
        try:
            chunk = response.read(CHUNK)
        except (OSError, HTTPException) as error:
            raise _BrokenOffError(f"the download of {url} broke off ({one_line(error)}); {_GO_ON}") from error
        if not chunk:
            return
        yield chunk


def _ask_from(url: str, start: int) -> HTTPResponse:
    """The server's answer to a request for all bytes from `start` on; for the whole file where it has none there."""
    try:
        return _answer(urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {}))
    except InputError as error:
        if isinstance(error.__cause__, urllib.error.HTTPError) and error.__cause__.code == 416:
            return _answer(urllib.request.Request(url))
        raise


def _answer(request: urllib.request.Request) -> HTTPResponse:
    """Open a request, giving up after ANSWER_SECONDS in all, however many addresses the server's name has."""
    answers: queue.SimpleQueue[HTTPResponse | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(urllib.request.urlopen(request, timeout=ANSWER_SECONDS))
        except (OSError, ValueError, HTTPException) as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=ANSWER_SECONDS)
    except queue.Empty:
        raise _BrokenOffError(f"{request.full_url} did not answer within {ANSWER_SECONDS} s; try again later") from None
    if isinstance(answer, Exception):
        message = f"{request.full_url} cannot be read ({one_line(answer)}); try again later"
        if isinstance(answer, urllib.error.HTTPError) and answer.code < 500:
            raise InputError(message) from answer
        raise _BrokenOffError(message) from answer
    return answer


def _whole_size(response: HTTPResponse, url: str, start: int) -> int | None:
    """The bytes of the whole file as the server states them, or None."""
    if not start:
        return int(response.headers.get("Content-Length") or 0) or None
    span, _, whole = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    if span.split("-")[0] != str(start):
        raise InputError(f"{url} was asked for the bytes from {start:,} on and sent {span!r:.80}; try again later")
    return int(whole) if whole.isdecimal() else None


def _name_of(url: str) -> str:
    return Path(urllib.parse.urlparse(url).path).name
