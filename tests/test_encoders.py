import dataclasses
import hashlib

import keras
import numpy as np
import pytest
from toys import make_encoder

from captioning_utils import InputError
from captioning_utils.encoders import ENCODERS, EncoderId, build_encoder, vgg16_arrays, weights
from captioning_utils.encoders import encoder as encoder_module
from captioning_utils.encoders.encoder import compute_weights_hash, recast_encoder
from captioning_utils.encoders.vgg16_arrays import KerasFile
from captioning_utils.images import resize_image


@pytest.fixture(scope="module")
def photos():
    """Two photos that differ in colour and in layout: uint8 (2, 224, 224, 3)."""
    small = np.random.default_rng(0).integers(0, 256, (2, 7, 7, 3), np.uint8)
    small[1, :3] //= 4
    return np.stack([resize_image(image, (224, 224)) for image in small])


def run_keras(vgg16_weights, photos, layer="block5_pool"):
    """What keras.applications itself computes at a layer, from the same weights: float32 (2, rows, columns, ...)."""
    model = keras.applications.VGG16(include_top=False, weights=vgg16_weights, input_shape=photos.shape[1:])
    model = keras.Model(model.input, model.get_layer(layer).output)
    return np.asarray(model(keras.applications.vgg16.preprocess_input(photos.astype("float32"))))


@pytest.fixture(scope="module")
def keras_map(vgg16_weights, photos):
    return run_keras(vgg16_weights, photos)  # (2, 7, 7, 512)


@pytest.mark.parametrize(
    ("layer", "summarise"),
    [("grid", lambda features: features.reshape(2, 49, 512)), ("avg", lambda features: features.mean((1, 2)))],
)
def test_vgg16_equals_keras_applications(photos, keras_map, layer, summarise):
    encoder = build_encoder("vgg16", layer)
    features = encoder.encode(photos)
    expected = summarise(keras_map)
    assert features.dtype == np.float16
    assert features.shape[1:] == encoder.output_shape == expected.shape[1:]
    np.testing.assert_allclose(features, expected, rtol=2e-3, atol=0.05)
    assert np.abs(features[0].astype(float) - features[1]).max() > 1  # two photos, two features


def test_vgg16_14x14_grid_pools_to_the_7x7_grid(photos, keras_map):
    fine = build_encoder("vgg16", "block5_conv3").encode(photos)
    assert fine.shape == (2, 196, 512)
    pooled = fine.reshape(2, 7, 2, 7, 2, 512).max((2, 4))
    np.testing.assert_allclose(pooled, keras_map, rtol=2e-3, atol=0.05)


def test_half_size_is_the_grid_of_block4_at_112_pixels(vgg16_weights, photos):
    encoder = build_encoder("vgg16", "half_size")
    small = photos[:, ::2, ::2]
    expected = run_keras(vgg16_weights, small, "block4_pool").reshape(2, 49, 512)
    assert encoder.image_size == (112, 112)
    assert encoder.output_shape == (49, 512)
    np.testing.assert_allclose(encoder.encode(small), expected, rtol=2e-3, atol=0.05)
    assert encoder.fingerprint.startswith("vgg16 half_size float32 112x112 bilinear caffe weights:")


def test_two_scales_are_the_grids_of_both_sizes(keras_map, vgg16_weights, photos):
    encoder = build_encoder("vgg16", "two_scales")
    large = photos.repeat(2, axis=1).repeat(2, axis=2)  # every pixel four times, so that halving gives back the photos
    both = encoder.encode(large)
    close = run_keras(vgg16_weights, large).reshape(2, 7, 2, 7, 2, 512).max((2, 4))
    assert both.shape[1:] == encoder.output_shape == (49, 1024)
    np.testing.assert_allclose(both[..., :512], keras_map.reshape(2, 49, 512), rtol=2e-3, atol=0.05)
    np.testing.assert_allclose(both[..., 512:], close.reshape(2, 49, 512), rtol=2e-3, atol=0.05)
    assert encoder.fingerprint == "vgg16 two_scales float32 448x448 bilinear caffe weights:a0f3b31f611d6c7a"


@pytest.mark.slow  # builds whole networks
@pytest.mark.parametrize(
    ("name", "size", "regions"), [("inception_resnet_v2", 598, 64), ("efficientnet_v2_b0", 448, 49)]
)
def test_other_encoders_have_two_scales_too(name, size, regions):
    grid, both = (build_encoder(name, layer, weights=None) for layer in ("grid", "two_scales"))
    assert both.image_size == (size, size)
    assert both.output_shape == (regions, 2 * grid.output_shape[1])
    photo = np.random.default_rng(0).integers(0, 256, (1, size // 2, size // 2, 3), np.uint8)
    usual = both.encode(photo.repeat(2, axis=1).repeat(2, axis=2))[..., : grid.output_shape[1]]
    np.testing.assert_allclose(usual, grid.encode(photo), rtol=1e-2, atol=1e-3)


def test_fc2_comes_from_a_file_with_the_dense_top(tmp_path, vgg16_weights, write_legacy_weights, photos):
    bias = np.linspace(-1, 1, 4096, dtype=np.float32)
    layers = vgg16_arrays.load_vgg16_arrays(vgg16_weights)
    layers |= {"fc1": ((25088, 4096), np.zeros(4096, np.float32)), "fc2": ((4096, 4096), bias)}
    write_legacy_weights(tmp_path / "top.h5", layers)
    features = build_encoder("vgg16", "fc2", weights_path=tmp_path / "top.h5").encode(photos[:1])
    # All-zero kernels leave the rectified bias.
    assert np.array_equal(features, np.maximum(bias, 0).astype(np.float16)[None])


def test_bfloat16_is_close_and_has_a_fingerprint_of_its_own(photos, keras_map):
    encoder = build_encoder("vgg16", "avg", dtype="bfloat16")
    assert keras.config.dtype_policy().name == "float32"
    expected = keras_map.mean((1, 2))
    error = np.linalg.norm(encoder.encode(photos) - expected) / np.linalg.norm(expected)
    assert 0 < error < 0.02
    # Captioners name it: were this line to change, none would accept its features any more.
    published = "vgg16 avg float32 224x224 bilinear caffe weights:a0f3b31f611d6c7a"
    assert encoder.fingerprint.replace("bfloat16", "float32") == published == build_encoder("vgg16", "avg").fingerprint


def test_fixed_random_weights_are_the_same_each_time_and_not_the_real_ones():
    for _ in range(2):
        encoder = build_encoder("vgg16", "avg", weights=None)
        assert encoder.fingerprint == "vgg16 avg float32 224x224 bilinear caffe weights:168f37fb4ef15309"
    assert EncoderId.parse(encoder.fingerprint) == encoder.encoder_id
    assert encoder.encoder_id.image_size == encoder.image_size


def test_weights_hash_sees_every_number():
    arrays = [np.zeros(3, np.float32), np.ones((2, 2), np.float32)]
    changed = [arrays[0], arrays[1] + np.float32(1e-7)]
    assert compute_weights_hash(arrays) == compute_weights_hash(arrays[::-1])
    assert compute_weights_hash(arrays) != compute_weights_hash(changed)


@pytest.mark.slow  # builds whole networks
@pytest.mark.parametrize(
    ("name", "feature_dim", "regions", "mode"),
    [
        ("resnet50", 2048, 49, "caffe"),
        ("inception_resnet_v2", 1536, 64, "tf"),
        ("efficientnet_v2_b0", 1280, 49, "torch"),
    ],
)
def test_other_encoders_have_their_own_size_and_preprocessing(name, feature_dim, regions, mode):
    encoder = build_encoder(name, "grid", weights=None)
    assert encoder.output_shape == (regions, feature_dim)
    assert f" {encoder.image_size[0]}x{encoder.image_size[1]} bilinear {mode} " in encoder.fingerprint


@pytest.fixture
def published(tmp_path, monkeypatch, write_legacy_weights, serve_folder):
    """EfficientNetV2-B0 with random weights, served under Keras's own file name, Keras's cache being empty."""
    model = keras.applications.EfficientNetV2B0(include_top=False, weights=None, input_shape=(224, 224, 3))
    spec = ENCODERS["efficientnet_v2_b0"]
    path = tmp_path / "bucket" / spec.weights_file.path
    path.parent.mkdir(parents=True)
    write_legacy_weights(path, {layer.name: layer.get_weights() for layer in model.layers})
    file = KerasFile(spec.weights_file.path, hashlib.md5(path.read_bytes()).hexdigest())
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setitem(ENCODERS, "efficientnet_v2_b0", dataclasses.replace(spec, weights_file=file))
    url = serve_folder(tmp_path / "bucket")
    monkeypatch.setattr(encoder_module, "find_keras_weights", lambda file: weights.find_keras_weights(file, url))
    return model, path


@pytest.mark.slow  # builds whole networks
def test_other_encoders_load_what_keras_publishes(published, photos):
    model, path = published
    downloaded = build_encoder("efficientnet_v2_b0", "grid")
    named = build_encoder("efficientnet_v2_b0", "grid", weights_path=path)
    assert ENCODERS["efficientnet_v2_b0"].weights_file.cached.is_file()
    assert compute_weights_hash(model.get_weights())[:16] in downloaded.fingerprint
    assert named.fingerprint == downloaded.fingerprint
    expected = np.asarray(model(photos.astype("float32"))).reshape(2, 49, 1280)
    np.testing.assert_allclose(downloaded.encode(photos), expected, rtol=1e-2, atol=1e-4)


def test_weights_of_another_network_are_refused(vgg16_weights, tmp_path):
    (tmp_path / "text.h5").write_text("no weights")
    for path in (vgg16_weights, tmp_path / "text.h5", tmp_path / "none.h5"):
        with pytest.raises(InputError, match="does not hold efficientnet_v2_b0's weights"):
            build_encoder("efficientnet_v2_b0", weights_path=path)


def stand_in(features, layer="avg"):
    return encoder_module.ImageEncoder("vgg16", layer, "float32", StandIn(features, layer))


class StandIn:
    """In the place of the Keras model: gives what it is told."""

    output_shape = (None, 3)

    def __init__(self, features, layer="avg"):
        self.features = features
        self.input_shape = (None, *ENCODERS["vgg16"].photo_size(layer), 3)
        self.batches = []

    def get_weights(self):
        return []

    def predict_on_batch(self, images):
        self.batches.append(len(images))
        return np.float32(self.features) * images[:, :1, 0, 0]


def test_batches_of_any_size_are_cut_and_padded_without_a_trace():
    assert stand_in([1, 2, 3], "two_scales").batch_size == 8  # of four times the pixels
    model = StandIn([1, 2, 3])
    encoder = encoder_module.ImageEncoder("vgg16", "avg", "float32", model)
    for number, sizes in {0: [], 1: [1], 3: [4], 32: [32], 37: [32, 8]}.items():
        model.batches.clear()
        images = np.zeros((number, 224, 224, 3), np.uint8)
        images[:, 0, 0, 0] = np.arange(number)
        features = encoder.encode(images)
        assert model.batches == sizes
        assert features.dtype == np.float16
        assert np.array_equal(features, np.arange(number)[:, None] * [[1, 2, 3]])


def test_features_beyond_float16_are_capped(photos):
    assert stand_in([1e6, -np.inf, 2.5]).encode(np.ones_like(photos)).tolist() == [[65504.0, -65504.0, 2.5]] * 2
    with pytest.raises(InputError, match="not numbers"):
        stand_in([np.nan, 0, 0]).encode(photos)


@pytest.mark.parametrize(
    "images", [np.zeros((1, 224, 224, 3), "f4"), np.zeros((224, 224, 3), "u1"), np.zeros((1, 225, 224, 3), "u1"), [[1]]]
)
def test_wrong_photos_are_refused(images):
    with pytest.raises(InputError, match=r"takes uint8 photos \(batch, 224, 224, 3\), got"):
        stand_in([0, 0, 0]).encode(images)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "vgg19"}, "one of vgg16, resnet50"),
        ({"layer": "fc1"}, "one of grid, two_scales, avg, half_size, block5_conv3, fc2"),
        ({"name": "resnet50", "layer": "fc2"}, "no layer 'fc2'"),
        ({"dtype": "float16"}, "float32, bfloat16"),
        ({"weights": "places365"}, "imagenet"),
    ],
)
def test_unknown_choices_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        build_encoder(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 100}, "image_size is 100; give a multiple of 32 from 32 to 1024 pixels"),
        ({"image_size": 10**6}, "image_size is 1000000; give"),
        ({"layer": "two_scales", "image_size": 224}, "photos for the layer two_scales are of 448 pixels, not 224"),
    ],
)
def test_sizes_that_photos_cannot_have_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        build_encoder(**arguments)


@pytest.mark.slow  # builds networks
def test_larger_photos_have_more_regions():
    small, large = (build_encoder(weights=None, image_size=size) for size in (32, 96))
    assert (small.output_shape, large.output_shape) == ((1, 512), (9, 512))
    assert large.encode(np.zeros((3, 96, 96, 3), np.uint8)).shape == (3, 9, 512)
    assert small.encoder_id.weights == large.encoder_id.weights
    assert large.encoder_id.image_size == (96, 96)


def test_an_encoder_without_its_backbone_has_no_other_dtype():
    with pytest.raises(InputError, match="made without its backbone; give one of build_encoder"):
        recast_encoder(make_encoder(), "bfloat16")


def test_a_file_that_holds_no_weights_is_refused(tmp_path):
    (tmp_path / "a.weights.h5").write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"does not hold efficientnet_v2_b0's weights .*; give another"):
        build_encoder("efficientnet_v2_b0", weights_path=tmp_path / "a.weights.h5")


@pytest.mark.slow  # builds networks
def test_an_encoder_in_another_dtype_has_the_same_weights_of_its_own():
    encoder = build_encoder(weights=None, image_size=32)
    other = recast_encoder(encoder, "bfloat16")
    assert other.fingerprint == encoder.fingerprint.replace("float32", "bfloat16")
    other.backbone.trainable_weights[0].assign(other.backbone.trainable_weights[0] * 0)
    assert encoder.backbone.trainable_weights[0].numpy().any()


@pytest.mark.parametrize("change", ["", " tuned", " tuned:2", " view0", " tuned:2 view3"])
@pytest.mark.parametrize(
    "fingerprint",
    [
        "vgg16 two_scales float32 448x448 bilinear caffe weights:a0f3b31f611d6c7a",
        "inception_resnet_v2 avgmax bfloat16 299x299 bilinear tf weights:0123456789abcdef",
    ],
)
def test_an_encoder_id_reads_what_it_writes(fingerprint, change):
    parts = EncoderId.parse(fingerprint + change)
    assert str(parts) == fingerprint + change
    assert parts.tuned == (2 if ":2" in change else int("tuned" in change))
    assert parts.view == (int(change[-1]) if "view" in change else None)
    assert f"{parts.image_size[0]}x{parts.image_size[1]}" == fingerprint.split()[3]


@pytest.mark.parametrize(
    "text",
    [
        "",
        None,
        3,
        "vgg16 grid float32",
        "vgg16 ../../grid float32 224x224 bilinear caffe weights:a0f3b31f611d6c7a",
        "vgg16 grid float32 224x224 bilinear caffe weights:a0f3",
        "vgg16 grid float32 224x٢٢٤ bilinear caffe weights:a0f3b31f611d6c7a",
        "vgg16 grid float32 224x224 bilinear caffe weights:a0f3b31f611d6c7a\n",
        "vgg16 grid float32 224x224 bilinear caffe weights:a0f3b31f611d6c7a tuned twice",
    ],
)
def test_no_other_text_is_an_encoder_id(text):
    with pytest.raises(InputError, match="is no encoder's fingerprint") as refused:
        EncoderId.parse(text)
    assert "\n" not in str(refused.value)
