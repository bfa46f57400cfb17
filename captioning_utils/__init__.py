"""Image captioning in Keras 3: learn it in the notebooks, use it in one call, build on it.

    from captioning_utils import predict_caption
    predict_caption("photo.jpg")

The path from photos and captions to sentences, in the order of the notebooks:

    text          captions -> token ids                                            notebook 01
    images        a photo -> RGB pixels                                            notebook 02
    encoders      pixels -> features, by a pretrained network                      notebook 02
    features      each photo once through the encoder, kept on disk                notebook 02
    batches       the Python generator of training batches                         notebook 03
    decoders      features and the words so far -> the next word                   notebooks 03, 06, 08
    training      train_captioner: losses, checkpoints, exact resume               notebook 03
    metrics       BLEU, METEOR, ROUGE-L, CIDEr-D                                   notebook 04
    generation    greedy, beam search, sampling                                    notebook 05
    captioner     all of it in one file; predict_caption                           notebook 05

Behind it: settings, datasets, scenes (the drawn dataset), bulk (many photos), evaluation, plots, explain, sharing,
commands (the shell), app (the web page's logic), base (files, tables, checks), pretrained (weights).

Names are imported when they are first used, so `import captioning_utils` is quick and silent; those that need Keras
load it silently, unless it is loaded already.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # checkers and editors do not call __getattr__
    from captioning_utils.base.backend import load_backend as load_backend
    from captioning_utils.base.errors import InputError as InputError
    from captioning_utils.captioner import Captioner as Captioner
    from captioning_utils.captioner import load_captioner as load_captioner
    from captioning_utils.captioner import predict_alternatives as predict_alternatives
    from captioning_utils.captioner import predict_caption as predict_caption
    from captioning_utils.datasets import load_dataset as load_dataset
    from captioning_utils.encoders import build_encoder as build_encoder
    from captioning_utils.features import extract_features as extract_features
    from captioning_utils.features import load_features as load_features
    from captioning_utils.metrics import compute_scores as compute_scores
    from captioning_utils.scenes import draw_dataset as draw_dataset
    from captioning_utils.settings import GenerationConfig as GenerationConfig
    from captioning_utils.settings import TrainingConfig as TrainingConfig
    from captioning_utils.training import train_captioner as train_captioner

__version__ = "0.1.0"

_HOME = {
    "predict_caption": "captioner",
    "predict_alternatives": "captioner",
    "load_captioner": "captioner",
    "Captioner": "captioner",
    "load_dataset": "datasets",
    "draw_dataset": "scenes",
    "build_encoder": "encoders",
    "extract_features": "features",
    "load_features": "features",
    "train_captioner": "training",
    "TrainingConfig": "settings",
    "GenerationConfig": "settings",
    "compute_scores": "metrics",
    "load_backend": "base.backend",
    "InputError": "base.errors",
}

_WITH_KERAS = {"captioner", "encoders", "training"}

__all__ = sorted(_HOME)


if not TYPE_CHECKING:  # with it, a checker would believe in every name

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if _HOME[name] in _WITH_KERAS and "keras" not in sys.modules:
            importlib.import_module(f"{__name__}.base.backend").load_backend()
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOME]
