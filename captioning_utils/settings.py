"""Every configuration, checked, and the presets that name some of them. Nothing here needs Keras."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

from captioning_utils.base.checks import Settings, setting
from captioning_utils.base.errors import InputError

SEED = {"least": 0, "most": 2**32 - 1}
RATE = {"above": 0, "below": math.inf}
SHARE = {"least": 0, "below": 1}


@dataclasses.dataclass(frozen=True)
class GenerationConfig(Settings):
    """How sentences are chosen. `temperature=None` searches (greedy or beam), a number samples."""

    beam_size: int = setting(
        5, "sentences kept in mind while searching; 1 is greedy search", least=1, most=1000, slider=(1, 10, 1)
    )
    max_length: int = setting(25, "words at the most; the rest is cut off", least=1, most=1000, slider=(1, 40, 1))
    length_penalty: float = setting(  # score = log-probability / tokens ** length_penalty
        1.0,
        "0 favours short sentences, 2 long ones; 1 compares the mean over their words",
        least=0,
        most=10,
        slider=(0.0, 2.0, 0.25),
    )
    block_repeats: int = setting(
        2, "no run of so many words twice in a sentence; 0 allows repeats", least=2, most=10, also=(0,)
    )
    seen_pairs: bool = setting(True, "no two words side by side that no train caption has side by side")
    consensus: bool = setting(
        False, "of the sentences found, prefer the one that agrees most with the others to the likeliest"
    )
    temperature: float | None = setting(
        None,
        "sample instead of searching: below 1 it keeps to safe words, above 1 it surprises",
        kind=float,
        above=0,
        most=100,
        also=(None,),
        slider=(0.1, 1.5, 0.1),
    )
    top_p: float = setting(
        1.0,
        "sampling: only from the likeliest words that together have this probability",
        above=0,
        most=1,
        slider=(0.05, 1.0, 0.05),
    )
    num_captions: int = setting(
        1,
        "alternatives for each photo, best first; a search gives at most its beam size",
        least=1,
        most=1000,
        slider=(1, 5, 1),
    )
    seed: int = setting(0, "sampling: the same seed gives the same sentences, another seed others", **SEED)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.temperature is None and self.num_captions > self.beam_size:
            raise InputError(
                f"num_captions is {self.num_captions} but beam_size only {self.beam_size}; raise beam_size or "
                "give a temperature to sample"
            )


PHOTOS_AT_ONCE = 32  # decoded photos in memory
FAST_CAPTIONER = "flickr8k_merge"  # ships with the package and looks at a photo once, at VGG16's usual size


def settings_of_part(settings: Mapping[str, Any], generation: GenerationConfig, start: int) -> dict[str, Any]:
    """The settings for the photos from number `start` on, where many are described part by part: another seed.

    With the same for all, photos of the same place in two parts would get the same random numbers.

    Example:
        >>> settings_of_part({"beam_size": 3}, GenerationConfig(seed=5), start=32)
        {'beam_size': 3, 'seed': 37}
    """
    seed = settings.get("seed", generation.seed)
    return {**settings, "seed": (seed + start) % 2**32} if start else dict(settings)


@dataclasses.dataclass(frozen=True)
class TrainingConfig(Settings):
    """Settings of a training run; saved with the captioner."""

    may_change_on_resume: ClassVar = ("patience", "save_every")  # they change no step

    decoder: str = setting("merge", "what turns features into words, such as merge, attention or transformer")
    decoder_settings: dict[str, Any] = dataclasses.field(default_factory=dict)  # fields of the decoder's configuration
    epochs: int = setting(12, "passes over the captions, at the most", least=1)
    batch_size: int = setting(160, "captions a step; 160 are about 32 photos with five captions each", least=1)
    learning_rate: float = setting(
        1e-3, "Adam's highest; it rises over the first steps and falls to 0 along a cosine", **RATE
    )
    warmup: float = setting(0.05, "share of all steps over which the learning rate rises", **SHARE)
    clip_norm: float = setting(5.0, "the gradient of a step is shortened to this norm", **RATE)
    weight_decay: float = setting(0.0, "each step shrinks the matrices by learning rate × this (AdamW)", **SHARE)
    ema: float = setting(0.0, "momentum, such as 0.999, of the weights' moving average, kept instead of them", **SHARE)
    label_smoothing: float = setting(0.1, "share of each target's probability spread over the vocabulary", **SHARE)
    encoder_blocks: int = setting(0, "how many of the encoder's last blocks learn, too", least=0, most=4)
    encoder_from: int = setting(3, "the epoch in which they begin, when the decoder has learned to use them", least=1)
    encoder_rate: float = setting(0.1, "their learning rate, as a share of the decoder's", above=0, most=1)
    augment: bool = setting(False, "photos are cropped, mirrored and recoloured at random, anew in every epoch")
    views: int = setting(
        0, "so many views of each photo are made once and kept on disk, for training without a GPU", least=0, most=10
    )
    bfloat16: bool = setting(False, "on a GPU the encoder computes in bfloat16 while it learns: twice as fast")
    patience: int = setting(3, "epochs without a better validation loss before training stops", least=1)
    min_count: int = setting(5, "a word that occurs less often in the train split is unknown", least=1)
    max_words: int = setting(40, "longer captions are cut in training", least=1)
    save_every: int = setting(1, "epochs between two checkpoints", least=1)
    seed: int = setting(0, "initial weights, order of the batches, dropout: the same seed gives the same run", **SEED)


@dataclasses.dataclass(frozen=True)
class SelfCriticalConfig(Settings):
    """Settings of self-critical training; saved with the captioner."""

    epochs: int = setting(8, "passes over the train photos, at the most", least=1)
    batch_size: int = setting(32, "photos a step", least=1)
    views: int = setting(
        0, "augmented views of each train photo, of which one is drawn each time; 0: as it is", least=0, most=10
    )
    samples: int = setting(5, "sentences drawn for each photo of a step, which are compared with each other", least=2)
    learning_rate: float = setting(6e-5, "of Adam, in the first step", **RATE)
    last_rate: float = setting(1.0, "the learning rate in the last step, as a share of the first", above=0, most=1)
    cross_entropy: float = setting(
        0.2, "weight of the cross-entropy of one human caption a photo, beside the score's 1", **SHARE
    )
    # at 1, label smoothing would put a stray word into most sentences
    temperature: float = setting(0.7, "of the drawing", above=0, most=100)
    max_length: int = setting(20, "words that are drawn at the most", least=1, most=1000)
    min_length_ratio: float = setting(
        0.95, "of the words that BLEU asks for; an epoch with shorter sentences does not count", **SHARE
    )
    choose_length: bool = setting(False, "choose the length penalty by CIDEr-D on the val split at the end")
    patience: int = setting(3, "epochs without a better score on the val split before training stops", least=1)
    clip_norm: float = setting(1.0, "the gradient of a step is shortened to this norm", **RATE)
    save_every: int = setting(1, "epochs between two checkpoints", least=1)
    seed: int = setting(0, "order of the photos, sentences drawn, dropout: the same seed gives the same run", **SEED)

    @property
    def may_change_on_resume(self) -> tuple[str, ...]:
        """Fields that change no step: tuple of str."""
        return ("patience", "save_every", "choose_length", *(("epochs",) if self.last_rate == 1 else ()))


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
    image_size: int | None = None  # pixels a side of the photos; None is the encoder's usual size

    def options(self) -> dict[str, Any]:
        """All of it as a flat dict, named as the options of `train.py` and the fields of `TrainingConfig`."""
        own = {name: getattr(self, name) for name in ("encoder", "layer", "image_size", "decoder")}
        return own | self.settings


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
    "flickr8k_fine_tuned": Preset(
        "a larger transformer, and VGG16's blocks 4 and 5 learn, too: the best sentences; needs a GPU",
        "transformer",
        {
            "decoder_settings": {
                "hidden_dim": 512,
                "feedforward_dim": 2048,
                "encoder_layers": 1,
                "photo_dropout": 0.2,
                "region_dropout": 0.2,
            },
            "epochs": 18,
            "learning_rate": 4e-4,
            "warmup": 0.03,
            "clip_norm": 1.0,
            "weight_decay": 0.05,
            "ema": 0.999,
            "encoder_blocks": 2,
            "augment": True,
            "bfloat16": True,
            "patience": 18,
            "save_every": 6,
            "min_count": 4,
            "max_words": 24,
        },
        image_size=448,
    ),
}
