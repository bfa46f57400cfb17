"""The ensemble: several decoders that agree on every word by averaging their probabilities."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from captioning_utils.base.checks import check_feature_shape, check_sizes
from captioning_utils.base.errors import InputError
from captioning_utils.base.types import State, Tensor

if TYPE_CHECKING:
    from captioning_utils.decoders import DecoderConfig


MOST_MEMBERS = 32


@dataclasses.dataclass(frozen=True)
class EnsembleConfig:
    """What an `EnsembleDecoder` is made of; everything that is needed to build it again."""

    vocabulary_size: int  # of every member
    feature_shape: tuple[int, ...]  # of every member
    members: tuple[
        dict[str, Any], ...
    ] = ()  # one dict a member: its "decoder" (a name) and the other fields of its configuration

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
        from captioning_utils.decoders import build_config  # it knows this module, too

        own = {name: value for name, value in settings.items() if name != "decoder"}
        if settings["decoder"] == "ensemble":
            raise InputError("an ensemble's member is an ensemble itself; name its members instead")
        common = {"vocabulary_size": self.vocabulary_size, "feature_shape": self.feature_shape}
        return build_config(settings["decoder"], **(own | common))

    @property
    def max_positions(self) -> int | None:
        """Words that every member can write; None where none has a limit."""
        limits = [getattr(config, "max_positions", None) for _, config in self.member_configs()]
        return min((limit for limit in limits if limit), default=None)

    def count_parameters(self) -> int:
        """How many numbers all members hold; int. Known before anything is built."""
        return sum(config.count_parameters() for _, config in self.member_configs())


class EnsembleDecoder(keras.Model):
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

    def __init__(self, config: EnsembleConfig, **kwargs: Any) -> None:
        from captioning_utils.decoders import DECODERS

        super().__init__(**kwargs)
        self.config = config
        self.members = [
            DECODERS[kind][0](settings, name=f"member_{index}")
            for index, (kind, settings) in enumerate(config.member_configs())
        ]
        self.built = True  # the members create their variables themselves

    def call(self, inputs: tuple[Tensor, Tensor], training: bool = False) -> Tensor:
        return _average([member(inputs, training=training) for member in self.members])

    def initial_state(self, features: Tensor) -> State:
        """State before the first word: the members' states side by side."""
        states = [member.initial_state(features) for member in self.members]
        return {_name(entry, index): value for index, state in enumerate(states) for entry, value in state.items()}

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """One more word: tokens int32 `(batch,)` and state → logits `(batch, vocabulary_size)` and the new state."""
        logits: list[Tensor] = []
        after: State = {}
        for index, member in enumerate(self.members):
            suffix = _name("", index)
            own = {name.removesuffix(suffix): value for name, value in state.items() if name.endswith(suffix)}
            member_logits, own = member.step(tokens, own)
            logits.append(member_logits)
            after |= {_name(entry, index): value for entry, value in own.items()}
        return _average(logits), after


def _name(entry: str, index: int) -> str:
    """An entry's key in the ensemble's state; "photo" stays in front, because such entries are shared by the beams."""
    return f"{entry} of member {index}"


def _average(logits: list[Tensor]) -> Tensor:
    """Logits of the members → logarithm of the mean of their probabilities."""
    log_probs = ops.stack([ops.log_softmax(ops.cast(each, "float32")) for each in logits])
    return ops.logsumexp(log_probs, axis=0) - ops.log(float(len(logits)))
