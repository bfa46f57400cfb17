"""The road of COCO's size, in small: the benchmark's dataset through loading, shards on disk and batches."""

import importlib
import itertools

import numpy as np
import pytest

from captioning_utils.batches import CaptionBatches
from captioning_utils.datasets import load_dataset
from captioning_utils.features import extract_features
from captioning_utils.settings import TrainingConfig
from captioning_utils.training import prepare_captions

pytest.importorskip("resource", reason="the benchmark reads the memory as Linux and macOS tell it")

coco_scale = importlib.import_module("coco_scale")


class Recording:
    """A feature cache that notes which photo each row of a batch was asked for."""

    def __init__(self, features):
        self.features, self.asked = features, []

    def get(self, image_ids):
        self.asked = list(image_ids)
        return self.features.get(image_ids)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The dataset, its features on disk and in memory, and its captions as rows of token ids."""
    folder = tmp_path_factory.mktemp("scale")
    coco_scale.write_coco(folder / "coco", {"train2017": 2000, "val2017": 200}, {"train2017": 10_007, "val2017": 1_001})
    dataset = load_dataset(folder / "coco")
    encoder = coco_scale.ToyEncoder()
    on_disk = extract_features(dataset.image_paths, encoder, folder / "features")
    in_memory = extract_features(dataset.image_paths, encoder, folder / "features.pkl")
    _, rows = prepare_captions(dataset, on_disk, TrainingConfig())
    return dataset, on_disk, in_memory, rows


def test_nothing_is_lost_on_the_way(prepared):
    dataset, on_disk, _, rows = prepared
    assert {split: len(names) for split, names in dataset.splits.items()} == {"train": 2000, "val": 100, "test": 100}
    assert sum(map(len, dataset.captions.values())) == 11_008
    assert dataset.problems == ()
    assert len(rows["train"]) == 10_007
    assert len(on_disk) == 2200
    assert len(on_disk.arrays) == 9  # shards, and none of them is in memory
    assert all(isinstance(array, np.memmap) for array in on_disk.arrays)


@pytest.mark.parametrize("epoch", [0, 3])
def test_every_caption_once_an_epoch_with_the_features_of_its_photo(prepared, epoch):
    _, on_disk, in_memory, rows = prepared
    recording = Recording(on_disk)
    batches = CaptionBatches(recording, rows["train"], 160, shuffle=True)
    batches.start(epoch)
    seen = []
    for index in range(len(batches)):
        (features, inputs), targets = batches[index]
        np.testing.assert_array_equal(features, in_memory.get(recording.asked).astype("float32"))
        assert (inputs[:, 0] == 1).all()
        np.testing.assert_array_equal(inputs[:, 1:], np.where(targets[:, :-1] == 2, 0, targets[:, :-1]))
        seen += zip(recording.asked, (tuple(row[row != 0].tolist()) for row in targets), strict=True)
    assert sorted(seen) == sorted((image_id, tuple(token_ids[1:])) for image_id, token_ids in rows["train"])


def test_disk_and_memory_give_the_same_batches(prepared):
    _, on_disk, in_memory, rows = prepared
    both = [CaptionBatches(features, rows["val"], 64, shuffle=True, seed=5) for features in (on_disk, in_memory)]
    assert len(both[0]) == len(both[1])
    for index in range(len(both[0])):
        (disk_batch, disk_targets), (memory_batch, memory_targets) = both[0][index], both[1][index]
        for disk, memory in zip((*disk_batch, disk_targets), (*memory_batch, memory_targets), strict=True):
            np.testing.assert_array_equal(disk, memory)


def test_the_made_up_words_differ():
    words = [coco_scale.make_word(number) for number in range(coco_scale.NUM_WORDS)]
    assert len(set(words)) == len(words)
    assert all(word.isalpha() for word in itertools.islice(words, 100))


def test_the_stages_print_time_and_memory(capsys):
    coco_scale.Stages().done("nothing")
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("nothing")
    assert 10 < float(line.split("MiB")[0].split()[-1]) < 100_000  # a Python process with numpy, in MiB
