"""A tiny made-up dataset on which a captioner trains in a second, for tests of training."""

import numpy as np

from captioning_utils.base.storage import collect_variables
from captioning_utils.datasets import CaptionDataset
from captioning_utils.settings import TrainingConfig
from captioning_utils.training import fine_tune_captioner, train_captioner

COLOURS = ("red", "green", "blue", "white")


class ColourFeatures:
    """Features in which the colour of each made-up photo can be read off, with a FeatureCache's interface."""

    output_shape = (8,)
    fingerprint = "vgg16 avg float32 224x224 bilinear caffe weights:0123456789abcdef"

    def __contains__(self, image_id):
        return image_id != "lost.jpg"

    def get(self, image_ids):
        noise = [np.random.default_rng(int(image_id[:-4])).normal(0, 0.1, 8) for image_id in image_ids]
        return (np.eye(8)[[int(image_id[:-4]) % 4 for image_id in image_ids]] + noise).astype("float16")


def make_balls(folder):
    """A dataset of 60 made-up photos; nothing ever opens them."""
    names = [f"{number}.jpg" for number in range(60)]
    captions = {
        name: [f"A {COLOURS[number % 4]} ball .", f"There is a {COLOURS[number % 4]} ball on the grass ."]
        for number, name in enumerate(names)
    }
    splits = {"train": names[:40], "val": names[40:50], "test": names[50:]}
    return CaptionDataset("balls", {name: folder / name for name in names}, captions, splits)


def small(**settings):
    """A `TrainingConfig` of a second; settings replace its fields."""
    sizes = {"embedding_dim": 8, "hidden_dim": 12}
    defaults = {"decoder_settings": sizes, "epochs": 4, "batch_size": 8, "min_count": 1, "learning_rate": 1e-2}
    return TrainingConfig(**(defaults | settings))


def train(dataset, path, verbose=0, **settings):
    """Train on the made-up photos and write the captioner."""
    return train_captioner(dataset, ColourFeatures(), path, small(**settings), verbose=verbose)


def fine_tune(captioner, dataset, path, verbose=0, **settings):
    """Train a captioner further on the made-up photos and write what it becomes."""
    config = small(decoder_settings={}, **settings)
    return fine_tune_captioner(captioner, dataset, ColourFeatures(), path, config, verbose=verbose)


def weights_of(captioner):
    """The decoder's weights as a list of arrays."""
    return list(collect_variables(captioner.decoder.weights).values())
