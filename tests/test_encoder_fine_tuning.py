import shutil

import h5py
import keras
import numpy as np
import pytest
from toys import make_captioner

from captioning_utils import InputError
from captioning_utils.base.storage import collect_variables
from captioning_utils.bulk import features_path
from captioning_utils.captioner import load_captioner, predict_caption
from captioning_utils.datasets import load_dataset
from captioning_utils.encoders import EncoderId, build_encoder
from captioning_utils.encoders.last_block import split_encoder
from captioning_utils.features import FeatureCache, extract_features
from captioning_utils.scenes import draw_dataset
from captioning_utils.settings import GenerationConfig, TrainingConfig
from captioning_utils.text import clean_caption
from captioning_utils.training import fine_tune_encoder
from captioning_utils.training.encoder_tuning import ENCODER_RATE, FlippedBatches, MirroredTrunk, TwoRateAdam

SETTINGS = {"embedding_dim": 8, "hidden_dim": 16}


@pytest.fixture(scope="module")
def run(tmp_path_factory, vgg16_weights):
    """A captioner, what it became in a few steps on drawn scenes, and its encoder's weights before and after."""
    folder = tmp_path_factory.mktemp("tuning")
    draw_dataset(folder / "scenes", num_scenes=8)
    dataset = load_dataset(folder / "scenes")
    encoder = build_encoder("vgg16")
    trunk, _ = split_encoder(encoder)
    features, mirrored = (
        extract_features(dataset.image_paths, each, folder / name)
        for name, each in (("features", trunk), ("mirrored", MirroredTrunk(trunk)))
    )
    before = collect_variables(encoder.backbone.weights)
    captions = [clean_caption(caption) for group in dataset.captions.values() for caption in group]
    start = make_captioner("merge", (49, 512), captions[:20], encoder.fingerprint, GenerationConfig(max_length=6))
    config = TrainingConfig(epochs=1, batch_size=8, min_count=1)
    path = folder / "model.h5"
    captioner = fine_tune_encoder(start, encoder, dataset, (features, mirrored), path, config, verbose=0)
    return start, captioner, path, before, collect_variables(encoder.backbone.weights), dataset


def test_only_the_last_block_and_the_decoder_change(run):
    start, captioner, _, before, after, _ = run
    changed = {name.split()[1] for name in before if (before[name] != after[name]).any()}
    assert changed == {"block5_conv1", "block5_conv2", "block5_conv3"}
    old = start.decoder.embed.embeddings.numpy()
    assert (captioner.decoder.embed.embeddings.numpy()[: len(old)] != old).any()


def test_the_file_carries_the_encoder(run):
    _, captioner, path, _, _, dataset = run
    photos = [dataset.image_paths[image_id] for image_id in dataset.splits["val"]]
    opened = load_captioner(path)
    assert opened.encoder == captioner.encoder
    assert opened.encoder.endswith(" tuned")
    assert predict_caption(photos, captioner=path) == predict_caption(photos, captioner=captioner)
    pixels = np.zeros((1, 224, 224, 3), "uint8")
    np.testing.assert_array_equal(opened.image_encoder().encode(pixels), captioner.image_encoder().encode(pixels))
    assert opened.training["encoder_rate"] == ENCODER_RATE
    assert opened.fingerprint == captioner.fingerprint


def test_weight_decay_is_refused(run):
    start, _, _, _, _, dataset = run
    with pytest.raises(InputError, match="weight_decay would shrink the encoder"):
        fine_tune_encoder(start, build_encoder("vgg16"), dataset, ({}, {}), "new.h5", TrainingConfig(weight_decay=0.1))


def test_features_of_the_pretrained_encoder_are_refused(run):
    start, captioner, *_ = run
    with pytest.raises(InputError, match="tuned"):
        captioner.check_features(FeatureCache(start.encoder, (49, 512), [], {}, []))


@pytest.mark.parametrize(
    ("damage", "message"), [("lost", "trained on"), ("incomplete", "the captioner's encoder"), ("spoilt", "NaN")]
)
def test_a_file_without_its_encoder_or_with_a_damaged_one_is_refused(run, tmp_path, damage, message):
    copy = shutil.copy(run[2], tmp_path / "copy.h5")
    with h5py.File(copy, "r+") as file:
        group = file["arrays/encoder"]
        first, *others = list(group)
        if damage == "spoilt":
            group[first][...] = np.nan
        for name in {"lost": [first, *others], "incomplete": [first]}.get(damage, []):
            del group[name]
    with pytest.raises(InputError, match=message):
        load_captioner(copy).image_encoder()


def test_each_tuned_encoder_has_a_feature_cache_of_its_own(run):
    start, captioner, _, _, _, dataset = run
    shape = start.decoder.config.feature_shape
    paths = {features_path(dataset, each.encoder, shape) for each in (start, captioner)}
    assert len(paths) == 2


def make_cache(value):
    names = [f"{number}.jpg" for number in range(40)]
    return FeatureCache("toy", (2,), names, {}, [np.full((40, 2), value, np.float16)])


def test_photos_are_mirrored_at_random_but_not_under_left_and_right():
    rows = [(f"{number}.jpg", [1, 7 if number % 4 == 0 else 5, 2]) for number in range(40)]
    batches = FlippedBatches(make_cache(0), make_cache(1), rows, sides=[7], batch_size=10, shuffle=True)
    seen = []
    for epoch in range(20):
        batches.start(epoch)
        for index in range(len(batches)):
            (features, tokens), _ = batches[index]
            seen += zip(features[:, 0] == 1, tokens[:, 1] == 7, strict=True)
            np.testing.assert_array_equal(batches[index][0][0], features)  # the same again
    mirrored = np.array([flip for flip, sided in seen if not sided])
    assert not any(flip for flip, sided in seen if sided)
    assert 0.4 < mirrored.mean() < 0.6


def test_the_mirrored_trunk_sees_left_and_right_exchanged():
    class Trunk:
        image_size, output_shape = (1, 3), (3,)
        encoder_id = EncoderId("toy", "map", "float32", image_size, "caffe", "0123456789abcdef")

        def encode(self, images):
            return images[:, 0, :, 0].astype("float16")

    photo = np.arange(3, dtype="uint8").reshape(1, 1, 3, 1).repeat(3, axis=3)
    mirrored = MirroredTrunk(Trunk())
    assert mirrored.encode(photo).tolist() == [[2, 1, 0]]
    assert mirrored.fingerprint == f"{Trunk.encoder_id} mirrored"


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_slow_variables_take_smaller_steps(run_eagerly):
    slow, quick = (keras.layers.Dense(1, use_bias=False, kernel_initializer="ones") for _ in range(2))
    model = keras.Sequential([keras.Input((1,)), slow, quick])  # both have the same gradient
    optimizer = TwoRateAdam(0.1, slow=slow.trainable_variables, ratio=0.25)
    model.compile(optimizer, "mse", run_eagerly=run_eagerly)
    model.fit(np.ones((1, 1)), np.zeros((1, 1)), verbose=0)
    assert len(optimizer.variables) == len(keras.optimizers.Adam(0.1).variables) + 4
    np.testing.assert_allclose(slow.kernel.numpy(), 0.975, rtol=1e-5)
    np.testing.assert_allclose(quick.kernel.numpy(), 0.9, rtol=1e-5)
