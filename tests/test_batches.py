import keras
import numpy as np
import pytest
from toys import COMPILES

from captioning_utils import InputError
from captioning_utils.batches import CaptionBatches
from captioning_utils.decoders.merge import MergeConfig, MergeDecoder
from captioning_utils.training import masked_cross_entropy


class Numbered:
    """Features whose first number is the image's number, so that a row can be traced to its photo."""

    def get(self, image_ids):
        return np.array([[int(image_id)] * 4 for image_id in image_ids], "float16")


def make_captions(count=200, seed=0):
    rng = np.random.default_rng(seed)
    return [(str(i), [1, *rng.integers(4, 50, rng.integers(1, 20)).tolist(), 2]) for i in range(count)]


def rows_of(batches):
    """Every row of an epoch as (image number, input tokens, target tokens) without padding."""
    for index in range(len(batches)):
        (features, inputs), targets = batches[index]
        for feature, given, wanted in zip(features, inputs, targets, strict=True):
            yield int(feature[0]), given[given != 0].tolist(), wanted[wanted != 0].tolist()


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_caption_once_an_epoch_and_shifted_by_one(shuffle):
    captions = make_captions()
    batches = CaptionBatches(Numbered(), captions, batch_size=16, shuffle=shuffle)
    rows = sorted(rows_of(batches))
    assert rows == sorted((int(image_id), ids[:-1], ids[1:]) for image_id, ids in captions)


def test_batches_are_tuples_padded_right():
    batches = CaptionBatches(Numbered(), make_captions(), batch_size=16, shuffle=True)
    for index in range(len(batches)):
        batch = batches[index]
        assert isinstance(batch, tuple)
        assert isinstance(batch[0], tuple)  # Keras 3 refuses a list here
        (_, inputs), targets = batch
        assert inputs.shape == targets.shape
        real = targets != 0
        assert real[:, 0].all()  # no row of padding alone
        assert (np.diff(real.astype(int), axis=1) <= 0).all()  # padding stands on the right
        np.testing.assert_array_equal(inputs != 0, real)


def test_order_follows_seed_and_epoch_alone():
    captions = make_captions()
    first = CaptionBatches(Numbered(), captions, batch_size=16, shuffle=True, seed=1)
    first.on_epoch_end()
    second = CaptionBatches(Numbered(), captions, batch_size=16, shuffle=True, seed=1)
    second.start(epoch=1)
    other = CaptionBatches(Numbered(), captions, batch_size=16, shuffle=True, seed=2)
    other.start(epoch=1)
    assert list(rows_of(first)) == list(rows_of(second))
    assert list(rows_of(first)) != list(rows_of(other))


@pytest.mark.parametrize("length", [5, 20])
def test_keras_sees_two_lengths_in_its_first_two_batches(length):
    captions = [(str(i), [1, *[4] * (length if i % 50 else 2), 2]) for i in range(300)]  # nearly all of one length
    for seed in range(20):
        batches = CaptionBatches(Numbered(), captions, batch_size=2, shuffle=True, seed=seed)
        assert batches[0][1].shape[1] != batches[1][1].shape[1]


@pytest.mark.parametrize(
    ("captions", "batch_size", "message"),
    [([], 4, "no caption"), ([("1", [1, 2])], 0, "batch_size"), ([("1", [1])], 4, "fewer than two tokens")],
)
def test_refuses(captions, batch_size, message):
    with pytest.raises(InputError, match=message):
        CaptionBatches(Numbered(), captions, batch_size)


def test_a_backend_that_compiles_every_length_compiles_few(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    captions = [(str(i), [1, *[4] * (i % 40), 2]) for i in range(2000)]
    batches = CaptionBatches(Numbered(), captions, batch_size=16, shuffle=True)
    lengths = set()
    for epoch in range(3):
        batches.start(epoch)
        lengths |= {batches[index][1].shape[1] for index in range(len(batches))}
    assert lengths <= {8, 16, 24, 32, 40, 48}


@COMPILES
def test_training_compiles_few_programs():
    """Every length of captions that a backend has not seen yet calls the decoder's code once, to compile it."""
    traced = []

    class Traced(MergeDecoder):
        def call(self, inputs, training=False):
            traced.append(inputs[1].shape)
            return super().call(inputs, training=training)

    captions = [(str(i), [1, *[4] * (i % 30 + 1), 2]) for i in range(300)]
    decoder = Traced(MergeConfig(vocabulary_size=9, feature_shape=(4,), embedding_dim=4, hidden_dim=4))
    decoder.compile("adam", loss=lambda targets, logits: masked_cross_entropy(targets, logits))
    decoder.fit(CaptionBatches(Numbered(), captions, batch_size=10, shuffle=True), epochs=2, shuffle=False, verbose=0)
    assert len(traced) <= 7
