"""The merge decoder: the photo and the words so far meet only where the next word is chosen."""

import dataclasses
from typing import Any

import keras
from keras import ops

from captioning_utils.base.checks import check_feature_shape, check_shares, check_sizes
from captioning_utils.base.types import Tensor
from captioning_utils.decoders.base import CaptionDecoder, DecoderConfig, State


@dataclasses.dataclass(frozen=True)
class MergeConfig(DecoderConfig):
    """Sizes of a `MergeDecoder`; everything that is needed to build it again."""

    embedding_dim: int = 256  # numbers per word
    hidden_dim: int = 512  # width of the LSTM and of the merged vector
    num_heads: int = 4  # a grid only: how many weighted averages of its regions are taken
    dropout: float = 0.5  # share of the image features and of the embedded words that is dropped in training
    hidden_dropout: float = 0.3  # share of the LSTM's output and of the merged vector that is dropped in training

    def __post_init__(self) -> None:
        check_feature_shape(self, allow_pooled=True)
        check_sizes(self, "vocabulary_size", "embedding_dim", "hidden_dim", "num_heads")
        check_shares(self, "dropout", "hidden_dropout")

    def count_parameters(self) -> int:
        features, hidden, words = self.feature_shape[-1], self.hidden_dim, self.vocabulary_size
        total = 2 * features
        if len(self.feature_shape) == 2:
            total += (features + 1) * hidden + (hidden + 1) * self.num_heads
            features *= self.num_heads
        total += (features + 1) * hidden + words * self.embedding_dim
        total += 4 * hidden * (self.embedding_dim + hidden + 1)
        return total + (hidden + 1) * hidden + (hidden + 1) * words


class MergeDecoder(CaptionDecoder):
    """Next-word logits from a photo's features and the words so far, which are merged by addition.

    image: features → layer normalisation → dropout → dense  ┐
                                                             + → dense → logits
    words: embedding → dropout → LSTM                        ┘

    The photo never enters the LSTM, so the LSTM is a language model and may be small. Of a grid of regions, a few
    averages are taken first, each with weights of its own, which depend on the regions and not on the words. Layer
    normalisation takes the scale out of the features: those of other encoders are up to a hundred times larger.

    Args:
        config: `MergeConfig`.

    Call arguments:
        inputs: tuple `(features, input_tokens)`: float `(batch, *feature_shape)` and int32 `(batch, sequence_length)`.
        training: bool, whether dropout is on.

    Returns:
        float32 logits `(batch, sequence_length, vocabulary_size)`; position `i` predicts token `i + 1`.

    Example:
        >>> decoder = MergeDecoder(MergeConfig(vocabulary_size=9, feature_shape=(512,)))
        >>> decoder((ops.zeros((2, 512)), ops.ones((2, 5), "int32"))).shape == (2, 5, 9)
        True

    References:
        Tanti, Gatt and Camilleri 2018, Where to put the image in an image caption generator (arXiv:1703.09137).
    """

    config: MergeConfig

    def __init__(self, config: MergeConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.normalise = keras.layers.LayerNormalization(name="normalise")
        self.region_keys = keras.layers.Dense(config.hidden_dim, activation="tanh", name="region_keys")
        self.region_scores = keras.layers.Dense(config.num_heads, name="region_scores")
        self.drop_image = keras.layers.Dropout(config.dropout, name="drop_image")
        self.image = keras.layers.Dense(config.hidden_dim, activation="relu", name="image")
        self.embed = keras.layers.Embedding(config.vocabulary_size, config.embedding_dim, name="embed")
        self.drop_words = keras.layers.Dropout(config.dropout, name="drop_words")
        self.lstm = keras.layers.LSTM(config.hidden_dim, return_sequences=True, name="lstm")
        self.drop_hidden = keras.layers.Dropout(config.hidden_dropout, name="drop_hidden")
        self.merged = keras.layers.Dense(config.hidden_dim, activation="relu", name="merged")
        self.logits = keras.layers.Dense(config.vocabulary_size, name="logits")
        self.build()

    def build(self, input_shape: Any = None) -> None:
        """Create the variables; all their shapes follow from the configuration."""
        is_grid, feature_dim = len(self.config.feature_shape) == 2, self.config.feature_shape[-1]
        hidden = (None, self.config.hidden_dim)
        self.normalise.build((None, feature_dim))
        if is_grid:
            self.region_keys.build((None, feature_dim))
            self.region_scores.build(hidden)
        self.image.build((None, feature_dim * (self.config.num_heads if is_grid else 1)))
        self.embed.build((None, None))
        self.lstm.build((None, None, self.config.embedding_dim))
        self.merged.build(hidden)
        self.logits.build(hidden)
        self.built = True

    def call(self, inputs: tuple[Tensor, Tensor], training: bool = False) -> Tensor:
        features, input_tokens = inputs
        image = self._image_vector(features, training)  # (batch, hidden_dim)
        words = self.drop_words(self.embed(input_tokens), training=training)  # (batch, length, embedding_dim)
        words = self.lstm(words, training=training)  # (batch, length, hidden_dim)
        return self._merge(image[:, None, :], words, training)  # (batch, length, vocabulary_size)

    def initial_state(self, features: Tensor) -> State:
        """The photo as a vector, and an LSTM that has read nothing: all `(batch, hidden_dim)`."""
        image = self._image_vector(features, training=False)
        return State({"image": image}, {"hidden": ops.zeros_like(image), "cell": ops.zeros_like(image)})

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """One more word through the LSTM, merged with the photo."""
        photo, words = state
        word, (hidden, cell) = self.lstm.cell(self.embed(tokens), [words["hidden"], words["cell"]])
        return self._merge(photo["image"], word, training=False), State(photo, {"hidden": hidden, "cell": cell})

    def _image_vector(self, features: Tensor, training: bool) -> Tensor:
        features = self.normalise(ops.cast(features, "float32"))
        if len(self.config.feature_shape) == 2:
            features = self._summarize(self.drop_image(features, training=training))
        return self.image(self.drop_image(features, training=training))

    def _summarize(self, regions: Tensor) -> Tensor:
        """(batch, num_regions, feature_dim) → weighted averages, one a head: (batch, num_heads * feature_dim)."""
        scores = self.region_scores(self.region_keys(regions))  # (batch, num_regions, num_heads)
        weights = ops.transpose(ops.softmax(scores, axis=1), (0, 2, 1))  # (batch, num_heads, num_regions)
        averages = ops.matmul(weights, regions)  # (batch, num_heads, feature_dim)
        return ops.reshape(averages, (-1, averages.shape[1] * averages.shape[2]))

    def _merge(self, image: Tensor, words: Tensor, training: bool) -> Tensor:
        merged = self.merged(image + self.drop_hidden(words, training=training))
        return self.logits(self.drop_hidden(merged, training=training))
