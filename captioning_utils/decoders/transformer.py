"""The transformer decoder: every word attends to the words before it and to the regions of the photo."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from captioning_utils.base.checks import check_feature_shape, check_shares, check_sizes
from captioning_utils.base.errors import InputError
from captioning_utils.base.types import Tensor
from captioning_utils.decoders.base import CaptionDecoder, DecoderConfig, State


@dataclasses.dataclass(frozen=True)
class TransformerConfig(DecoderConfig):
    """Sizes of a `TransformerDecoder`, which reads grids; everything that is needed to build it again."""

    hidden_dim: int = 256  # width of all layers; a multiple of num_heads
    num_layers: int = 2
    num_heads: int = 8  # of each attention
    feedforward_dim: int = 1024  # width inside each layer's feed-forward block
    max_positions: int = 64  # input tokens at the most
    dropout: float = 0.3  # share dropped of embeddings, photo and every block's output in training
    photo_dropout: float = 0.4  # share of the features' channels that a photo loses, in all its regions, in training
    region_dropout: float = 0.0  # share of its regions that a photo loses in training
    encoder_layers: int = 0  # layers in which the regions attend to each other before the words attend to them

    def __post_init__(self) -> None:
        check_feature_shape(self, allow_pooled=False)
        check_sizes(
            self, "vocabulary_size", "hidden_dim", "num_layers", "num_heads", "feedforward_dim", "max_positions"
        )
        check_sizes(self, "encoder_layers", least=0)
        check_shares(self, "dropout", "photo_dropout", "region_dropout")
        if self.hidden_dim % self.num_heads:
            raise InputError(f"hidden_dim is {self.hidden_dim}; give a multiple of num_heads, {self.num_heads}")

    def count_parameters(self) -> int:
        num_regions, features = self.feature_shape
        hidden, words, wide = self.hidden_dim, self.vocabulary_size, self.feedforward_dim
        attention = 4 * (hidden + 1) * hidden
        encoder_layer = 4 * hidden + attention + (hidden + 1) * wide + (wide + 1) * hidden
        layer = encoder_layer + 2 * hidden + attention
        total = 2 * features + (features + 1) * hidden + (num_regions + words + self.max_positions) * hidden
        total += self.encoder_layers * encoder_layer + (2 * hidden if self.encoder_layers else 0)
        return total + self.num_layers * layer + 2 * hidden + words


class Attention(keras.layers.Layer):
    """Multi-head scaled dot-product attention whose keys and values can be computed once and kept.

    Args:
        hidden_dim: int, width of queries and output.
        num_heads: int.

    References:
        Vaswani et al. 2017, section 3.2 (arXiv:1706.03762).
    """

    def __init__(self, hidden_dim: int, num_heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.query = keras.layers.Dense(hidden_dim, name="query")
        self.key_value = keras.layers.Dense(2 * hidden_dim, name="key_value")
        self.output_dense = keras.layers.Dense(hidden_dim, name="output")
        self.scale = (hidden_dim // num_heads) ** -0.5

    def build(self, query_shape: Any, memory_shape: Any) -> None:
        """Create the variables for queries and memory of these shapes."""
        self.query.build(query_shape)
        self.key_value.build(memory_shape)
        self.output_dense.build((None, None, self.query.units))
        self.built = True

    def remember(self, memory: Tensor) -> list[Tensor]:
        """Keys and values of a memory `(batch, length, dim)`: list of two tensors `(batch, length, hidden_dim)`."""
        return list(ops.split(self.key_value(memory), 2, axis=-1))

    def call(self, hidden: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Attend from hidden `(batch, queries, hidden_dim)`; mask is True where attention is allowed.

        The memory may have fewer rows than hidden. Each then serves several rows of hidden, which stand together: the
        captions of one photo.

        Returns:
            tuple of output `(batch, queries, hidden_dim)` and weights `(batch, num_heads, queries, length)`.
        """
        rows = ops.shape(keys)[0]
        query, keys, values = (self._split(each, rows) for each in (self.query(hidden), keys, values))
        scores = ops.matmul(query, ops.transpose(keys, (0, 1, 3, 2))) * self.scale  # (batch, heads, queries, length)
        if mask is not None:
            scores = ops.where(mask, scores, -1e9)
        weights = ops.softmax(scores, axis=-1)
        attended = ops.transpose(ops.matmul(weights, values), (0, 2, 1, 3))  # (batch, queries, heads, head_dim)
        attended = ops.reshape(attended, (ops.shape(hidden)[0], -1, self.query.units))
        return self.output_dense(attended), weights

    def _split(self, tensor: Tensor, rows: int) -> Tensor:
        """(batch, length, hidden_dim) → (rows, num_heads, length, head_dim)."""
        head_dim = self.query.units // self.num_heads
        tensor = ops.reshape(tensor, (rows, -1, self.num_heads, head_dim))
        return ops.transpose(tensor, (0, 2, 1, 3))


class EncoderLayer(keras.layers.Layer):
    """Self-attention of the regions and feed-forward; each on normalised input, added to what came in."""

    def __init__(self, config: TransformerConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.norms = [keras.layers.LayerNormalization(name=f"norm_{i}") for i in range(2)]
        self.attention = Attention(config.hidden_dim, config.num_heads, name="attention")
        self.widen = keras.layers.Dense(config.feedforward_dim, activation="gelu", name="widen")
        self.narrow = keras.layers.Dense(config.hidden_dim, name="narrow")
        self.dropout = keras.layers.Dropout(config.dropout)

    def build(self, hidden_shape: Any) -> None:
        """Create the variables; `hidden_shape` is (batch, num_regions, hidden_dim)."""
        for norm in self.norms:
            norm.build(hidden_shape)
        self.attention.build(hidden_shape, hidden_shape)
        self.widen.build(hidden_shape)
        self.narrow.build((*hidden_shape[:-1], self.widen.units))
        self.built = True

    def call(self, hidden: Tensor, training: bool = False) -> Tensor:
        """`(batch, num_regions, hidden_dim)` → the same shape."""
        normed = self.norms[0](hidden)
        attended, _ = self.attention(normed, *self.attention.remember(normed))
        hidden = hidden + self.dropout(attended, training=training)
        forward = self.narrow(self.widen(self.norms[1](hidden)))
        return hidden + self.dropout(forward, training=training)


class DecoderLayer(keras.layers.Layer):
    """Self-attention, attention to the photo, feed-forward; each on normalised input, added to what came in.

    References:
        Normalising first: Xiong et al. 2020 (arXiv:2002.04745).
    """

    def __init__(self, config: TransformerConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.norms = [keras.layers.LayerNormalization(name=f"norm_{i}") for i in range(3)]
        self.self_attention = Attention(config.hidden_dim, config.num_heads, name="self_attention")
        self.cross_attention = Attention(config.hidden_dim, config.num_heads, name="cross_attention")
        self.widen = keras.layers.Dense(config.feedforward_dim, activation="gelu", name="widen")
        self.narrow = keras.layers.Dense(config.hidden_dim, name="narrow")
        self.dropout = keras.layers.Dropout(config.dropout)

    def build(self, hidden_shape: Any) -> None:
        """Create the variables; `hidden_shape` is (batch, length, hidden_dim)."""
        for norm in self.norms:
            norm.build(hidden_shape)
        self.self_attention.build(hidden_shape, hidden_shape)
        self.cross_attention.build(hidden_shape, hidden_shape)
        self.widen.build(hidden_shape)
        self.narrow.build((*hidden_shape[:-1], self.widen.units))
        self.built = True

    def call(
        self,
        hidden: Tensor,
        photo: Sequence[Tensor],
        cache: Sequence[Tensor] | None = None,
        position: Tensor | None = None,
        training: bool = False,
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """One layer.

        Args:
            hidden: `(batch, queries, hidden_dim)`.
            photo: keys and values of the regions, from `cross_attention.remember`.
            cache: keys and values of the words before, each `(batch, max_positions, hidden_dim)`, where `hidden` is one
                word; None where `hidden` is all words.
            position: int32 scalar, that word's place in the cache.
            training: bool, whether dropout is on.

        Returns:
            tuple of hidden `(batch, queries, hidden_dim)`, keys and values of the words `[keys, values]`, and weights
            over the regions `(batch, num_heads, queries, num_regions)`.
        """
        normed = self.norms[0](hidden)
        words = self.self_attention.remember(normed)
        if cache is None:
            places = ops.arange(ops.shape(hidden)[1])
            mask = places[:, None] >= places[None, :]  # (queries, length): a word sees itself and those before it
        else:
            places = ops.arange(cache[0].shape[1])
            mask = places <= position
            here = (places == position)[:, None]  # (max_positions, 1); ops.slice_update has no operator in ONNX
            words = [ops.where(here, new, old) for new, old in zip(words, cache, strict=True)]
        attended, _ = self.self_attention(normed, *words, mask)
        hidden = hidden + self.dropout(attended, training=training)
        attended, weights = self.cross_attention(self.norms[1](hidden), *photo)
        hidden = hidden + self.dropout(attended, training=training)
        forward = self.narrow(self.widen(self.norms[2](hidden)))
        return hidden + self.dropout(forward, training=training), words, weights


class TransformerDecoder(CaptionDecoder):
    """Next-word logits from the words so far and a grid of regions, by attention alone.

    The regions are normalised, projected to `hidden_dim` and given learned positions; with `encoder_layers` they then
    attend to each other. The embedding of the words is
    also the last layer's matrix (tied), which on small data saves parameters and overfits less.

    Args:
        config: `TransformerConfig`.

    Call arguments:
        inputs: tuple `(features, input_tokens)`: float `(batch, num_regions, feature_dim)` and int32
            `(batch, sequence_length)`, at most `max_positions` long. The features may have fewer rows: each is then the
            photo of as many rows of tokens, which stand together.
        training: bool, whether dropout is on.

    Returns:
        float32 logits `(batch, sequence_length, vocabulary_size)`; position `i` predicts token `i + 1`.

    Example:
        >>> decoder = TransformerDecoder(TransformerConfig(vocabulary_size=9, feature_shape=(49, 512)))
        >>> decoder((ops.zeros((2, 49, 512)), ops.ones((2, 5), "int32"))).shape == (2, 5, 9)
        True

    References:
        Vaswani et al. 2017 (arXiv:1706.03762); tying: Press and Wolf 2017 (arXiv:1608.05859).
    """

    config: TransformerConfig
    has_attention = True
    shares_photos = True

    def __init__(self, config: TransformerConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.normalise = keras.layers.LayerNormalization(name="normalise")
        self.drop_channels = keras.layers.SpatialDropout1D(config.photo_dropout, name="drop_channels")
        regions_alone = (None, config.feature_shape[0], 1)
        self.drop_regions = keras.layers.Dropout(config.region_dropout, noise_shape=regions_alone, name="drop_regions")
        self.project = keras.layers.Dense(config.hidden_dim, name="project")
        self.regions = keras.layers.Embedding(config.feature_shape[0], config.hidden_dim, name="regions")
        self.embed = keras.layers.Embedding(config.vocabulary_size, config.hidden_dim, name="embed")
        self.positions = keras.layers.Embedding(config.max_positions, config.hidden_dim, name="positions")
        self.dropout = keras.layers.Dropout(config.dropout, name="dropout")
        self.encoder_blocks = [EncoderLayer(config, name=f"encoder_{i}") for i in range(config.encoder_layers)]
        norm = keras.layers.LayerNormalization if config.encoder_layers else keras.layers.Identity
        self.encoder_norm = norm(name="encoder_norm")
        self.blocks = [DecoderLayer(config, name=f"layer_{index}") for index in range(config.num_layers)]
        self.final_norm = keras.layers.LayerNormalization(name="final_norm")
        self.build()

    def build(self, input_shape: Any = None) -> None:
        """Create the variables; all their shapes follow from the configuration."""
        hidden = (None, None, self.config.hidden_dim)
        self.normalise.build((None, *self.config.feature_shape))
        self.project.build((None, *self.config.feature_shape))
        for layer in (self.regions, self.embed, self.positions):
            layer.build((None,))
        for block in self.encoder_blocks:
            block.build(hidden)
        self.encoder_norm.build(hidden)
        for block in self.blocks:
            block.build(hidden)
        self.final_norm.build(hidden)
        self.bias = self.add_weight(shape=(self.config.vocabulary_size,), initializer="zeros", name="bias")
        self.built = True

    def call(self, inputs: tuple[Tensor, Tensor], training: bool = False) -> Tensor:
        features, input_tokens = inputs
        photo = self._photo(features, training)
        places = ops.arange(ops.shape(input_tokens)[1])
        hidden = self.dropout(self._embed(input_tokens, places), training=training)
        for block, memory in zip(self.blocks, photo, strict=True):
            hidden, *_ = block(hidden, memory, training=training)
        return self._logits(hidden)

    @property
    def max_length(self) -> int:
        """As many tokens as there are positions."""
        return self.config.max_positions

    def initial_state(self, features: Tensor) -> State:
        """Per layer the photo's keys and values, and a cache for those of the words, still empty."""
        photo: dict[str, Tensor] = {}
        words = {"position": ops.zeros((features.shape[0],), "int32")}
        empty = ops.zeros((features.shape[0], self.config.max_positions, self.config.hidden_dim), "float32")
        for index, (keys, values) in enumerate(self._photo(features, training=False)):
            photo |= {f"keys_{index}": keys, f"values_{index}": values}
            words |= {f"keys_{index}": empty, f"values_{index}": empty}
        return State(photo, words)

    def step_with_attention(self, tokens: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """One more word; the weights are those of the last layer, mean of the heads."""
        photo, words = state
        position = words["position"][0]  # all rows are at the same word
        hidden = self._embed(tokens[:, None], ops.reshape(position, (1,)))  # (batch, 1, hidden_dim)
        after = {"position": words["position"] + 1}
        for index, block in enumerate(self.blocks):
            names = (f"keys_{index}", f"values_{index}")
            regions, cache = ([part[name] for name in names] for part in state)
            hidden, cache, weights = block(hidden, regions, cache, position)
            after |= dict(zip(names, cache, strict=True))
        return self._logits(hidden)[:, 0], State(photo, after), ops.mean(weights, axis=1)[:, 0]

    def _photo(self, features: Tensor, training: bool) -> list[list[Tensor]]:
        """Each layer's keys and values of the regions."""
        features = self.normalise(ops.cast(features, "float32"))
        features = self.drop_regions(self.drop_channels(features, training=training), training=training)
        regions = self.project(features)
        regions = regions + self.regions(ops.arange(self.config.feature_shape[0]))
        regions = self.dropout(regions, training=training)  # (batch, num_regions, hidden_dim)
        for block in self.encoder_blocks:
            regions = block(regions, training=training)
        regions = self.encoder_norm(regions)
        return [block.cross_attention.remember(regions) for block in self.blocks]

    def _embed(self, tokens: Tensor, places: Tensor) -> Tensor:
        """Tokens (batch, length) at places (length,) → (batch, length, hidden_dim)."""
        return self.embed(tokens) * self.config.hidden_dim**0.5 + self.positions(places)

    def _logits(self, hidden: Tensor) -> Tensor:
        return ops.matmul(self.final_norm(hidden), ops.transpose(self.embed.embeddings)) + self.bias
