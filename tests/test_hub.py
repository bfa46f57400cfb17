"""Push and pull against a hub on 127.0.0.1 that speaks the routes which huggingface_hub calls."""

import base64
import hashlib
import http.server
import json
import threading

import huggingface_hub
import pytest
from toys import make_captioner, run

from captioning_utils import InputError
from captioning_utils.captioner import shipped_captioners
from captioning_utils.commands import deploy as deploy_commands
from captioning_utils.commands.shell import OK, REFUSED
from captioning_utils.sharing import build_model_card, hub
from captioning_utils.sharing.model_card import CAPTIONER_FILE

TOKEN = "hf_a_secret_of_the_user"


class FakeHub(http.server.ThreadingHTTPServer):
    """Repositories in memory: name → file name → bytes."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories = {}
        self.created = []
        self.commits = []
        self.refuse_with = None  # an HTTP status
        self.sent = []  # the paths of all files whose content went out

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.refuse_with or self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._answer({"error": f"bad credentials: {self.headers.get('Authorization')}"})
        if self.path == "/api/repos/create":
            document = json.loads(body)
            name = f"{document['organization']}/{document['name']}"
            self.server.repositories.setdefault(name, {})
            self.server.created.append(document)
            return self._answer({"url": f"{self.server.address}/{name}", "name": name}, 200)
        if self.path == "/api/validate-yaml":
            return self._answer({"errors": [], "warnings": []}, 200)
        if "/preupload/" in self.path:
            paths = [file["path"] for file in json.loads(body)["files"]]
            files = [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in paths]
            return self._answer({"files": files}, 200)
        return self._commit([json.loads(line) for line in body.splitlines()])

    def _commit(self, lines):
        _, _, _, user, name, *_ = self.path.split("/")  # /api/models/user/name/commit/main
        self.server.commits.append(lines[0]["value"]["summary"])
        for line in lines[1:]:
            assert line["value"]["encoding"] == "base64"
            content = base64.b64decode(line["value"]["content"])
            self.server.repositories[f"{user}/{name}"][line["value"]["path"]] = content
        self._answer({"commitUrl": f"{self.server.address}/{user}/{name}/commit/1", "commitOid": "1" * 40}, 200)

    def do_HEAD(self):
        self.do_GET(body=False)

    def do_GET(self, body=True):
        _, user, name, _, _, *path = self.path.split("?")[0].split("/")  # /user/name/resolve/main/file
        content = self.server.repositories.get(f"{user}/{name}", {}).get("/".join(path))
        if self.server.refuse_with or content is None:
            return self._answer({"error": "no"}, self.server.refuse_with or 404)
        self.server.sent += [self.path] if body else []
        headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": "1" * 40}
        self._send(200, content, headers, body)

    def _answer(self, document, status=None):
        self._send(status or self.server.refuse_with or 401, json.dumps(document).encode(), {})

    def _send(self, status, content, headers, body=True):
        self.send_response(status)
        for name, value in (headers | {"Content-Length": len(content), "Content-Type": "application/json"}).items():
            self.send_header(name, str(value))
        self.end_headers()
        if body and self.command != "HEAD":
            self.wfile.write(content)


@pytest.fixture
def server(monkeypatch):
    """A hub of our own, which `hub` talks to with a token."""
    server = FakeHub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(hub, "connect", lambda: huggingface_hub.HfApi(endpoint=server.address, token=TOKEN))
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def captioner():
    return make_captioner()


@pytest.fixture
def path(captioner, tmp_path):
    captioner.save(tmp_path / "mine.h5")
    return tmp_path / "mine.h5"


def test_a_captioner_comes_back_as_it_went(server, captioner, path, tmp_path, capsys):
    assert run(deploy_commands.push_main, path, "me/dogs", "--license", "mit") == OK
    assert f"{server.address}/me/dogs" in capsys.readouterr().out
    assert server.commits == [f"Captioner {captioner.fingerprint}"]
    assert server.repositories["me/dogs"][CAPTIONER_FILE] == path.read_bytes()
    assert server.repositories["me/dogs"]["README.md"].decode() == build_model_card(captioner, "me/dogs", "mit")
    assert run(deploy_commands.pull_main, "me/dogs", "--out", tmp_path / "again.h5") == OK
    assert captioner.fingerprint in capsys.readouterr().out
    assert (tmp_path / "again.h5").read_bytes() == path.read_bytes()


def test_a_shipped_captioner_goes_by_its_name(server):
    hub.push_captioner("flickr8k_merge", "me/dogs")
    sent = server.repositories["me/dogs"][CAPTIONER_FILE]
    assert sent == shipped_captioners()["flickr8k_merge"].read_bytes()


def test_private_is_said_to_the_hub(server, path):
    hub.push_captioner(path, "me/dogs", private=True)
    hub.push_captioner(path, "me/cats")
    assert [document.get("visibility") for document in server.created] == ["private", None]


def test_pull_names_the_file_after_the_repository(server, path, tmp_path, monkeypatch):
    hub.push_captioner(path, "me/dogs")
    monkeypatch.chdir(tmp_path)
    assert run(deploy_commands.pull_main, "me/dogs") == OK
    assert (tmp_path / "dogs.h5").read_bytes() == path.read_bytes()


def test_a_file_that_is_no_captioner_is_not_kept(server, path, tmp_path, capsys):
    target = tmp_path / "kept.h5"
    target.write_bytes(b"what was there before")
    for content in (b"\x80\x04cos\nsystem\n", path.read_bytes()[:-100]):
        server.repositories["me/bad"] = {CAPTIONER_FILE: content}
        assert run(deploy_commands.pull_main, "me/bad", "--out", target) == REFUSED
        assert "error:" in capsys.readouterr().err
        assert target.read_bytes() == b"what was there before"


def test_a_file_larger_than_any_captioner_is_not_fetched(server, path, tmp_path, monkeypatch):
    hub.push_captioner(path, "me/huge")
    monkeypatch.setattr(hub, "LARGEST", path.stat().st_size - 1)
    with pytest.raises(InputError, match=r"of me/huge has [\d,]+ bytes, a captioner has [\d,]+ at most"):
        hub.pull_captioner("me/huge", tmp_path / "out.h5")
    assert server.sent == []
    assert not (tmp_path / "out.h5").exists()
    monkeypatch.setattr(hub, "LARGEST", path.stat().st_size)
    assert hub.pull_captioner("me/huge", tmp_path / "out.h5").fingerprint
    assert len(server.sent) == 1


def test_no_file_that_is_no_captioner_is_pushed(server, tmp_path):
    (tmp_path / "notes.h5").write_bytes(b"notes")
    with pytest.raises(InputError, match="no readable HDF5"):
        hub.push_captioner(tmp_path / "notes.h5", "me/dogs")
    assert server.repositories == {}


@pytest.mark.parametrize(("status", "advice"), [(401, "hf auth login"), (403, "right to write"), (500, "later")])
def test_refusals_are_one_line_without_the_token(server, path, capsys, status, advice):
    server.refuse_with = status
    assert run(deploy_commands.push_main, path, "me/dogs") == REFUSED
    shown = "".join(capsys.readouterr())
    assert f"error {status}" in shown
    assert advice in shown
    assert TOKEN not in shown


@pytest.mark.parametrize(("name", "message"), [("me/none", "error 404"), ("a/b/c", "give user/name")])
def test_what_is_not_there_cannot_be_pulled(server, tmp_path, name, message):
    with pytest.raises(InputError, match=message):
        hub.pull_captioner(name, tmp_path / "out.h5")
    assert list(tmp_path.iterdir()) == []


def test_a_hub_that_does_not_answer(path, monkeypatch):  # not pull: huggingface_hub tries again for 23 seconds
    monkeypatch.setattr(hub, "connect", lambda: huggingface_hub.HfApi(endpoint="http://127.0.0.1:9", token=TOKEN))
    with pytest.raises(InputError, match=r"127\.0\.0\.1:9 does not answer"):
        hub.push_captioner(path, "me/dogs")


def test_without_huggingface_hub_the_message_says_what_to_install(path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'captioning-utils\[hub\]'"):
        hub.push_captioner(path, "me/dogs")
