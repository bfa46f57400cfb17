"""What every decoder is: the contract between decoders and all that uses them."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import keras

from captioning_utils.base.errors import InputError
from captioning_utils.base.types import Tensor


class State(NamedTuple):
    """What a decoder knows between two words; every tensor's first axis is the batch."""

    photo: dict[str, Tensor]  # depends on the photo alone: the same before and after every word
    words: dict[str, Tensor]  # carried from word to word; names, shapes and dtypes stay


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
    """What the configurations of all decoders have; each adds sizes of its own, with defaults."""

    vocabulary_size: int  # rows of the embedding and of the softmax, the four special tokens included
    feature_shape: tuple[int, ...]  # (feature_dim,) of a pooled encoder or (num_regions, feature_dim) of a grid

    def count_parameters(self) -> int:
        """How many numbers the decoder holds; int. Known before anything is built, for `check_file`."""
        raise NotImplementedError

    def check_file(self, num_words: int, num_stored: int) -> None:
        """Refuse a captioner file of other sizes, so that no file can ask for more memory than it fills itself.

        Args:
            num_words: int, of the file's vocabulary.
            num_stored: int, numbers that the file holds for the decoder.

        Raises:
            InputError: where either is not what the decoder has.
        """
        if self.vocabulary_size != num_words:
            raise InputError(
                f"{num_words} words for a decoder of {self.vocabulary_size}; copy or download the file again"
            )
        wanted = self.count_parameters()
        if num_stored != wanted:
            raise InputError(
                f"it holds {num_stored} numbers, its decoder has {wanted}; copy or download the file again"
            )


class CaptionDecoder(keras.Model):
    """Turns the features of a photo and the words so far into logits for the next word; the base of all decoders.

    A new decoder has a frozen dataclass derived from `DecoderConfig` and a class derived from this one, and is named in
    `decoders/plain.py`; training, generation, captioner files, export and the web page then work with it unchanged.
    The class creates all its variables in `__init__`, in an order that depends on the configuration alone, since files
    store them in that order, and defines:

    - `call((features, input_tokens), training=False)` for training, all words of a caption at once: float
      `(batch, *feature_shape)` and int32 `(batch, sequence_length)` → float32 logits
      `(batch, sequence_length, vocabulary_size)`. Position `i` predicts token `i + 1` and depends on no later token.
      Padding stands on the right.
    - `initial_state(features)` and `step(tokens, state)` for generation, word by word. Stepping through a caption gives
      the logits that `call` gives, without dropout. Both are compiled into a loop, so they are made of `keras.ops` and
      layers, and rows do not influence each other: beam search puts the rows of `state.words` in another order after
      every word. The rows of `state.photo` stay where they are.

    Where there are any, it overrides `max_length`, and `has_attention` with `step_with_attention`.

    Args:
        config: `DecoderConfig`, everything that is needed to build the decoder again; kept as `config`.
        **kwargs: of `keras.Model`.

    Attributes:
        has_attention: bool, whether it looks at the regions anew for every word, as `step_with_attention` shows.
        shares_photos: bool, whether `call` takes one row of features for several rows of tokens, which stand together.
    """

    config: DecoderConfig
    has_attention = False
    shares_photos = False

    def __init__(self, config: DecoderConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = config

    @property
    def max_length(self) -> int | None:
        """Tokens of the longest sentence that it can write, the end token included; None where there is no limit."""
        return None

    @property
    def checkpoint_variables(self) -> list[keras.Variable]:
        """The variables that a checkpoint keeps: all that training may change."""
        return self.variables

    def initial_state(self, features: Tensor) -> State:
        """State before the first word, from features `(batch, *feature_shape)`."""
        raise NotImplementedError

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """One more word: tokens int32 `(batch,)` and state → logits `(batch, vocabulary_size)` and the new state."""
        logits, state, _ = self.step_with_attention(tokens, state)
        return logits, state

    def step_with_attention(self, tokens: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """As `step`, and the weights over the regions that were looked at: float `(batch, num_regions)`, sum 1."""
        raise NotImplementedError
