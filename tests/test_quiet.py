import os
import subprocess
import sys

import pytest

NOISE = "import os; from captioning_utils.base.backend import held_back_stderr\nwith held_back_stderr():\n    "


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


def test_what_is_printed_meanwhile_is_held_back_and_shown_after_a_failure():
    assert run(NOISE + "os.write(2, b'noise')").stderr == ""
    assert "noise" in run(NOISE + "os.write(2, b'noise'); raise OSError").stderr


@pytest.mark.parametrize("loss", ["sys.stderr = None", "sys.stderr = None; os.close(2)"])
def test_without_a_standard_error_it_works_as_well(loss):
    result = run(f"import os, sys\n{loss}\n{NOISE}pass\nprint('done')")
    assert (result.stdout, result.returncode) == ("done\n", 0)


def test_the_first_use_of_a_name_that_needs_keras_is_silent():
    """TensorFlow's own lines, an error about CUDA among them, look to a newcomer as if something had failed."""
    code = "from captioning_utils import predict_caption\nimport keras\nkeras.ops.zeros(1)"
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (result.stderr, result.returncode) == ("", 0)


@pytest.mark.parametrize("statement", ["import captioning_utils.text", "from captioning_utils import load_dataset"])
def test_the_package_and_what_needs_no_keras_stay_without_it(statement):
    absent = {"keras", "tensorflow"} | ({"nltk"} if "text" in statement else set())
    assert run(f"import sys\n{statement}\nprint({absent} & set(sys.modules))").stdout == "set()\n"


def test_no_command_needs_keras_to_explain_itself():
    ask = "for name in COMMANDS:\n    with contextlib.suppress(SystemExit):\n        main([name, '--help'])"
    code = f"import contextlib, sys\nfrom captioning_utils.__main__ import COMMANDS, main\n{ask}\n"
    shown = run(code + "print({'keras', 'tensorflow', 'matplotlib'} & set(sys.modules))").stdout
    assert shown.count("exit codes") > 10
    assert shown.endswith("set()\n")
