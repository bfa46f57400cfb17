"""Image captioning in Keras 3: learn it in the notebooks, use it in one call, build on it.

    from captioning_utils import predict_caption
    predict_caption("photo.jpg")

Names are imported when they are first used, so `import captioning_utils` is quick and silent.
"""

import importlib

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
    "TrainingConfig": "training",
    "GenerationConfig": "generation",
    "compute_scores": "metrics",
    "load_backend": "quiet",
}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__():
    return [*globals(), *_HOME]
