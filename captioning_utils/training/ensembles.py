"""Several captioners as one: their decoders' probabilities are averaged for every word."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from captioning_utils.base.errors import InputError
from captioning_utils.base.storage import assign_variables, collect_variables
from captioning_utils.base.word_pairs import unite_pairs
from captioning_utils.captioner import Captioner
from captioning_utils.decoders import build_decoder, decoder_name
from captioning_utils.decoders.base import CaptionDecoder


def combine_captioners(captioners: Sequence[Captioner]) -> Captioner:
    """Make one captioner of several. It is used, saved and scored like any other.

    Sentences become better than those of each member, because what one training run got wrong by chance the
    others seldom get wrong, too. It takes as long as all members together.

    Args:
        captioners: list of `Captioner`, of any decoders, with the same vocabulary, cleaning and encoder; for
            example the same training with several seeds. Settings of generation are the first one's.

    Returns:
        `Captioner`, with copies of the members' weights.

    Raises:
        InputError: where there is no captioner, or two do not fit together; the message says in what.

    Example:
        >>> from captioning_utils.captioner import load_captioner
        >>> pair = combine_captioners([load_captioner(), load_captioner()])
        >>> len(pair.decoder.config.members)
        2
    """
    if not captioners:
        raise InputError("there is no captioner to combine; give at least one")
    first = captioners[0]
    for other in captioners[1:]:
        _check_pair(first, other)
    members = [member for captioner in captioners for member in _members(captioner)]
    config = first.decoder.config
    decoder = build_decoder(
        "ensemble",
        vocabulary_size=config.vocabulary_size,
        feature_shape=config.feature_shape,
        members=[{"decoder": decoder_name(member)} | dataclasses.asdict(member.config) for member in members],
    )
    for copy, member in zip(decoder.members, members, strict=True):
        assign_variables("a member", copy.weights, collect_variables(member.weights))
    training = {"dataset": first.training.get("dataset"), "members": [each.training for each in captioners]}
    pairs = unite_pairs(captioner.pairs for captioner in captioners)
    return dataclasses.replace(first, decoder=decoder, training=training, pairs=pairs)


def _members(captioner: Captioner) -> list[CaptionDecoder]:
    """The decoders of a captioner: its own, or those of the ensemble that it is."""
    return getattr(captioner.decoder, "members", [captioner.decoder])


def _check_pair(first: Captioner, other: Captioner) -> None:
    for what, one, two in (
        ("vocabulary", first.vocabulary.words, other.vocabulary.words),
        ("text cleaning", first.cleaning, other.cleaning),
        ("encoder", first.encoder, other.encoder),
    ):
        if one != two:
            raise InputError(f"the captioners differ in their {what}; combine captioners of the same training data")
