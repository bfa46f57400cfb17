"""The attention decoder: a recurrent network that looks at the photo anew before every word."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from captioning_utils.base.checks import check_feature_shape, check_shares, check_sizes
from captioning_utils.base.errors import InputError
from captioning_utils.base.types import Tensor
from captioning_utils.decoders.base import CaptionDecoder, DecoderConfig, State
from captioning_utils.text import Vocabulary

CELLS = {"gru": keras.layers.GRUCell, "lstm": keras.layers.LSTMCell}


@dataclasses.dataclass(frozen=True)
class AttentionConfig(DecoderConfig):
    """Sizes of an `AttentionDecoder`, which reads grids; everything that is needed to build it again."""

    cell: str = "gru"  # the recurrent cell: "gru" or "lstm"
    embedding_dim: int = 256  # numbers per word
    hidden_dim: int = 512  # width of the recurrent cell
    attention_dim: int = 256  # width in which regions and words are compared
    dropout: float = 0.3  # share of embedded words and output that is dropped in training
    photo_dropout: float = 0.4  # share of the features' channels that a photo loses, in all its regions, in training
    doubly_stochastic: float = 0.0  # weight of the loss that asks for every region to be looked at in a caption

    def __post_init__(self) -> None:
        check_feature_shape(self, allow_pooled=False)
        check_sizes(self, "vocabulary_size", "embedding_dim", "hidden_dim", "attention_dim")
        check_shares(self, "dropout", "photo_dropout")
        if not 0 <= self.doubly_stochastic < float("inf"):
            raise InputError(f"doubly_stochastic is {self.doubly_stochastic!r:.80}; give 0 or a number above it")
        if self.cell not in CELLS:
            raise InputError(f"cell is {self.cell!r:.80}; give one of {', '.join(CELLS)}")

    def count_parameters(self) -> int:
        features, words, hidden = self.feature_shape[-1], self.vocabulary_size, self.hidden_dim
        width, compared = self.embedding_dim, self.attention_dim
        if self.cell == "lstm":
            states, cell = 2, 4 * hidden * (2 * width + hidden + 1)
        else:
            states, cell = 1, 3 * hidden * (2 * width + hidden + 2)  # Keras's GRU has two biases
        total = 2 * features + (features + 1) * width + (width + 1) * compared + (width + 1) * states * hidden
        total += words * width + cell + (hidden + 1) * compared + compared + (hidden + 1) * width
        return total + (hidden + 2 * width + 1) * width + (width + 1) * words


class AttentionCell(keras.layers.Layer):
    """One step: compare the recurrent state with every region, average the regions, update the state.

    The regions ride along as states that never change, because that is how `keras.layers.RNN` hands constants on.

    References:
        Bahdanau et al. 2015, additive attention (arXiv:1409.0473); the gate on the context: Xu et al. 2015, Show,
        Attend and Tell, section 4.2.1 (arXiv:1502.03044).
    """

    def __init__(self, config: AttentionConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = config
        self.cell = CELLS[config.cell](config.hidden_dim, name="cell")
        self.query = keras.layers.Dense(config.attention_dim, name="query")
        self.score = keras.layers.Dense(1, use_bias=False, name="score")
        self.gate = keras.layers.Dense(config.embedding_dim, activation="sigmoid", name="gate")
        num_regions = config.feature_shape[0]
        recurrent = [config.hidden_dim] * (2 if config.cell == "lstm" else 1)
        self.state_size = [*recurrent, (num_regions, config.attention_dim), (num_regions, config.embedding_dim)]
        self.output_size = config.hidden_dim + config.embedding_dim + num_regions

    def build(self, input_shape: Any = None) -> None:
        """Create the variables; all their shapes follow from the configuration."""
        hidden = (None, self.config.hidden_dim)
        self.cell.build((None, 2 * self.config.embedding_dim))
        self.query.build(hidden)
        self.score.build((None, None, self.config.attention_dim))
        self.gate.build(hidden)
        self.built = True

    def call(self, words: Tensor, states: Sequence[Tensor], training: bool = False) -> tuple[Tensor, list[Tensor]]:
        """words `(batch, embedding_dim)` and states → output `(batch, output_size)` and the new states."""
        *recurrent, keys, regions = states
        scores = self.score(ops.tanh(keys + self.query(recurrent[0])[:, None, :]))  # (batch, num_regions, 1)
        weights = ops.softmax(scores, axis=1)
        context = self.gate(recurrent[0]) * ops.sum(weights * regions, axis=1)  # (batch, embedding_dim)
        hidden, recurrent = self.cell(ops.concatenate([words, context], axis=-1), recurrent)
        recurrent = list(recurrent) if isinstance(recurrent, (list, tuple)) else [recurrent]
        return ops.concatenate([hidden, context, weights[:, :, 0]], axis=-1), [*recurrent, keys, regions]


class AttentionDecoder(CaptionDecoder):
    """Next-word logits from a grid of regions and the words so far, with a look at the photo for every word.

    Args:
        config: `AttentionConfig`.

    Call arguments:
        inputs: tuple `(features, input_tokens)`: float `(batch, num_regions, feature_dim)` and int32
            `(batch, sequence_length)`.
        training: bool, whether dropout is on.

    Returns:
        float32 logits `(batch, sequence_length, vocabulary_size)`; position `i` predicts token `i + 1`.

    Example:
        >>> decoder = AttentionDecoder(AttentionConfig(vocabulary_size=9, feature_shape=(49, 512)))
        >>> decoder((ops.zeros((2, 49, 512)), ops.ones((2, 5), "int32"))).shape == (2, 5, 9)
        True

    References:
        Xu et al. 2015, Show, Attend and Tell (arXiv:1502.03044).
    """

    config: AttentionConfig
    has_attention = True

    def __init__(self, config: AttentionConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.normalise = keras.layers.LayerNormalization(name="normalise")
        self.drop_channels = keras.layers.SpatialDropout1D(config.photo_dropout, name="drop_channels")
        self.project = keras.layers.Dense(config.embedding_dim, activation="relu", name="project")
        self.keys = keras.layers.Dense(config.attention_dim, name="keys")
        states = 2 if config.cell == "lstm" else 1
        self.first_state = keras.layers.Dense(states * config.hidden_dim, activation="tanh", name="first_state")
        self.embed = keras.layers.Embedding(config.vocabulary_size, config.embedding_dim, name="embed")
        self.cell = AttentionCell(config, name="attention_cell")
        self.rnn = keras.layers.RNN(self.cell, return_sequences=True, name="rnn")
        self.dropout = keras.layers.Dropout(config.dropout, name="dropout")
        self.merged = keras.layers.Dense(config.embedding_dim, activation="tanh", name="merged")
        self.logits = keras.layers.Dense(config.vocabulary_size, name="logits")
        self.build()

    def build(self, input_shape: Any = None) -> None:
        """Create the variables; all their shapes follow from the configuration."""
        width = self.config.embedding_dim
        self.normalise.build((None, *self.config.feature_shape))
        self.project.build((None, *self.config.feature_shape))
        for layer in (self.keys, self.first_state):
            layer.build((None, width))
        self.embed.build((None, None))
        self.cell.build()
        self.rnn.built = True
        self.merged.build((None, self.config.hidden_dim + 2 * width))
        self.logits.build((None, width))
        self.built = True

    def call(self, inputs: tuple[Tensor, Tensor], training: bool = False) -> Tensor:
        features, input_tokens = inputs
        words = self.dropout(self.embed(input_tokens), training=training)  # (batch, length, embedding_dim)
        outputs = self.rnn(words, initial_state=self._start(features, training), training=training)
        logits, weights = self._read(outputs, words, training)
        if training and self.config.doubly_stochastic:
            self.add_loss(self.config.doubly_stochastic * compute_coverage_loss(weights, input_tokens))
        return logits

    def initial_state(self, features: Tensor) -> State:
        """The recurrent state from the mean region, and the regions with their keys."""
        *recurrent, keys, regions = self._start(features, training=False)
        return State({"keys": keys, "regions": regions}, dict(zip(self._recurrent(), recurrent, strict=True)))

    def step_with_attention(self, tokens: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """One more word, after a look at the photo."""
        photo, words = state
        embedded, names = self.embed(tokens), self._recurrent()
        recurrent = [words[name] for name in names]
        output, (*recurrent, _, _) = self.cell(embedded, [*recurrent, photo["keys"], photo["regions"]])
        logits, weights = self._read(output, embedded, training=False)
        return logits, State(photo, dict(zip(names, recurrent, strict=True))), weights

    def _recurrent(self) -> tuple[str, ...]:
        """Names of the cell's own states in its order; a dict's order will not do, because JAX sorts it."""
        return ("hidden", "cell") if self.config.cell == "lstm" else ("hidden",)

    def _start(self, features: Tensor, training: bool) -> list[Tensor]:
        """The recurrent state from the mean region, then the keys and the regions themselves."""
        features = self.normalise(ops.cast(features, "float32"))
        regions = self.project(self.drop_channels(features, training=training))
        first = self.first_state(ops.mean(regions, axis=1))  # (batch, states * hidden_dim)
        return [*ops.split(first, first.shape[-1] // self.config.hidden_dim, axis=-1), self.keys(regions), regions]

    def _read(self, output: Tensor, words: Tensor, training: bool) -> tuple[Tensor, Tensor]:
        """Logits and attention weights from the cell's output, with or without an axis for the words."""
        hidden, context = self.config.hidden_dim, self.config.embedding_dim
        state_and_context, weights = output[..., : hidden + context], output[..., hidden + context :]
        merged = ops.concatenate([self.dropout(state_and_context, training=training), words], axis=-1)
        return self.logits(self.dropout(self.merged(merged), training=training)), weights


def compute_coverage_loss(weights: Tensor, input_tokens: Tensor) -> Tensor:
    """How far the regions are from being looked at once each in the course of a caption.

    Args:
        weights: float `(batch, sequence_length, num_regions)`, the attention weights of each word; they sum to 1.
        input_tokens: int `(batch, sequence_length)`; looks at padding do not count.

    Returns:
        float32 scalar: the mean, over captions and regions, of (1 − the sum of the region's weights)².

    Example:
        >>> stare = ops.convert_to_tensor([[[1.0, 0.0], [1.0, 0.0]]])
        >>> float(compute_coverage_loss(stare, ops.ones((1, 2), "int32")))
        1.0
        >>> float(compute_coverage_loss(ops.convert_to_tensor([[[1.0, 0.0], [0.0, 1.0]]]), ops.ones((1, 2), "int32")))
        0.0

    References:
        Xu et al. 2015, section 4.2.1, doubly stochastic attention (arXiv:1502.03044).
    """
    real = ops.cast(ops.not_equal(input_tokens, Vocabulary.pad_id), "float32")
    looks = ops.sum(weights * real[:, :, None], axis=1)  # (batch, num_regions)
    return ops.mean(ops.square(1.0 - looks))
