"""Going on from a captioner on another dataset: it learns the new words, and forgets none by learning them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from captioning_utils.base.errors import InputError
from captioning_utils.base.storage import assign_variables, collect_variables
from captioning_utils.base.word_pairs import unite_pairs
from captioning_utils.captioner import Captioner
from captioning_utils.decoders import build_decoder, decoder_name
from captioning_utils.settings import TrainingConfig
from captioning_utils.text import MAX_WORDS_IN_VOCABULARY, Vocabulary, build_vocabulary

UNSEEN = 2.0**-25  # a share of the unknown token's probability that float32 cannot tell from 0


def grow_vocabulary(vocabulary: Vocabulary, captions: Iterable[str], min_count: int) -> Vocabulary:
    """A vocabulary with the frequent words of other captions behind its own; no word's id changes.

    Example:
        >>> old = build_vocabulary(["a dog", "a dog"], min_count=2)
        >>> grow_vocabulary(old, ["a cat sits", "a cat"], min_count=2).ordinary_words
        ('a', 'dog', 'cat')
    """
    new = [word for word in build_vocabulary(captions, min_count).ordinary_words if word not in vocabulary]
    return Vocabulary(vocabulary.words + tuple(new[: MAX_WORDS_IN_VOCABULARY - len(vocabulary)]))


def config_of(captioner: Captioner, config: TrainingConfig) -> TrainingConfig:
    """A training configuration with the captioner's decoder and its sizes.

    Example:
        >>> from captioning_utils.captioner import load_captioner
        >>> from captioning_utils.settings import TrainingConfig
        >>> config_of(load_captioner("flickr8k_merge"), TrainingConfig()).decoder_settings["hidden_dim"]
        512
    """
    own = dataclasses.asdict(captioner.decoder.config)
    for name, value in config.decoder_settings.items():
        if own.get(name) != value:
            raise InputError(f"the captioner's {name} is {own.get(name)!r}, not {value!r}; leave that setting out")
    sizes = {name: value for name, value in own.items() if name not in ("vocabulary_size", "feature_shape")}
    return dataclasses.replace(config, decoder=decoder_name(captioner.decoder), decoder_settings=sizes)


def grow_captioner(
    captioner: Captioner,
    vocabulary: Vocabulary,
    share: float = UNSEEN,
    pairs: NDArray[np.int32] | None = None,
) -> Captioner:
    """A captioner of its own for a larger vocabulary, which writes the same sentences as the one it comes from.

    Every old number is kept bit by bit. A new word begins as a copy of the unknown token, which is what the captioner
    took the word for until now: in the embedding, so that a sentence is understood as before, and in the softmax,
    because the word is one of those that were expected where the unknown token was. (The mean of all words' rows, the
    usual choice for language models, would change how sentences are understood.) Its bias is so low that it is not
    written before it is learned, and the probabilities of all others stay. Training begins with `share=1`, because
    from so low a bias a rare word would need hundreds of steps to be written; the first step drives the copies apart.

    Args:
        captioner: `Captioner`; it stays as it is.
        vocabulary: `Vocabulary` that begins with the captioner's words, as from `grow_vocabulary`.
        share: float above 0, the probability of all new words together as a share of the unknown token's.
        pairs: int32 `(num_pairs, 2)`, which token follows which in the captions to learn from; None adds none.

    Returns:
        `Captioner` with a new decoder.

    Raises:
        InputError: where the vocabulary does not begin with the captioner's words.

    Example:
        >>> from captioning_utils.captioner import load_captioner
        >>> old = load_captioner("flickr8k_merge")
        >>> new = grow_captioner(old, grow_vocabulary(old.vocabulary, ["a hexagon"], min_count=1))
        >>> len(new.vocabulary) - len(old.vocabulary), new.vocabulary.words[-1]
        (1, 'hexagon')

    References:
        Hewitt 2021, Initializing New Word Embeddings for Pretrained Language Models, on what a new word's row does
        to the old ones' probabilities (https://nlp.stanford.edu/~johnhew/vocab-expansion.html).
    """
    old_words = captioner.vocabulary.words
    if vocabulary.words[: len(old_words)] != old_words:
        raise InputError("the vocabulary does not begin with the captioner's words; make it with grow_vocabulary")
    settings = dataclasses.asdict(captioner.decoder.config) | {"vocabulary_size": len(vocabulary)}
    decoder = build_decoder(decoder_name(captioner.decoder), **settings)
    arrays = collect_variables(captioner.decoder.weights)
    grown = {
        name: _grow_array(array, tuple(variable.shape), share)
        for (name, array), variable in zip(arrays.items(), decoder.weights, strict=True)
    }
    assign_variables("the captioner", decoder.weights, grown)
    known = captioner.pairs if pairs is None else unite_pairs([captioner.pairs, pairs])
    return dataclasses.replace(captioner, decoder=decoder, vocabulary=vocabulary, pairs=known)


def _grow_array(array: NDArray[Any], shape: tuple[int, ...], share: float) -> NDArray[Any]:
    """Copies of the unknown token's numbers along the axis of the words, the one that has grown."""
    axes = [axis for axis, (old, new) in enumerate(zip(array.shape, shape, strict=True)) if old != new]
    if not axes:
        return array
    (axis,) = axes
    num_new = shape[axis] - array.shape[axis]
    unknown = np.take(array, [Vocabulary.unknown_id], axis=axis)
    if array.ndim == 1:  # the softmax's bias; all else that words have is a matrix
        unknown = unknown + np.float32(math.log(share / num_new))
    return np.concatenate([array, np.repeat(unknown, num_new, axis=axis)], axis=axis)


def describe_start(captioner: Captioner, vocabulary: Vocabulary) -> dict[str, Any]:
    """What the training summary says of the captioner that training started from; dict."""
    return {
        "fingerprint": captioner.fingerprint,
        "dataset": captioner.training.get("dataset", ""),
        "words": len(captioner.vocabulary),
        "new_words": len(vocabulary) - len(captioner.vocabulary),
    }
