"""Beam search in plain Python that remembers its way: for learning and for drawing, one photo at a time.

`generation.py` finds the same sentences much faster, many photos at once, and forgets what it dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from keras import ops
from numpy.typing import NDArray

from captioning_utils.base.backend import in_standard_settings
from captioning_utils.base.errors import InputError
from captioning_utils.decoders.base import State
from captioning_utils.decoders.next_words import (
    END_ID,
    IMPOSSIBLE,
    START_ID,
    forbid_tokens,
    keep_followers,
)
from captioning_utils.settings import GenerationConfig

if TYPE_CHECKING:
    from captioning_utils.captioner import Captioner


class BeamNode(NamedTuple):
    """A word that was among the best at its step, after the words on the way to it."""

    word: str
    parent: int  # index of the node before it; -1 for the start word, which has none
    log_prob: float  # nats, of this word after those before it
    total: float  # nats, the sum of log_prob on the way to it
    score: float  # total / words ** length_penalty, the ranking; nearer to 0 is better


class BeamTree(NamedTuple):
    """All that one beam search has kept at any step."""

    nodes: list[BeamNode]  # `BeamNode`, parents before children; the first is the start word
    leaves: list[int]  # int, the nodes whose sentences were kept to the end; the best sentence first

    def path(self, node: int) -> list[int]:
        """The way from the start word to a node: list of int, both ends included."""
        parent = self.nodes[node].parent
        return [*(self.path(parent) if parent >= 0 else []), node]

    def sentence(self, node: int) -> str:
        """The words behind the start word on the way to a node, the end word included: str."""
        return " ".join(self.nodes[index].word for index in self.path(node)[1:])


class _Beam(NamedTuple):
    """A sentence in the making."""

    token_ids: tuple[int, ...]  # behind the start token
    node: BeamNode  # its last word
    place: int  # of the node in the tree; -1 while the sentence is only a candidate
    state: State  # the decoder's, before it reads the last word


@in_standard_settings
def grow_beam_tree(captioner: Captioner, features: NDArray[Any], **settings: Any) -> BeamTree:
    """Search a photo's caption and keep the tree of all that was kept on the way.

    At each step every sentence in the making is tried with every next word, and of all these the best `beam_size`
    stay. A sentence that has chosen the end word is finished; it stays as long as its score is among the best.

    Args:
        captioner: `Captioner`.
        features: float array of the shape `captioner.decoder.config.feature_shape`: those of one photo.
        **settings: fields of `GenerationConfig` that replace the captioner's own, for example `beam_size=3`.

    Returns:
        `BeamTree`; its first leaf ends the likeliest sentence, which is the first of `captioner.caption_features` too.
        (With `consensus` that one chooses among the leaves by agreement, so it may choose another.)

    Raises:
        InputError: for features of another shape, a setting that is not allowed, or a temperature: sampling has no
            tree.

    Example:
        >>> from captioning_utils.captioner import load_captioner
        >>> captioner = load_captioner()
        >>> features = np.ones(captioner.decoder.config.feature_shape)
        >>> tree = grow_beam_tree(captioner, features, beam_size=2, max_length=4)
        >>> tree.nodes[0].word, len(tree.leaves)
        ('startseq', 2)

    References:
        Graves 2012, Sequence Transduction with Recurrent Neural Networks, section 2.5 (arXiv:1211.3711).
    """
    config, words = captioner.generation_settings(settings), captioner.vocabulary.words
    features = np.asarray(features, "float32")
    _check(features, captioner.decoder.config, config)
    nodes = [BeamNode(words[START_ID], -1, 0.0, 0.0, 0.0)]
    beams = [_Beam((), nodes[0], 0, captioner.decoder.initial_state(ops.convert_to_tensor(features[None])))]
    for _ in range(config.max_length):
        candidates = [candidate for beam in beams for candidate in _extend(beam, captioner, config)]
        beams = sorted(candidates, key=lambda beam: -beam.node.score)[: config.beam_size]
        for rank, beam in enumerate(beams):
            if beam.place < 0:
                beams[rank] = beam._replace(place=len(nodes))
                nodes.append(beam.node)
        if all(map(_finished, beams)):
            break
    return BeamTree(nodes, [beam.place for beam in sorted(beams, key=lambda beam: not _finished(beam))])


def _check(features: NDArray[np.float32], decoder_config: Any, config: GenerationConfig) -> None:
    if features.shape != decoder_config.feature_shape:
        raise InputError(
            f"features have shape {features.shape}; give those of one photo, {decoder_config.feature_shape}"
        )
    if config.temperature is not None:
        raise InputError(f"temperature is {config.temperature}; give None: only a search has a tree")


def _finished(beam: _Beam) -> bool:
    return beam.token_ids[-1:] == (END_ID,)


def _extend(beam: _Beam, captioner: Captioner, config: GenerationConfig) -> list[_Beam]:
    """The sentence with each of its likeliest next words; a finished one alone."""
    if _finished(beam):
        return [beam]
    token_ids, words = (START_ID, *beam.token_ids), captioner.vocabulary.words
    logits, state = captioner.decoder.step(ops.convert_to_tensor(token_ids[-1:], "int32"), beam.state)
    history, position = np.zeros((1, config.max_length), "int32"), len(beam.token_ids)
    history[0, :position] = beam.token_ids
    logits = forbid_tokens(
        ops.cast(logits, "float32"), ops.convert_to_tensor(history), position, config.block_repeats
    )  # (1, vocabulary)
    log_probs = ops.log_softmax(logits)
    if config.seen_pairs and captioner.pairs is not None:
        first, second = captioner.pairs.T
        followers = np.isin(np.arange(len(words)), second[first == token_ids[-1]])
        log_probs = keep_followers(log_probs, ops.convert_to_tensor(followers[None]), position)
    log_probs = ops.convert_to_numpy(log_probs)[0]  # (vocabulary,)
    likeliest = np.argsort(-log_probs, kind="stable")[: config.beam_size].tolist()
    candidates = []
    for token_id in likeliest:
        if log_probs[token_id] > IMPOSSIBLE / 2:  # a tiny vocabulary has fewer words than beams
            total = beam.node.total + float(log_probs[token_id])
            score = total / len(token_ids) ** config.length_penalty
            node = BeamNode(words[token_id], beam.place, float(log_probs[token_id]), total, score)
            candidates.append(_Beam((*beam.token_ids, token_id), node, -1, state))
    return candidates
