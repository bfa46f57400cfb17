import re
import shlex

import pytest
from test_packaging import ROOT
from toys import run

from captioning_utils import __main__
from captioning_utils.commands import shell
from captioning_utils.commands.deploy import (
    build_export_parser,
    build_pull_parser,
    build_push_parser,
    export_main,
    push_main,
)
from captioning_utils.commands.evaluate import build_evaluate_parser
from captioning_utils.commands.generate import build_generate_parser
from captioning_utils.commands.shell import OK, REFUSED

PARSERS = {
    "export": build_export_parser,
    "push": build_push_parser,
    "pull": build_pull_parser,
    "generate": build_generate_parser,
    "evaluate": build_evaluate_parser,
}
DEPLOYMENT = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")


def test_the_commands_name_themselves_as_they_were_called(monkeypatch, capsys):
    assert __main__.main(["--help"]) == OK
    assert "usage: python -m captioning_utils COMMAND" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["/usr/bin/captioning"])
    assert __main__.main() == OK
    assert "usage: captioning COMMAND" in capsys.readouterr().out
    assert shell.build_parser("pull", "{program}", "").description == "captioning pull"


def test_every_command_of_the_deployment_page_exists():
    commands = re.findall(
        r"^(?:captioning|python -m captioning_utils) (.*)$", DEPLOYMENT.replace("\\\n", ""), flags=re.MULTILINE
    )
    assert {command.split()[0] for command in commands} == set(PARSERS)
    for command in commands:
        name, *arguments = shlex.split(command, comments=True)
        PARSERS[name]().parse_args(arguments)


@pytest.mark.parametrize("content", ["[]", '{"photos": {}}', "{"])
def test_results_that_are_none_are_refused_before_the_work(tmp_path, capsys, content):
    (tmp_path / "results.json").write_text(content)
    assert run(push_main, "mine.h5", "me/dogs", "--results", tmp_path / "results.json") == REFUSED
    assert "results.json" in capsys.readouterr().err
    assert run(export_main, tmp_path / "none.h5", "--out", tmp_path / "out") == REFUSED
    assert "none.h5" in capsys.readouterr().err


@pytest.mark.skipif(not (ROOT / "streamlit_app.py").exists(), reason="the web page is not there yet")
def test_the_image_is_made_of_files_that_are_there_and_not_ignored():
    instructions = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = re.findall(r"^COPY (\S+) ", instructions, flags=re.MULTILINE)
    assert {f"!{name}" for name in copied} == {line for line in allowed if line.startswith("!")}
    missing = [name for name in copied if not (ROOT / name).exists()]
    assert missing == []
