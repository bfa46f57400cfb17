"""Training on kept views of photos: VGG16 of random weights at 32 pixels stands for an encoder."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from captioning_utils.base.storage import collect_variables
from captioning_utils.captioner import load_captioner
from captioning_utils.datasets import load_dataset
from captioning_utils.encoders import build_encoder
from captioning_utils.encoders.augment import AugmentedEncoder
from captioning_utils.encoders.learned_blocks import split_encoder
from captioning_utils.images import load_image
from captioning_utils.settings import TrainingConfig
from captioning_utils.training import kept_views
from captioning_utils.training.kept_views import KeptViews
from captioning_utils.training.photo_training import train_on_photos

CONFIG = TrainingConfig(
    "merge",
    {"embedding_dim": 8, "hidden_dim": 8},
    epochs=2,
    batch_size=8,
    min_count=1,
    encoder_blocks=1,
    encoder_from=1,
    encoder_rate=1.0,
    learning_rate=1e-3,
    views=3,
)


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    """Eight photos whose left and right half differ; of one a caption says left. Features are kept in this test."""
    monkeypatch.chdir(tmp_path)
    rng, rows = np.random.default_rng(0), ["image,caption,split"]
    for number in range(8):
        colours = rng.integers(0, 256, (1, 2, 3), "uint8")
        Image.fromarray(colours).resize((48, 40), Image.Resampling.NEAREST).save(f"{number}.png")
        side = "on the left" if number == 3 else "here"
        rows += [f"{number}.png,a colour {side},{'val' if number > 5 else 'train'}"] * 2
    (tmp_path / "captions.csv").write_text("\n".join(rows))
    return load_dataset(tmp_path)


def build():
    return build_encoder("vgg16", weights=None, image_size=32)


def train(dataset, path, **settings):
    encoder = build()
    captioner = train_on_photos(dataset, encoder, path, dataclasses.replace(CONFIG, **settings), verbose=0)
    return captioner, encoder


def open_photos(dataset):
    return {image_id: load_image(path, (32, 32)) for image_id, path in dataset.image_paths.items()}


def test_batches_hold_views_of_the_photos_and_no_mirrored_one_where_a_caption_says_left(dataset):
    trunk, _ = split_encoder(build(), 1)
    photos = open_photos(dataset)
    made = [
        {image_id: AugmentedEncoder(trunk, view).encode(photo[None])[0] for image_id, photo in photos.items()}
        for view in range(3)
    ]
    rows = {split: [(image_id, [1, 4, 2]) for image_id in dataset.splits[split]] for split in ("train", "val")}
    batches = KeptViews(dataset, build(), dataclasses.replace(CONFIG, batch_size=6)).make_batches(rows)["train"]
    seen = {image_id: set() for image_id in dataset.splits["train"]}
    for epoch in range(12):
        batches.start(epoch)
        (maps, _), _ = batches[0]  # all six, in an order of their own
        for each in maps:
            ((image_id, view),) = [
                (image_id, view)
                for view in range(3)
                for image_id in seen
                if np.allclose(each, made[view][image_id], rtol=1e-2, atol=1e-2)
            ]
            seen[image_id].add(view)
    assert seen.pop("3.png") == {0, 2}  # views of odd numbers are mirrored
    assert all(views == {0, 1, 2} for views in seen.values())


@pytest.mark.parametrize("blocks", [0, 1])
def test_val_photos_are_seen_as_they_are(dataset, blocks):
    encoder = build()
    views = KeptViews(dataset, encoder, dataclasses.replace(CONFIG, encoder_blocks=blocks))
    assert "3.png" in views
    assert "9.png" not in views
    batches = views.make_batches({"val": [(image_id, [1, 4, 2]) for image_id in dataset.splits["val"]]})["val"]
    (maps, _), _ = batches[0]
    features = encoder.encode(np.stack([open_photos(dataset)[image_id] for image_id in batches.image_ids]))
    np.testing.assert_allclose(np.asarray(views.eyes(maps))[: len(features)], features, rtol=1e-2, atol=1e-2)


@pytest.mark.slow
def test_only_the_last_block_learns_and_the_file_gives_it_back(dataset, tmp_path):
    captioner, _ = train(dataset, tmp_path / "model.h5")
    frozen, tuned = build(), captioner.encoder_weights
    before = collect_variables(split_encoder(frozen, 1)[1].trainable_variables)
    assert tuned.keys() == before.keys()
    assert all(np.abs(tuned[name] - before[name]).max() > 1e-3 for name in before if "kernel" in name)
    opened = load_captioner(tmp_path / "model.h5")
    assert opened.encoder == captioner.encoder
    for name, array in tuned.items():
        np.testing.assert_array_equal(opened.encoder_weights[name], array)


@pytest.mark.slow
def test_views_are_computed_once(dataset, tmp_path, monkeypatch):
    KeptViews(dataset, build(), CONFIG)
    encode, counts = AugmentedEncoder.encode, []

    def count(self, images):
        counts.append(len(images))
        return encode(self, images)

    monkeypatch.setattr(AugmentedEncoder, "encode", count)
    KeptViews(dataset, build(), CONFIG)
    assert counts == []
    KeptViews(dataset, build(), dataclasses.replace(CONFIG, views=4))
    assert counts == [6]


@pytest.mark.slow
def test_a_resumed_run_equals_an_undisturbed_one(dataset, tmp_path, monkeypatch):
    whole, _ = train(dataset, tmp_path / "whole.h5")
    draw, left = kept_views.KeptBatches.see, [7]

    def stop(self, *arguments):
        left[0] -= 1
        if left[0] < 0:
            raise OSError("the disk went away")
        return draw(self, *arguments)

    monkeypatch.setattr(kept_views.KeptBatches, "see", stop)
    with pytest.raises(Exception, match="the disk went away"):
        train(dataset, tmp_path / "stopped.h5")
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    resumed, _ = train(dataset, tmp_path / "stopped.h5")
    assert resumed.encoder == whole.encoder
    assert resumed.fingerprint == whole.fingerprint
