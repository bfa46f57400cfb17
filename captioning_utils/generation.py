"""From features to sentences: greedy, beam search and sampling, batched, compiled, for every decoder.

All that is asked of a decoder is `initial_state(features) -> state` and `step(tokens, state) -> (logits, state)`; see
`decoders.base.CaptionDecoder`. What it knows of the words is carried from word to word, so a word costs one step,
however long the sentence already is. What it knows of the photo stays outside the loop: the beams of a photo share it.
"""

import dataclasses
import functools
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from captioning_utils.base.backend import in_standard_settings
from captioning_utils.base.errors import InputError
from captioning_utils.base.types import Tensor
from captioning_utils.base.word_pairs import build_table
from captioning_utils.decoders.base import CaptionDecoder, State
from captioning_utils.decoders.next_words import (
    END_ID,
    IMPOSSIBLE,
    PAD_ID,
    START_ID,
    find_followers,
    forbid_tokens,
    keep_followers,
    sample_words,
)
from captioning_utils.metrics.cider import similarity_d, vectorize_ngrams
from captioning_utils.settings import GenerationConfig

BATCH_SIZE = 32  # photos per compiled call; the last batch is filled up, so that one shape is compiled
MAX_COMPILED = 8  # settings that stay compiled, some 6 MB each; a web page would collect hundreds


class Generated(NamedTuple):
    """Sentences for a batch of photos, best first."""

    token_ids: NDArray[np.int32]  # int32 (batch, num_captions, max_length), padded with 0 behind the end token
    log_probs: NDArray[np.float32]  # float32 (batch, num_captions), nats: the sum over the sentence's tokens
    scores: NDArray[np.float32]  # float32 (batch, num_captions), the ranking: see `rank_captions`


class _Loop(NamedTuple):
    """What is carried from word to word, for `rows = batch * beams` sentences in the making."""

    position: Tensor  # int32 scalar, words chosen so far
    tokens: Tensor  # int32 (batch, beams, max_length)
    log_probs: Tensor  # float32 (batch, beams)
    lengths: Tensor  # float32 (batch, beams), tokens chosen, the end token included
    finished: Tensor  # bool (batch, beams), the end token has been chosen
    words: dict[str, Tensor]  # what the decoder knows of them, each (rows, …)


class _Generator(keras.Model):
    """A decoder and a configuration as one model, because `predict_on_batch` compiles a model on every backend."""

    def __init__(
        self, decoder: CaptionDecoder, config: GenerationConfig, beams: int, seen: keras.Variable | None
    ) -> None:
        super().__init__(name="caption_generator")
        self.decoder = decoder
        self.config = config
        self.beams = beams
        self.seen = seen  # the table of the pairs of words that are allowed; None allows all
        self.built = True  # all its variables are there

    def call(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        features, *draws = inputs
        photo, words = (
            {name: ops.repeat(value, self.beams, axis=0) for name, value in part.items()}  # (rows, …)
            for part in self.decoder.initial_state(features)
        )
        loop = self._start(features.shape[0], words)
        (loop,) = ops.while_loop(self._unfinished, lambda loop: (self._advance(loop, photo, draws),), (loop,))
        return loop.tokens, loop.log_probs, loop.lengths, loop.finished

    def _start(self, batch: int, words: dict[str, Tensor]) -> _Loop:
        shape = (batch, self.beams)
        return _Loop(
            position=ops.convert_to_tensor(0, "int32"),
            tokens=ops.full((*shape, self.config.max_length), PAD_ID, "int32"),
            log_probs=self._first_log_probs(shape),
            lengths=ops.zeros(shape, "float32"),
            finished=ops.zeros(shape, "bool"),
            words=words,
        )

    def _unfinished(self, loop: _Loop) -> Tensor:
        return ops.logical_and(loop.position < self.config.max_length, ops.logical_not(ops.all(loop.finished)))

    def _advance(self, loop: _Loop, photo: dict[str, Tensor], draws: list[Tensor]) -> _Loop:
        """Choose one more word for every sentence."""
        batch, beams, length = loop.tokens.shape
        last = ops.take(loop.tokens, ops.maximum(loop.position - 1, 0), axis=2)  # (batch, beams)
        last = ops.where(loop.position == 0, START_ID, last)
        logits, (_, words) = self.decoder.step(ops.reshape(last, (-1,)), State(photo, loop.words))  # (rows, vocabulary)
        history = ops.reshape(loop.tokens, (-1, length))  # (rows, max_length)
        logits = forbid_tokens(ops.cast(logits, "float32"), history, loop.position, self.config.block_repeats)
        log_probs = ops.log_softmax(logits)
        if self.seen is not None:
            followers = find_followers(self.seen, ops.reshape(last, (-1,)), logits.shape[1])
            log_probs = keep_followers(log_probs, followers, loop.position)
        log_probs = ops.reshape(log_probs, (batch, beams, -1))  # (batch, beams, vocabulary)
        beam, word, log_prob = self._choose(loop, log_probs, draws)  # each (batch, beams)
        finished = ops.take_along_axis(loop.finished, beam, axis=1)
        word = ops.where(finished, PAD_ID, word)
        tokens = ops.take_along_axis(loop.tokens, beam[:, :, None], axis=1)
        rows = ops.reshape(beam + beams * ops.arange(batch)[:, None], (-1,))
        return _Loop(
            position=loop.position + 1,
            tokens=ops.where(ops.arange(length) == loop.position, word[:, :, None], tokens),
            log_probs=log_prob,
            lengths=ops.take_along_axis(loop.lengths, beam, axis=1) + ops.cast(~finished, "float32"),
            finished=ops.logical_or(finished, word == END_ID),
            # a decoder of mixed precision may give another dtype than it began with; a loop keeps each
            words={
                name: ops.cast(ops.take(each, rows, axis=0), loop.words[name].dtype) for name, each in words.items()
            },
        )


class _Search(_Generator):
    """Beam search; with one beam, greedy search.

    A finished sentence keeps its beam and competes on with its final score, so the search ends when all beams
    have finished, and `beam_size=1` is exactly the greedy choice.
    """

    def _first_log_probs(self, shape: tuple[int, int]) -> Tensor:
        # All beams begin with the same start token: only the first may grow, or they would be copies.
        first = ops.arange(shape[1]) == 0
        return ops.broadcast_to(ops.where(first, 0.0, IMPOSSIBLE), shape)

    def _choose(self, loop: _Loop, log_probs: Tensor, draws: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        vocabulary = log_probs.shape[-1]
        only_pad = ops.where(ops.arange(vocabulary) == PAD_ID, 0.0, IMPOSSIBLE)
        step = ops.where(loop.finished[:, :, None], only_pad, log_probs)
        total = loop.log_probs[:, :, None] + step  # (batch, beams, vocabulary)
        lengths = loop.lengths + ops.cast(~loop.finished, "float32")
        (length_penalty,) = draws  # (batch,)
        scores = total / lengths[:, :, None] ** length_penalty[:, None, None]
        _, best = ops.top_k(ops.reshape(scores, (scores.shape[0], -1)), self.beams)  # (batch, beams)
        log_prob = ops.take_along_axis(ops.reshape(total, (total.shape[0], -1)), best, axis=1)
        return best // vocabulary, best % vocabulary, log_prob


class _Sampler(_Generator):
    """Draws every word from the decoder's distribution, narrowed by temperature and top-p."""

    def _first_log_probs(self, shape: tuple[int, int]) -> Tensor:
        return ops.zeros(shape, "float32")

    def _choose(self, loop: _Loop, log_probs: Tensor, draws: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        uniforms, temperature, top_p = draws  # (batch, beams, max_length), (batch,), (batch,)
        uniform = ops.take(uniforms, loop.position, axis=2)  # (batch, beams)
        word = sample_words(log_probs / temperature[:, None, None], uniform, top_p[:, None, None])
        chosen = ops.take_along_axis(log_probs, word[:, :, None], axis=2)[:, :, 0]
        beam = ops.broadcast_to(ops.arange(word.shape[1], dtype="int32"), word.shape)
        return beam, word, ops.where(loop.finished, loop.log_probs, loop.log_probs + chosen)


def rank_captions(
    token_ids: NDArray[np.int32],
    log_probs: NDArray[np.float32],
    lengths: NDArray[np.float32],
    finished: NDArray[np.bool_],
    config: GenerationConfig,
) -> Generated:
    """Order each photo's sentences, best first; one that never ended stands behind all that did.

    The score is `log_prob / tokens ** length_penalty`; after a search with `consensus` it is the agreement with the
    photo's other sentences, from 0 to 1.

    Args:
        token_ids: int32 `(batch, beams, max_length)`.
        log_probs: float32 `(batch, beams)`, nats.
        lengths: float32 `(batch, beams)`, tokens, the end token included.
        finished: bool `(batch, beams)`.
        config: `GenerationConfig`, for `length_penalty`, `consensus` and `num_captions`.

    Returns:
        `Generated` with the first `num_captions` sentences.

    Example:
        >>> ranked = rank_captions(
        ...     np.array([[[4, 5], [6, 2]]]), np.array([[-1.0, -9.0]]), np.array([[2.0, 2.0]]),
        ...     np.array([[False, True]]), GenerationConfig(length_penalty=1.0),
        ... )
        >>> ranked.token_ids.tolist(), ranked.scores.tolist()
        ([[[6, 2]]], [[-4.5]])

    References:
        Wu et al. 2016, section 7 (arXiv:1609.08144) discusses length normalisation.
    """
    scores: NDArray[Any] = log_probs / np.maximum(lengths, 1.0) ** config.length_penalty
    ended = finished & (log_probs > IMPOSSIBLE / 2)  # with few words, beams may be filled up with impossible ones
    if config.consensus and config.temperature is None:
        scores = np.stack([_agreement(*photo) for photo in zip(token_ids, scores, ended, strict=True)])
    order = np.lexsort((-scores, ~ended), axis=1)[:, : config.num_captions]
    token_ids = np.take_along_axis(token_ids, order[:, :, None], axis=1)
    log_probs, scores = np.take_along_axis(log_probs, order, axis=1), np.take_along_axis(scores, order, axis=1)
    return Generated(token_ids, log_probs, scores)


def _agreement(
    token_ids: NDArray[np.int32], scores: NDArray[np.float32], ended: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """One photo's sentences (beams, max_length) → the agreement of each that ended; the others keep their score."""
    agreement = scores.astype("float32")
    sentences = [[token for token in ids.tolist() if token not in (PAD_ID, END_ID)] for ids in token_ids[ended]]
    agreement[ended] = measure_agreement(sentences, scores[ended])
    return agreement


class CaptionGenerator:
    """Writes captions with one decoder; compiled on first use and kept, so later calls are quick.

    Example:
        >>> from captioning_utils.decoders import build_decoder
        >>> decoder = build_decoder("merge", vocabulary_size=9, feature_shape=(8,))
        >>> generated = CaptionGenerator(decoder).generate(
        ...     np.ones((2, 8), "float16"), GenerationConfig(beam_size=3, max_length=6, num_captions=2)
        ... )
        >>> generated.token_ids.shape, generated.scores.shape
        ((2, 2, 6), (2, 2))
    """

    def __init__(
        self, decoder: CaptionDecoder, batch_size: int = BATCH_SIZE, pairs: NDArray[np.int32] | None = None
    ) -> None:
        self.decoder = decoder
        self.batch_size = batch_size  # photos per compiled call
        self.pairs = pairs  # (num_pairs, 2), the tokens that may follow one another; None: all
        self._compiled: dict[tuple[int, bool, GenerationConfig], _Generator] = {}

    @in_standard_settings
    def generate(self, features: NDArray[Any], config: GenerationConfig = GenerationConfig()) -> Generated:
        """Sentences for features.

        Args:
            features: float `(batch, *feature_shape)`, any batch size; or int32 rows for a decoder that keeps them.
            config: `GenerationConfig`.

        Returns:
            `Generated`: token ids and scores, best sentence first.

        Raises:
            InputError: for more words than the decoder writes.
        """
        features = features if features.dtype == np.int32 else np.asarray(features, "float32")
        self._check_length(config)
        size = 1 if len(features) == 1 else self.batch_size
        beams = config.beam_size if config.temperature is None else config.num_captions
        rng = np.random.default_rng(config.seed)
        parts = []
        for start in range(0, len(features), size):
            batch = features[start : start + size]
            real = len(batch)
            batch = np.concatenate([batch, np.repeat(batch[:1], size - real, axis=0)])
            tokens, log_probs, lengths, finished = (part[:real] for part in self._run(batch, beams, config, rng))
            parts.append(rank_captions(tokens, log_probs, lengths, finished, config))
        return Generated(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    @functools.cached_property
    def _seen(self) -> keras.Variable | None:
        """The table of the pairs, once for all compiled programs."""
        if self.pairs is None:
            return None
        table = build_table(self.pairs, self.decoder.config.vocabulary_size)
        return keras.Variable(table, trainable=False, dtype="uint8", name="seen_pairs")

    def _check_length(self, config: GenerationConfig) -> None:
        longest = self.decoder.max_length
        if longest and config.max_length > longest:
            raise InputError(f"max_length is {config.max_length}; this captioner writes at most {longest} words")

    def _run(
        self, batch: NDArray[np.float32], beams: int, config: GenerationConfig, rng: np.random.Generator
    ) -> list[NDArray[Any]]:
        # What may differ from call to call without a new compilation goes in as numbers, not as configuration.
        fixed = dataclasses.replace(
            config,
            seed=0,
            beam_size=beams,
            num_captions=1,
            length_penalty=0.0,
            top_p=1.0,
            temperature=None,
            consensus=False,
        )
        sampling = config.temperature is not None
        key = (len(batch), sampling, fixed)
        if key not in self._compiled:
            while len(self._compiled) >= MAX_COMPILED:
                del self._compiled[next(iter(self._compiled))]  # the oldest
            self._compiled[key] = (_Sampler if sampling else _Search)(
                self.decoder, fixed, beams, self._seen if config.seen_pairs else None
            )
        numbers = (config.temperature, config.top_p) if sampling else (config.length_penalty,)
        draws = [rng.random((len(batch), beams, config.max_length), "float32")] if sampling else []
        inputs = [batch, *draws, *(np.full(len(batch), number, "float32") for number in numbers)]
        return [np.asarray(part) for part in self._compiled[key].predict_on_batch(tuple(inputs))]


def to_float32(features: NDArray[Any]) -> NDArray[np.float32]:
    """Features that an encoder could have made; of any others a decoder would write the same sentence.

    Args:
        features: float `(batch, *feature_shape)`.

    Returns:
        float32 array of the same shape.

    Raises:
        InputError: for features that are not finite or larger than any encoder's, with the photo's number.

    Example:
        >>> to_float32(np.ones((2, 3), "float16")).dtype
        dtype('float32')
    """
    with np.errstate(over="ignore"):
        lost = ~np.isfinite(features.astype(np.float16)).reshape(len(features), -1).all(axis=1)
    if lost.any():
        raise InputError(
            f"the features of photo number {lost.argmax() + 1} hold NaN or numbers beyond ±65504, which float16 cannot "
            "hold; make them with the captioner's encoder"
        )
    return features.astype(np.float32)


SHARPNESS = 4.0  # how much more a likelier sentence counts; chosen on Flickr8k's val split, where 2 to 10 differ little


def measure_agreement(sentences: Sequence[Sequence[Hashable]], scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """The expected similarity of each sentence to all of them, a likelier sentence counting more.

    The similarity is CIDEr-D's without the rarity of words, so it needs no collection of captions.

    Args:
        sentences: list of lists of tokens (str or int).
        scores: float `(len(sentences),)`, log-probabilities per token, nats.

    Returns:
        float32 `(len(sentences),)`, from 0 to 1.

    Example:
        >>> sentences = [["a", "dog", "runs"], ["a", "dog", "runs", "on", "grass"], ["two", "cats"]]
        >>> [round(float(each), 2) for each in measure_agreement(sentences, np.zeros(3))]
        [0.41, 0.5, 0.17]

    References:
        Kumar and Byrne 2004, Minimum Bayes-Risk Decoding (https://aclanthology.org/N04-1022); for captions, from those
        of similar photos: Devlin et al. 2015 (arXiv:1505.04467).
    """
    if not sentences:
        return np.zeros(0, "float32")
    vectors = [vectorize_ngrams(tokens) for tokens in sentences]
    weights = np.exp(SHARPNESS * (scores - np.max(scores)))
    similarities = np.array([[similarity_d(one, other) for other in vectors] for one in vectors])
    return (similarities @ weights / weights.sum()).astype("float32")
