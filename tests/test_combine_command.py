import pytest
from toys import make_balls, train

from captioning_utils import InputError
from captioning_utils.captioner import load_captioner
from captioning_utils.commands.combine import combine_main


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    folder = tmp_path_factory.mktemp("members")
    dataset = make_balls(folder)
    paths = [folder / f"seed{seed}.h5" for seed in (0, 1)]
    for seed, path in enumerate(paths):
        train(dataset, path, epochs=1, seed=seed)
    return paths


def test_writes_one_captioner(members, tmp_path, capsys):
    path = tmp_path / "ensemble.h5"
    assert combine_main([*map(str, members), "--model_path", str(path)]) == 0
    assert len(load_captioner(path).decoder.members) == 2
    assert "2 decoders as one" in capsys.readouterr().out


def test_refuses_captioners_of_other_data(members, tmp_path):
    other = tmp_path / "other.h5"
    train(make_balls(tmp_path), other, epochs=1, min_count=30)
    with pytest.raises(InputError, match="vocabulary"):
        combine_main([str(members[0]), str(other), "--model_path", str(tmp_path / "no.h5")])


def test_says_which_names_there_are(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no captioner .flickr9k.; give a file.s path, or flickr8k"):
        combine_main(["flickr9k", "--model_path", str(tmp_path / "no.h5")])
