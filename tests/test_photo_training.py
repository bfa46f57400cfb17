"""Training on photos: VGG16 of random weights at 32 pixels stands for an encoder."""

import dataclasses
import shutil

import h5py
import keras
import numpy as np
import pytest
from toys import assert_same_weights, write_squares

from captioning_utils import InputError
from captioning_utils.base.quantization import dequantize, quantize
from captioning_utils.base.storage import collect_variables
from captioning_utils.captioner import load_captioner
from captioning_utils.datasets import load_dataset
from captioning_utils.encoders import build_encoder
from captioning_utils.encoders.learned_blocks import collect_blocks
from captioning_utils.settings import TrainingConfig
from captioning_utils.training import train_on_photos
from captioning_utils.training.photo_batches import PhotoBatches, Photos, find_sided, load_photos
from captioning_utils.training.photo_training import TwoRateAdam
from captioning_utils.training.run import Run
from captioning_utils.training.sighted import DeviceRows, LiveEyes, SightedDecoder

SIZES = {"hidden_dim": 8, "num_heads": 2, "feedforward_dim": 16, "num_layers": 1, "encoder_layers": 1}
CONFIG = TrainingConfig(
    "transformer",
    SIZES,
    epochs=2,
    batch_size=8,
    min_count=1,
    learning_rate=1e-2,
    weight_decay=0.05,
    ema=0.5,
    encoder_blocks=2,
    encoder_from=2,
    augment=True,
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return load_dataset(write_squares(tmp_path_factory.mktemp("squares") / "data", ["train"] * 6 + ["val"] * 2))


def train(dataset, path, encoder=None, **settings):
    encoder = encoder or build_encoder("vgg16", weights=None, image_size=32)
    return train_on_photos(dataset, encoder, path, dataclasses.replace(CONFIG, **settings), verbose=0)


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    """A captioner, its file, and its encoder's weights before and after."""
    path = tmp_path_factory.mktemp("trained") / "model.h5"
    encoder = build_encoder("vgg16", weights=None, image_size=32)
    before = collect_variables(encoder.backbone.weights)
    return train(dataset, path, encoder), path, before, collect_variables(encoder.backbone.weights)


@pytest.mark.slow
def test_frozen_blocks_stay_bit_for_bit_and_the_others_learn(trained):
    _, _, before, after = trained
    changed = {name.split()[1] for name in before if (before[name] != after[name]).any()}
    assert changed == {f"block{block}_conv{number}" for block in (4, 5) for number in (1, 2, 3)}


@pytest.mark.slow
def test_until_their_epoch_the_blocks_stay(dataset, tmp_path):
    encoder = build_encoder("vgg16", weights=None, image_size=32)
    before = collect_variables(encoder.backbone.weights)
    captioner = train(dataset, tmp_path / "model.h5", encoder, epochs=1, ema=0.0)
    assert captioner.encoder_id.tuned == 2
    rounded = dequantize(quantize(before, bits=8)).values()  # as in the file
    for old, new in zip(list(rounded)[-12:], collect_variables(encoder.backbone.weights[-12:]).values(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.slow
def test_the_file_carries_the_blocks(trained):
    captioner, path, _, _ = trained
    opened = load_captioner(path)
    assert opened.encoder == captioner.encoder
    assert opened.encoder.endswith(" tuned:2")
    assert opened.fingerprint == captioner.fingerprint
    for name, array in captioner.encoder_weights.items():
        np.testing.assert_array_equal(opened.encoder_weights[name], array)


@pytest.mark.slow
def test_a_resumed_run_equals_an_undisturbed_one(dataset, trained, tmp_path, monkeypatch):
    save = Run.save

    def stop(self):
        save(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path / "model.h5")
    monkeypatch.undo()
    assert (tmp_path / "model.h5.checkpoint").is_file()
    keras.utils.set_random_seed(99)
    resumed = train(dataset, tmp_path / "model.h5")
    assert resumed.encoder == trained[0].encoder
    assert_same_weights(resumed, trained[0])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), [("efficientnet_v2_b0", 32), ("resnet50", 32), ("inception_resnet_v2", 96)])
def test_other_encoders_learn_and_their_normalisation_does_not(dataset, tmp_path, name, size):
    encoder = build_encoder(name, weights=None, image_size=size)
    blocks = collect_blocks(encoder, 1)
    norms = [layer for layer in encoder.backbone.layers if isinstance(layer, keras.layers.BatchNormalization)]
    before = [layer.get_weights() for layer in norms]
    sizes = {"embedding_dim": 8, "hidden_dim": 8}
    settings = {"decoder": "merge", "decoder_settings": sizes, "encoder_blocks": 1, "encoder_from": 1, "epochs": 1}
    captioner = train(dataset, tmp_path / "model.h5", encoder, **settings)
    assert captioner.encoder.endswith(" tuned")
    learned = collect_blocks(encoder, 1)
    assert all((array != learned[name]).any() for name, array in blocks.items() if array.ndim > 1)
    for old, layer in zip(before, norms, strict=True):
        assert all((array == now).all() for array, now in zip(old, layer.get_weights(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["lost", "incomplete", "spoilt"])
def test_a_file_without_its_blocks_or_with_damaged_ones_is_refused(trained, tmp_path, damage):
    copy = shutil.copy(trained[1], tmp_path / "copy.h5")
    with h5py.File(copy, "r+") as file:
        del file.attrs["digest"]
        group = file["arrays/encoder"]
        bias = next(name for name in group if "bias" in name)
        if damage == "spoilt":
            group[bias][...] = np.nan
        for name in {"lost": list(group), "incomplete": [bias]}.get(damage, []):
            del group[name]
    with pytest.raises(InputError):
        load_captioner(copy).build_image_encoder()


def test_photos_are_decoded_once_and_unreadable_ones_named(tmp_path, capsys):
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    paths = {"white": np.full((4, 3, 3), 255, np.uint8), "broken": tmp_path / "broken.jpg"}
    photos = load_photos(paths, (2, 2))
    assert "white" in photos
    assert "broken" not in photos
    assert "broken" in capsys.readouterr().err
    assert photos.pixels.tolist() == np.full((1, 2, 2, 3), 255).tolist()
    with pytest.raises(InputError, match="none of 1 photos"):
        load_photos({"broken": tmp_path / "broken.jpg"}, (2, 2))


def make_batches(photos=10, **settings):
    """Photo number n has the colour n and n % 3 + 1 captions, each beginning with word n + 4."""
    ids = [str(number) for number in range(photos)]
    pixels = np.stack([np.full((4, 4, 3), number, np.uint8) for number in range(photos)])
    rows = [(name, [1, int(name) + 4, *range(9, 9 + i), 2]) for name in ids for i in range(int(name) % 3 + 1)]
    return PhotoBatches(Photos(ids, pixels, {}), rows, batch_size=12, **settings), rows


def test_every_caption_once_an_epoch_beside_its_photo_in_one_shape():
    batches, rows = make_batches(shuffle=True)
    found, shapes = [], set()
    for index in range(len(batches)):
        ((photos, views), tokens), targets = batches[index]
        shapes.add((photos.shape, views.shape, tokens.shape, targets.shape))
        np.testing.assert_array_equal(tokens[..., 1:] != 0, targets[..., :-1] * tokens[..., 1:] != 0)
        for photo, given, wanted in zip(photos, tokens, targets, strict=True):
            for inputs, outputs in zip(given, wanted, strict=True):
                if outputs.any():
                    found.append((str(photo[0, 0, 0]), [*inputs[inputs != 0].tolist(), 2]))
                    assert [*inputs[inputs != 0][1:].tolist(), 2] == outputs[outputs != 0].tolist()
    assert sorted(found) == sorted(rows)
    assert len(shapes) == 1  # so one program is compiled


def test_photos_and_views_follow_from_seed_and_epoch():
    first, second, other = (make_batches(shuffle=True, augment=True, seed=seed)[0] for seed in (1, 1, 2))
    first.on_epoch_end()
    second.start(epoch=1)
    other.start(epoch=1)
    (((_, one), _), _), (((_, two), _), _), (((_, three), _), _) = first[0], second[0], other[0]
    np.testing.assert_array_equal(one, two)
    assert (one != three).any()


def test_photos_are_mirrored_at_random_but_not_under_left_and_right():
    sided = find_sided({"3": ["A dog .", "The Left-hand dog ."], "4": ["on the right"], "5": ["a bright, deft cat"]})
    assert sided == {"3", "4"}
    batches, _ = make_batches(shuffle=True, augment=True, sided=sided)
    seen = []
    for epoch in range(40):
        batches.start(epoch)
        for index in range(len(batches)):
            ((photos, views), _), _ = batches[index]
            seen += zip(photos[:, 0, 0, 0], views[:, 4], strict=True)
    assert not any(mirrored for number, mirrored in seen if str(number) in sided)
    assert 0.4 < np.mean([mirrored for number, mirrored in seen if str(number) not in sided]) < 0.6


@pytest.mark.slow
def test_photos_on_the_device_are_those_that_batches_would_bring():
    encoder = build_encoder("vgg16", weights=None, image_size=32)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), "uint8")
    views = np.tile(np.float32([0.1, 0.2, 0.7, 0.8, 1, 1.1, 0.9, 1.2]), (2, 1))
    rows = np.array([2, 0], np.int32)
    brought = LiveEyes(encoder)((pixels[rows], views))
    kept = LiveEyes(encoder, photos=pixels)((rows, views))
    np.testing.assert_array_equal(np.asarray(kept), np.asarray(brought))


@pytest.mark.parametrize("name", ["transformer", "merge"])
def test_a_sighted_decoder_gives_each_caption_the_logits_of_its_photo(name):
    from captioning_utils.decoders import build_decoder

    sizes = SIZES if name == "transformer" else {"embedding_dim": 8, "hidden_dim": 8}
    decoder = build_decoder(name, vocabulary_size=9, feature_shape=(4, 6), **sizes)
    features = np.random.default_rng(0).normal(size=(3, 4, 6)).astype("float32")
    tokens = np.random.default_rng(1).integers(1, 9, (2, 5, 7), "int32")
    sighted = SightedDecoder(DeviceRows(features), decoder)
    found = np.asarray(sighted((np.array([2, 1]), tokens)))
    for photo, row in enumerate([2, 1]):
        for caption in range(5):
            expected = decoder((features[row : row + 1], tokens[photo, caption : caption + 1]))
            np.testing.assert_allclose(found[photo, caption], np.asarray(expected)[0], rtol=1e-4, atol=1e-5)
    assert not {id(each) for each in sighted.checkpoint_variables} & {id(sighted.eyes.array)}


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_slow_variables_begin_later_and_take_smaller_steps(run_eagerly):
    slow, quick = (keras.layers.Dense(1, use_bias=False, kernel_initializer="ones") for _ in range(2))
    model = keras.Sequential([keras.Input((1,)), slow, quick])  # both have the same gradient at first
    optimizer = TwoRateAdam(0.1, slow=slow.trainable_variables, ratio=0.25, begin=1, weight_decay=0.5)
    model.compile(optimizer, "mse", run_eagerly=run_eagerly)
    model.fit(np.ones((1, 1)), np.zeros((1, 1)), verbose=0)
    assert slow.kernel.numpy().tolist() == [[1.0]]
    np.testing.assert_allclose(quick.kernel.numpy(), 1 - 0.1 * 0.5 - 0.1, rtol=1e-5)
    before = slow.kernel.numpy()
    model.fit(np.ones((1, 1)), np.zeros((1, 1)), verbose=0)
    assert 0.02 < (before - slow.kernel.numpy()).item() < 0.04
    assert len(optimizer.variables) == len(keras.optimizers.Adam(0.1).variables) + 4
