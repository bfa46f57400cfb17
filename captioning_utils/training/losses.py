"""The losses of training: cross-entropy over real tokens."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from captioning_utils.base.types import Tensor
from captioning_utils.text import Vocabulary


def masked_cross_entropy(target_tokens: Tensor, logits: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy over the real tokens of a batch of captions.

    Dividing by the number of real tokens, not of positions, keeps batches of short and long captions comparable,
    and makes the loss of whole captions equal that of one row per prefix.

    Args:
        target_tokens: int32 `(batch, sequence_length)`, the token after each input token; 0 is padding.
        logits: float `(batch, sequence_length, vocabulary_size)`, unnormalised.
        label_smoothing: float in [0, 1), share of the target probability spread evenly over the vocabulary.

    Returns:
        float32 scalar, nats per token; 0.0 where no token is real.

    Example:
        >>> targets = ops.convert_to_tensor([[3, 1, 0]])
        >>> round(float(masked_cross_entropy(targets, ops.zeros((1, 3, 4)))), 4)  # log 4
        1.3863

    References:
        Vinyals et al. 2015, Show and Tell, equation 2 (arXiv:1411.4555); label smoothing: Szegedy et al. 2016,
        section 7 (arXiv:1512.00567).
    """
    losses = token_cross_entropy(target_tokens, logits, label_smoothing)
    real = ops.cast(ops.not_equal(target_tokens, Vocabulary.pad_id), "float32")
    return ops.sum(losses * real) / ops.maximum(ops.sum(real), 1.0)


def token_cross_entropy(target_tokens: Tensor, logits: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of each position, padding included; arguments as `masked_cross_entropy`.

    Returns:
        float32 `(batch, sequence_length)`, nats.

    Example:
        >>> token_cross_entropy(ops.convert_to_tensor([[3, 1, 0]]), ops.zeros((1, 3, 4))).shape
        TensorShape([1, 3])
    """
    logits = ops.cast(logits, "float32")
    # Keras's function is one fused kernel; written out with log_softmax the loss takes as long as all layers together.
    losses = ops.sparse_categorical_crossentropy(ops.cast(target_tokens, "int32"), logits, from_logits=True)
    if label_smoothing:
        uniform = ops.logsumexp(logits, axis=-1) - ops.mean(logits, axis=-1)  # cross-entropy with the uniform target
        losses = (1 - label_smoothing) * losses + label_smoothing * uniform
    return losses


class NatsPerToken(keras.metrics.Mean):
    """Cross-entropy per real token over all batches so far, without label smoothing; comparable between runs.

    Example:
        >>> metric = NatsPerToken()
        >>> metric.update_state(ops.convert_to_tensor([[3, 1, 0]]), ops.zeros((1, 3, 4)))
        >>> round(float(metric.result()), 4)
        1.3863
    """

    def __init__(self, name: str = "nats_per_token", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def update_state(self, target_tokens: Tensor, logits: Tensor, sample_weight: Tensor | None = None) -> Any:
        """Add a batch: int `(batch, sequence_length)` targets and their logits."""
        losses = token_cross_entropy(target_tokens, logits)
        real = ops.cast(ops.not_equal(target_tokens, Vocabulary.pad_id), "float32")
        # In one dimension, because Keras would average each row over its padded length first.
        return super().update_state(ops.reshape(losses, (-1,)), sample_weight=ops.reshape(real, (-1,)))


class WeightedCrossEntropy(keras.losses.Loss):
    """The sum of every token's cross-entropy times its weight, which comes as Keras's `sample_weight`.

    With an advantage as the weight, its gradient is the policy gradient (Williams 1992); with a positive constant it is
    that of cross-entropy. So both are one batch and one loss.

    Args:
        label_smoothing: as for `masked_cross_entropy`.

    Example:
        >>> import numpy as np
        >>> loss = WeightedCrossEntropy()
        >>> logits, weights = np.zeros((1, 2, 4), "float32"), np.array([[1.0, -1.0]], "float32")
        >>> float(loss(np.array([[3, 1]]), logits, sample_weight=weights))
        0.0

    References:
        Rennie et al. 2017, Self-critical Sequence Training for Image Captioning (arXiv:1612.00563).
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__(reduction="sum")
        self._label_smoothing = label_smoothing

    def call(self, target_tokens: Tensor, logits: Tensor) -> Tensor:
        """Int `(batch, sequence_length)` targets and their logits → nats `(batch, sequence_length)`."""
        return token_cross_entropy(target_tokens, logits, self._label_smoothing)
