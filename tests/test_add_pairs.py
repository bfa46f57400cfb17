"""The script that lets captioners of older releases know which words follow which."""

import dataclasses
import itertools
import runpy
from pathlib import Path

import h5py
import numpy as np
import toys

from captioning_utils.captioner import load_captioner, shipped_captioners
from captioning_utils.commands.shell import OK, REFUSED
from captioning_utils.datasets import load_dataset

SCRIPT = runpy.run_path(str(Path(__file__).parents[1] / "results" / "add_pairs.py"))


def test_an_older_captioner_gets_the_pairs_of_its_training_and_keeps_all_else(tmp_path, capsys):
    dataset = load_dataset(toys.write_squares(tmp_path / "squares", ["train"] * 8 + ["val"] * 2))
    new = toys.train(dataset, tmp_path / "new.h5", epochs=1)
    (tmp_path / "squares" / "Images").rename(tmp_path / "photos")
    assert toys.run(SCRIPT["main"], tmp_path / "new.h5", "--data_path", tmp_path / "squares") == REFUSED
    assert "give the photo folder with --images" in capsys.readouterr().err
    places = ["--images", tmp_path / "photos"]
    for dtype in ("float32", "int8"):
        path = tmp_path / f"{dtype}.h5"
        dataclasses.replace(new, pairs=None).save(path, dtype)
        with h5py.File(path) as file:
            before = {name: array[()] for name, array in file["arrays"].items()}
            documents = {name: text[()] for name, text in file["documents"].items()}
        assert "pairs" not in before
        assert toys.run(SCRIPT["main"], path, "--data_path", tmp_path / "squares", *places) == OK
        np.testing.assert_array_equal(load_captioner(path).pairs, new.pairs)
        with h5py.File(path) as file:
            assert set(file["arrays"]) == {*before, "pairs"}
            for name, array in itertools.chain(before.items(), documents.items()):
                folder = "arrays" if name in before else "documents"
                np.testing.assert_array_equal(file[f"{folder}/{name}"][()], array)


def test_the_captioners_that_ship_know_their_pairs():
    for name in shipped_captioners():
        captioner = load_captioner(name)
        words = captioner.vocabulary.words
        pairs = {(words[first], words[second]) for first, second in captioner.pairs}
        assert {("startseq", "a"), ("a", "dog"), ("dog", "endseq")} <= pairs
        assert not any(first == second for first, second in pairs)
