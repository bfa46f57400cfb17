import pytest
from toys import ColourFeatures, make_balls, train

from captioning_utils.captioner import load_captioner
from captioning_utils.commands import self_critical as self_critical_command


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_balls(tmp_path_factory.mktemp("photos"))


@pytest.mark.slow  # trains
def test_trains_further_and_leaves_the_start_as_it_was(dataset, tmp_path, monkeypatch, capsys):
    start, model_path = tmp_path / "start.h5", tmp_path / "further.h5"
    train(dataset, start, epochs=1)
    before = start.read_bytes()
    monkeypatch.setattr(self_critical_command, "open_dataset", lambda options: dataset)
    monkeypatch.setattr("captioning_utils.bulk.captioner_features", lambda *_: ColourFeatures())
    arguments = ["--start_from", str(start), "--model_path", str(model_path), "--epochs", "1", "--samples", "2"]
    assert self_critical_command.self_critical_main(arguments) == 0
    assert "CIDEr-D" in capsys.readouterr().out
    assert start.read_bytes() == before
    assert load_captioner(model_path).training["self_critical"]["samples"] == 2
