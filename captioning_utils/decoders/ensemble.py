"""The ensemble: several decoders that agree on every word by averaging their probabilities."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from keras import ops

from captioning_utils.base.checks import check_feature_shape, check_sizes
from captioning_utils.base.errors import InputError
from captioning_utils.base.types import Tensor
from captioning_utils.decoders.base import CaptionDecoder, DecoderConfig, State
from captioning_utils.decoders.plain import PLAIN_DECODERS, configure

MOST_MEMBERS = 32


@dataclasses.dataclass(frozen=True)
class EnsembleConfig(DecoderConfig):
    """What an `EnsembleDecoder` is made of; everything that is needed to build it again."""

    # one dict a member: its "decoder" (the name of a plain one) and the fields of its configuration that are its own
    members: tuple[dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        check_sizes(self, "vocabulary_size")
        check_feature_shape(self, allow_pooled=True)
        if not isinstance(self.members, (list, tuple)) or not 1 <= len(self.members) <= MOST_MEMBERS:
            raise InputError(f"members is {self.members!r:.80}; give a list of 1 to {MOST_MEMBERS} decoders")
        object.__setattr__(self, "members", tuple(map(dict, self.members)))
        self.member_configs()

    def member_configs(self) -> list[tuple[str, DecoderConfig]]:
        """The members as a list of (name, configuration)."""
        return [(settings["decoder"], self._member_config(settings)) for settings in self.members]

    def _member_config(self, settings: dict[str, Any]) -> DecoderConfig:
        own = {name: value for name, value in settings.items() if name != "decoder"}
        common = {"vocabulary_size": self.vocabulary_size, "feature_shape": self.feature_shape}
        return configure(PLAIN_DECODERS, settings["decoder"], own | common)

    def count_parameters(self) -> int:
        return sum(config.count_parameters() for _, config in self.member_configs())


class EnsembleDecoder(CaptionDecoder):
    """Next-word logits from the mean of several decoders' probabilities.

    The members may be of any kinds; they share vocabulary and features. To everything else an ensemble is a decoder
    like any other: searched, sampled, saved and loaded in the same way. Its logits are log-probabilities.

    Args:
        config: `EnsembleConfig`.

    Call arguments:
        inputs: tuple `(features, input_tokens)`, as the members read them.
        training: bool, whether dropout is on.

    Returns:
        float32 logits `(batch, sequence_length, vocabulary_size)`; position `i` predicts token `i + 1`.

    Example:
        >>> small = {"decoder": "merge", "embedding_dim": 8, "hidden_dim": 8}
        >>> decoder = EnsembleDecoder(EnsembleConfig(vocabulary_size=9, feature_shape=(4,), members=(small, small)))
        >>> decoder((ops.zeros((2, 4)), ops.ones((2, 5), "int32"))).shape == (2, 5, 9)
        True

    References:
        Vinyals et al. 2017, Show and Tell: Lessons learned, section 5.1 (arXiv:1609.06647).
    """

    config: EnsembleConfig

    def __init__(self, config: EnsembleConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.members = [
            PLAIN_DECODERS[kind][0](settings, name=f"member_{index}")
            for index, (kind, settings) in enumerate(config.member_configs())
        ]
        self.built = True  # the members create their variables themselves

    def call(self, inputs: tuple[Tensor, Tensor], training: bool = False) -> Tensor:
        return _average([member(inputs, training=training) for member in self.members])

    @property
    def max_length(self) -> int | None:
        """Tokens that every member can write."""
        return min((member.max_length for member in self.members if member.max_length), default=None)

    def initial_state(self, features: Tensor) -> State:
        """The members' states side by side."""
        return _join([member.initial_state(features) for member in self.members])

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """One more word of every member, on which they agree."""
        steps = [member.step(tokens, own) for member, own in zip(self.members, self._split(state), strict=True)]
        return _average([logits for logits, _ in steps]), _join([own for _, own in steps])

    def _split(self, state: State) -> list[State]:
        """The states that `_join` joined."""
        return [State(*(_select(part, index) for part in state)) for index in range(len(self.members))]


def _join(states: list[State]) -> State:
    """The members' states as one, each entry's name with its member's number."""
    photo, words = (
        {f"{name} of member {index}": value for index, part in enumerate(parts) for name, value in part.items()}
        for parts in zip(*states, strict=True)
    )
    return State(photo, words)


def _select(part: Mapping[str, Tensor], index: int) -> dict[str, Tensor]:
    """One member's entries of the photo or of the words, under its own names."""
    suffix = f" of member {index}"
    return {name.removesuffix(suffix): value for name, value in part.items() if name.endswith(suffix)}


def _average(logits: list[Tensor]) -> Tensor:
    """Logits of the members → logarithm of the mean of their probabilities."""
    log_probs = ops.stack([ops.log_softmax(ops.cast(each, "float32")) for each in logits])
    return ops.logsumexp(log_probs, axis=0) - ops.log(float(len(logits)))
