"""Settings that belong together, by name: `train.py --preset coco_attention`.

The `flickr8k_*` settings were chosen on Flickr8k's dev split. The `coco_*` ones are a recipe, put together from what
published COCO captioners use: a place to begin. This project has not trained them, so it has no scores for them.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from captioning_utils.training import TrainingConfig

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
        from captioning_utils.training import TrainingConfig

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
