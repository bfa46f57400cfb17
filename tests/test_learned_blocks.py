import keras
import numpy as np
import pytest

from captioning_utils import InputError
from captioning_utils.encoders import ENCODERS, ImageEncoder, build_encoder
from captioning_utils.encoders.learned_blocks import CUTS, collect_blocks, replace_blocks, split_encoder

PHOTOS = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), "uint8")


@pytest.fixture(scope="module")
def encoder():
    return build_encoder("efficientnet_v2_b0", weights=None)


def test_every_encoder_has_blocks_that_can_learn():
    assert set(CUTS) == set(ENCODERS)


@pytest.mark.slow  # builds whole networks
@pytest.mark.parametrize(
    ("name", "blocks", "millions"),
    [("vgg16", 1, 7.1), ("vgg16", 2, 13.0), ("resnet50", 1, 4.5), ("inception_resnet_v2", 1, 5.3)],
)
def test_the_blocks_are_the_last_ones_of_the_network(name, blocks, millions):
    _, head = split_encoder(build_encoder(name, weights=None), blocks)
    assert sum(np.prod(variable.shape) for variable in head.trainable_variables) / 1e6 == pytest.approx(millions, 0.02)


@pytest.mark.slow  # builds whole networks
def test_trunk_and_head_together_are_the_encoder(encoder):
    trunk, head = split_encoder(encoder)
    whole, parts = encoder.encode(PHOTOS), head.predict_on_batch(trunk.encode(PHOTOS).astype("float32"))
    assert np.abs(whole).max() > 0
    np.testing.assert_allclose(parts, whole, rtol=1e-2, atol=1e-2 * np.abs(whole).max())  # float16 in between
    assert trunk.fingerprint != encoder.fingerprint


@pytest.mark.slow  # builds whole networks
def test_normalisation_and_all_before_the_block_stay_frozen(encoder):
    _, head = split_encoder(encoder)
    frozen = [layer for layer in head.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert frozen
    assert not any(layer.trainable_variables for layer in frozen)
    trained = {variable.path.split("/")[0].partition("_")[0] for variable in head.trainable_variables}
    assert trained == {"block6h", "top"}


@pytest.mark.slow  # builds whole networks
def test_a_block_moves_to_another_encoder_of_the_same_weights(encoder):
    before, fingerprint = collect_blocks(encoder, 1), encoder.fingerprint
    changed = {name: array * np.float32(1.5) for name, array in before.items()}
    other = replace_blocks(build_encoder("efficientnet_v2_b0", weights=None), 1, changed)
    assert other.fingerprint.endswith(" tuned")
    assert other.fingerprint.split()[:-2] == fingerprint.split()[:-1]
    same = replace_blocks(build_encoder("efficientnet_v2_b0", weights=None), 1, before)
    assert other.fingerprint != same.fingerprint
    collected = collect_blocks(other, 1)
    for name, array in changed.items():
        np.testing.assert_array_equal(collected[name], array)
    assert np.abs(other.encode(PHOTOS) - encoder.encode(PHOTOS)).max() > 0


def test_refuses_unsuitable_layers_and_foreign_arrays(encoder):
    arrays = collect_blocks(encoder, 1)
    name = next(iter(arrays))
    for damaged in (
        {key: array for key, array in arrays.items() if key != name},
        arrays | {"099 extra": np.zeros(3)},
        arrays | {name: arrays[name][..., :1]},
        arrays | {name: np.full_like(arrays[name], np.nan)},
    ):
        with pytest.raises(InputError, match="the captioner's encoder"):
            replace_blocks(encoder, 1, damaged)
    for layer in ("fc2", "two_scales", "half_size"):
        with pytest.raises(InputError, match=layer):
            split_encoder(type("Unsuitable", (), {"layer": layer})())


@pytest.mark.parametrize("blocks", [0, 5])
def test_no_more_blocks_learn_than_there_are(encoder, blocks):
    with pytest.raises(InputError, match=f"{blocks} blocks of efficientnet_v2_b0 cannot learn; give 1 to 4"):
        split_encoder(encoder, blocks)


def test_an_encoder_without_its_network_is_refused():
    whole = keras.Sequential([keras.Input((224, 224, 3)), keras.layers.GlobalAveragePooling2D()])
    with pytest.raises(InputError, match="without its backbone"):
        split_encoder(ImageEncoder("vgg16", "avg", "float32", whole))
