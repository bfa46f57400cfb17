"""Every configuration, checked, and the presets that name some of them. Nothing here needs Keras."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Self

from captioning_utils.base.checks import check_shares, check_sizes
from captioning_utils.base.errors import InputError


@dataclasses.dataclass(frozen=True)
class GenerationConfig:
    """How sentences are chosen. `temperature=None` searches (greedy or beam), a number samples."""

    beam_size: int = 5  # sentences kept in mind at once; 1 is greedy search
    max_length: int = 25  # words at the most
    length_penalty: float = 1.0  # score = log-probability / tokens ** length_penalty; 0 favours short sentences
    block_repeats: int = 2  # no run of so many words twice in a sentence; 0 allows repeats
    consensus: bool = False  # search: prefer the sentence that agrees most with the other beams to the likeliest
    temperature: float | None = None  # sampling: below 1 safer, above 1 more surprising; None: search
    top_p: float = 1.0  # sampling: only from the likeliest words that together have this probability
    num_captions: int = 1  # alternatives per photo, best first; with a search at most beam_size
    seed: int = 0  # sampling: the same seed gives the same sentences

    def __post_init__(self) -> None:
        for name, allowed, valid in (
            ("beam_size", "a whole number from 1 to 1000", _is_count(self.beam_size)),
            ("max_length", "a whole number from 1 to 1000", _is_count(self.max_length)),
            ("num_captions", "a whole number from 1 to 1000", _is_count(self.num_captions)),
            ("length_penalty", "a number from 0 to 10", 0 <= self.length_penalty <= 10),
            ("block_repeats", "0, or a run of 2 to 10 words", self.block_repeats in (0, *range(2, 11))),
            ("consensus", "True or False", type(self.consensus) is bool),
            ("temperature", "None or a number above 0, up to 100", _is_warm(self.temperature)),
            ("top_p", "a share above 0, up to 1", 0 < self.top_p <= 1),
            ("seed", "a whole number from 0 to 4294967295", type(self.seed) is int and 0 <= self.seed < 2**32),
        ):
            if not valid:
                raise InputError(f"{name} is {getattr(self, name)}; give {allowed}")
        if self.temperature is None and self.num_captions > self.beam_size:
            raise InputError(
                f"num_captions is {self.num_captions} but beam_size only {self.beam_size}; raise beam_size or "
                "give a temperature to sample"
            )


def _is_count(value: object) -> bool:
    return type(value) is int and 1 <= value <= 1000


def _is_warm(temperature: float | None) -> bool:
    return temperature is None or 0 < temperature <= 100


# Adam's highest learning rate when a run starts from a captioner. From flickr8k_merge on 64 photos of COCO the best
# validation loss is 3.43 nats with it and 3.50 with 1e-3, which overfits from the first epoch on. Photos of another
# world want more: on 100 drawn scenes 20 epochs give 1.38 nats, with 1e-3 1.18.
FINE_TUNING_RATE = 3e-4


@dataclasses.dataclass(frozen=True)
class Preset:
    """What a run needs to know besides the data."""

    about: str  # one line for --help
    decoder: str  # a name of captioning_utils.decoders.DECODERS
    settings: dict[str, Any]  # the other fields of TrainingConfig that differ from its defaults
    encoder: str = "vgg16"
    layer: str = "grid"  # of VGG16 7×7 regions of its last block

    def options(self) -> dict[str, Any]:
        """All of it as a flat dict, named as the options of `train.py` and the fields of `TrainingConfig`.

        Example:
            >>> PRESETS["flickr8k_merge"].options()["layer"]
            'grid'
        """
        return {"encoder": self.encoder, "layer": self.layer, "decoder": self.decoder} | self.settings

    def config(self, **settings: Any) -> TrainingConfig:
        """The training configuration.

        Args:
            **settings: fields of `TrainingConfig` that replace the preset's own.

        Returns:
            `TrainingConfig`.

        Example:
            >>> PRESETS["coco_transformer"].config(epochs=2).batch_size
            256
        """

        return TrainingConfig(**({"decoder": self.decoder} | self.settings | settings))


# COCO has 113,287 train photos in Karpathy's split, 19 times Flickr8k's, with 566,747 captions. [A] is Anderson et al.
# 2018, Bottom-Up and Top-Down Attention (arXiv:1707.07998); [C] Cornia et al. 2020, Meshed-Memory Transformer
# (arXiv:1912.08226); [L] the transformer of https://github.com/ruotianluo/ImageCaptioning.pytorch, configs/transformer.
_COCO = {
    "min_count": 5,  # as in [A] and [L]: about 10,000 words
    "batch_size": 256,  # steps large enough to keep a GPU busy; an epoch still has 2,214 of them
    "epochs": 15,  # as in [L]: 8.5 million captions seen, where Flickr8k's 12 epochs are 0.36 million
    "max_words": 30,  # a typical caption has 10 words; the rare long ones would set the length of whole batches
    "learning_rate": 5e-4,  # as in [L]; half the default, because decoders twice as wide need smaller steps
}
PRESETS = {
    "flickr8k_merge": Preset("merge decoder on Flickr8k", "merge", {}),
    "flickr8k_two_scales_merge": Preset(
        "the same, and each photo is seen at two sizes: better sentences", "merge", {}, layer="two_scales"
    ),
    "flickr8k_attention": Preset("attention decoder on Flickr8k", "attention", {"learning_rate": 2e-3}),
    "flickr8k_transformer": Preset("transformer decoder on Flickr8k", "transformer", {}),
    "flickr8k_two_scales_transformer": Preset(
        "the same, and each photo is seen at two sizes", "transformer", {}, layer="two_scales"
    ),
    "coco_attention": Preset(
        "attention decoder on COCO; a recipe, not trained here",
        "attention",
        _COCO
        | {
            "decoder_settings": {
                "embedding_dim": 512,  # twice Flickr8k's, for four times its words; [A] has 1,000
                "hidden_dim": 1024,  # as in [A], rounded to what GPUs like
                "attention_dim": 512,  # as in [A]
                "dropout": 0.3,  # as on Flickr8k, where the photos lose 0.4 of their channels as well
            }
        },
    ),
    "coco_transformer": Preset(
        "transformer decoder on COCO; a recipe, not trained here",
        "transformer",
        _COCO
        | {
            "warmup": 0.1,  # 850,000 captions; [L] warms up over a million
            "decoder_settings": {
                "hidden_dim": 512,  # as in [C] and [L]
                "num_layers": 3,  # as in [C]
                "num_heads": 8,  # as in [C] and [L]
                "feedforward_dim": 2048,  # as in [C] and [L]
                "dropout": 0.1,  # as in [C] and [L]; Flickr8k's is 0.3
            },
        },
    ),
}


def check_run(config: TrainingConfig | SelfCriticalConfig) -> None:
    """Raise `InputError` for rates that train nothing or backwards, and for a seed that no generator takes."""
    for name in ("learning_rate", "clip_norm"):
        if not 0 < getattr(config, name) < float("inf"):
            raise InputError(f"{name} is {getattr(config, name)!r}; give a number above 0")
    if type(config.seed) is not int or not 0 <= config.seed < 2**32:
        raise InputError(f"seed is {config.seed!r:.80}; give a whole number from 0 to 4294967295")


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Settings of a training run; saved with the captioner."""

    FREE: ClassVar = ("patience", "save_every")  # a run may go on with others: they change no step

    decoder: str = "merge"  # a name of captioning_utils.decoders.DECODERS
    decoder_settings: dict[str, Any] = dataclasses.field(default_factory=dict)  # fields of the decoder's configuration
    epochs: int = 12  # at the most; early stopping may end sooner
    batch_size: int = 160  # captions a step; 160 are about 32 photos with five captions each
    learning_rate: float = 1e-3  # Adam's highest; it rises over the first steps and falls to 0 along a cosine
    warmup: float = 0.05  # share of all steps over which the learning rate rises
    clip_norm: float = 5.0  # the gradient of a step is shortened to this norm
    weight_decay: float = 0.0  # each step shrinks the matrices by learning rate × this (AdamW)
    ema: float = 0.0  # momentum of a moving average of the weights, which is then what is validated and kept; 0: off
    dropout_from: int = 1  # first epoch with dropout; the ones before learn with all of the network
    label_smoothing: float = 0.1  # share of each target's probability that is spread over the vocabulary
    patience: int = 3  # epochs without a better validation loss before training stops
    min_count: int = 5  # a word that occurs less often in the train split is unknown
    max_words: int = 40  # longer captions are cut in training
    save_every: int = 1  # epochs between two checkpoints
    seed: int = 0  # initial weights, order of the batches, dropout

    def __post_init__(self) -> None:
        check_sizes(self, "epochs", "batch_size", "patience", "min_count", "max_words", "save_every", "dropout_from")
        check_shares(self, "label_smoothing", "warmup", "weight_decay", "ema")
        check_run(self)

    @classmethod
    def smoke(cls) -> Self:
        """The smallest run that still does every step; for tests.

        Example:
            >>> TrainingConfig.smoke().epochs
            1
        """
        small = {"embedding_dim": 16, "hidden_dim": 16}
        return cls(decoder_settings=small, epochs=1, batch_size=32, min_count=1)


@dataclasses.dataclass(frozen=True)
class SelfCriticalConfig:
    """Settings of self-critical training; saved with the captioner."""

    FREE: ClassVar = ("epochs", "patience", "save_every")  # a run may go on with others: they change no step

    epochs: int = 8  # passes over the train photos, at the most; early stopping may end sooner
    samples: int = 5  # sentences drawn for each photo of a step, 2 or more
    learning_rate: float = 6e-5  # of Adam, the same for all steps
    cross_entropy: float = 0.2  # weight of the cross-entropy of one human caption a photo, beside the score's 1
    temperature: float = 0.7  # of the drawing; at 1, label smoothing would put a stray word into most sentences
    max_length: int = 20  # words that are drawn at the most
    shortest: float = 0.95  # an epoch counts if its sentences have this share of the words that BLEU asks for, or more
    patience: int = 3  # epochs without a better score on the val split before training stops
    clip_norm: float = 1.0  # the gradient of a step is shortened to this norm
    save_every: int = 1  # epochs between two checkpoints
    seed: int = 0  # order of the photos, sentences drawn, dropout

    def __post_init__(self) -> None:
        check_sizes(self, "epochs", "samples", "max_length", "patience", "save_every")
        check_shares(self, "cross_entropy", "shortest")
        check_run(self)
        if self.samples < 2:
            raise InputError(f"samples is {self.samples}; give 2 or more, because they are compared with each other")
