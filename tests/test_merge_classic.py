"""Whole captions give the very loss and gradients of the classic generator: one row per prefix, one-hot targets."""

import keras
import numpy as np
import pytest
from keras import ops
from toys import RowFeatures

from captioning_utils.batches import CaptionBatches
from captioning_utils.decoders import build_decoder
from captioning_utils.training import masked_cross_entropy

tf = pytest.importorskip("tensorflow", reason="the gradients are compared through TensorFlow's tape")
pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="uses TensorFlow's gradient tape")

VOCABULARY = 17
CAPTIONS = [[1, 4, 5, 6, 2], [1, 7, 2], [1, 8, 9, 10, 11, 12, 2], [1, 3, 4, 2]]


FEATURES = np.random.default_rng(0).random((len(CAPTIONS), 12)).astype("float16")


def prefix_rows(features):
    """The tutorials' generator: for every prefix the photo again, the words so far, the next word one-hot."""
    for feature, caption in zip(features, CAPTIONS, strict=True):
        for end in range(1, len(caption)):
            one_hot = keras.utils.to_categorical([caption[end]], VOCABULARY)
            yield feature[None], np.array([caption[:end]], "int32"), one_hot


def test_loss_and_gradients_equal_one_row_per_prefix():
    keras.utils.set_random_seed(0)
    decoder = build_decoder("merge", vocabulary_size=VOCABULARY, feature_shape=(12,), embedding_dim=8, hidden_dim=16)
    captions = [(str(number), caption) for number, caption in enumerate(CAPTIONS)]
    inputs, targets = CaptionBatches(RowFeatures(FEATURES), captions, batch_size=len(captions))[0]
    features = FEATURES.astype("float32")

    with tf.GradientTape() as tape:
        loss = masked_cross_entropy(ops.convert_to_tensor(targets), decoder(inputs, training=False))
    gradients = tape.gradient(loss, [v.value for v in decoder.trainable_variables])

    with tf.GradientTape() as tape:
        losses = [
            keras.losses.categorical_crossentropy(one_hot, decoder((feature, prefix))[:, -1], from_logits=True)[0]
            for feature, prefix, one_hot in prefix_rows(features)
        ]
        classic_loss = sum(losses) / len(losses)
    classic_gradients = tape.gradient(classic_loss, [v.value for v in decoder.trainable_variables])

    np.testing.assert_allclose(loss, classic_loss, rtol=1e-6)
    for variable, ours, theirs in zip(decoder.trainable_variables, gradients, classic_gradients, strict=True):
        ours, theirs = tf.convert_to_tensor(ours), tf.convert_to_tensor(theirs)  # the embedding's are sparse
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-7, err_msg=variable.path)
