"""Which words may come next, and how one of them is drawn."""

from keras import ops

from captioning_utils.base.types import Tensor
from captioning_utils.text import Vocabulary

PAD_ID, START_ID = Vocabulary.pad_id, Vocabulary.start_id
END_ID, UNKNOWN_ID = Vocabulary.end_id, Vocabulary.unknown_id
IMPOSSIBLE = -1e9  # a log-probability that no sum of real ones reaches, and finite: no NaN from 0 × inf


def forbid_tokens(logits: Tensor, history: Tensor, position: Tensor, block_repeats: int) -> Tensor:
    """Mask tokens that may not come next.

    Never: padding, the start token, the unknown token, and the end token as the first word. With `block_repeats=n`
    also every word that would complete a run of `n` words that the sentence holds already.

    Args:
        logits: float32 `(rows, vocabulary_size)`.
        history: int32 `(rows, max_length)`, the words so far, 0 behind them.
        position: int32 scalar, the number of words so far.
        block_repeats: int, 0 (off) or 2 and more.

    Returns:
        float32 `(rows, vocabulary_size)`, with -1e9 where a token is forbidden.

    Example:
        >>> logits = ops.zeros((1, 7))
        >>> history = ops.convert_to_tensor([[4, 5, 6, 4, 5, 0]])
        >>> (ops.convert_to_numpy(forbid_tokens(logits, history, 5, 3))[0] < 0).nonzero()[0].tolist()
        [0, 1, 3, 6]

    References:
        Blocking repeated n-grams: Paulus et al. 2017, section 2.5 (arXiv:1705.04304).
    """
    tokens = ops.arange(logits.shape[-1])
    never = (tokens == PAD_ID) | (tokens == START_ID) | (tokens == UNKNOWN_ID)
    never = never | ((tokens == END_ID) & (position == 0))
    logits = ops.where(never, IMPOSSIBLE, logits)
    if not block_repeats or history.shape[1] < block_repeats:
        return logits
    rows, length = history.shape
    starts = length - block_repeats + 1
    repeats = ops.arange(starts) + block_repeats <= position  # (starts,), runs that lie in the words so far
    for offset in range(block_repeats - 1):
        recent = ops.take(history, ops.maximum(position - block_repeats + 1 + offset, 0), axis=1)  # (rows,)
        repeats = repeats & (history[:, offset : offset + starts] == recent[:, None])  # (rows, starts)
    completing = ops.where(repeats, history[:, block_repeats - 1 :], PAD_ID)  # padding is forbidden anyway
    row = ops.broadcast_to(ops.arange(rows)[:, None], (rows, starts))
    indices = ops.stack([ops.reshape(row, (-1,)), ops.reshape(completing, (-1,))], axis=1)
    return ops.scatter_update(logits, indices, ops.full((rows * starts,), IMPOSSIBLE, "float32"))


def find_followers(table: Tensor, last: Tensor, vocabulary_size: int) -> Tensor:
    """The tokens that may follow each of some.

    Args:
        table: uint8 `(vocabulary_size, ⌈vocabulary_size / 8⌉)`, see `base.word_pairs.build_table`.
        last: int32 `(rows,)`.
        vocabulary_size: int.

    Returns:
        bool `(rows, vocabulary_size)`.

    Example:
        >>> import numpy as np
        >>> from captioning_utils.base.word_pairs import build_table
        >>> table = build_table(np.array([[1, 4], [4, 2], [4, 9]]), vocabulary_size=10)
        >>> followers = find_followers(table, ops.convert_to_tensor([1, 4]), vocabulary_size=10)
        >>> [row.nonzero()[0].tolist() for row in ops.convert_to_numpy(followers)]
        [[4], [2, 9]]
    """
    packed = ops.take(ops.convert_to_tensor(table), last, axis=0)  # (rows, bytes)
    bits = ops.convert_to_tensor([1 << bit for bit in range(8)], "uint8")
    follows = ops.bitwise_and(packed[:, :, None], bits) > 0  # (rows, bytes, 8)
    return ops.reshape(follows, (packed.shape[0], -1))[:, :vocabulary_size]


def keep_followers(log_probs: Tensor, followers: Tensor, position: Tensor) -> Tensor:
    """Mask the tokens that do not follow the last one in any train caption.

    The others keep their log-probability: a sentence is as likely as it was, so the search finds the same one where
    nothing was to be forbidden. Where no token is left the sentence ends; the first word is then any.

    Args:
        log_probs: float32 `(rows, vocabulary_size)`, of the tokens that `forbid_tokens` leaves.
        followers: bool `(rows, vocabulary_size)`.
        position: int32 scalar, the number of words so far.

    Returns:
        float32 `(rows, vocabulary_size)`, with -1e9 where a token is forbidden.

    Example:
        >>> followers = ops.convert_to_tensor([[False] * 5 + [True] * 2, [False] * 7])
        >>> kept = ops.convert_to_numpy(keep_followers(ops.zeros((2, 7)), followers, position=1))
        >>> [(row == 0).nonzero()[0].tolist() for row in kept]
        [[5, 6], [2]]
    """
    stuck = ~ops.any(followers & (log_probs > IMPOSSIBLE / 2), axis=-1, keepdims=True)  # (rows, 1)
    ends = (ops.arange(log_probs.shape[-1]) == END_ID) | (position == 0)
    return ops.where(followers | (stuck & ends), log_probs, IMPOSSIBLE)


def sample_words(logits: Tensor, uniform: Tensor, top_p: Tensor) -> Tensor:
    """Draw a word from the smallest set of likeliest words that has probability `top_p` (nucleus sampling).

    Args:
        logits: float32 `(..., vocabulary_size)`, already divided by the temperature.
        uniform: float32 `(...)` in [0, 1), one random number a draw; the draw is a function of it.
        top_p: float in (0, 1], or a tensor of them that broadcasts; 1 draws from the whole distribution.

    Returns:
        int32 `(...)`, token ids.

    Example:
        >>> logits = ops.log(ops.convert_to_tensor([[0.2, 0.5, 0.3]]))
        >>> [int(sample_words(logits, ops.convert_to_tensor([u]), 1.0)[0]) for u in (0.1, 0.6, 0.9)]
        [0, 1, 2]
        >>> int(sample_words(logits, ops.convert_to_tensor([0.1]), 0.7)[0])
        1

    References:
        Holtzman et al. 2020, The Curious Case of Neural Text Degeneration (arXiv:1904.09751).
    """
    probs, top_p = ops.softmax(logits, axis=-1), ops.convert_to_tensor(top_p, "float32")
    # Sorting a vocabulary takes longer than a decoder's step, so it is left out where nothing is cut off.
    probs = ops.cond(ops.all(top_p >= 1.0), lambda: probs, lambda: _keep_nucleus(probs, top_p))
    cumulative = ops.cumsum(probs, axis=-1)
    passed = cumulative <= uniform[..., None] * cumulative[..., -1:]
    drawn = ops.sum(ops.cast(passed, "int32"), axis=-1)
    words = ops.arange(probs.shape[-1], dtype="int32")
    last_kept = ops.max(ops.where(probs > 0, words, 0), axis=-1)  # a uniform of almost 1 must not run over
    return ops.minimum(drawn, last_kept)


def _keep_nucleus(probs: Tensor, top_p: Tensor) -> Tensor:
    """Probabilities with 0 for every word outside the likeliest ones that together have probability `top_p`."""
    likeliest_first = ops.flip(ops.sort(probs, axis=-1), axis=-1)
    before = ops.cumsum(likeliest_first, axis=-1) - likeliest_first
    least = ops.min(ops.where(before < top_p, likeliest_first, 1.0), axis=-1, keepdims=True)
    return ops.where(probs >= least, probs, 0.0)
