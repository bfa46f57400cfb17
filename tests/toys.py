"""Small stand-ins that several test files share: captioners, encoders, features, datasets, trainings of a second."""

import keras
import numpy as np
import pytest
from PIL import Image

from captioning_utils.base.storage import collect_variables
from captioning_utils.captioner import Captioner
from captioning_utils.commands.shell import run_command
from captioning_utils.datasets import CaptionDataset
from captioning_utils.decoders import build_decoder
from captioning_utils.encoders import ImageEncoder
from captioning_utils.settings import GenerationConfig, TrainingConfig
from captioning_utils.text import TextCleaning, build_vocabulary
from captioning_utils.training import fine_tune_captioner, train_captioner

ON_TORCH = keras.backend.backend() == "torch"
COMPILES = pytest.mark.skipif(ON_TORCH, reason="on PyTorch Keras compiles nothing")
ENCODER = "vgg16 avg float32 224x224 bilinear caffe weights:0123456789abcdef"
CAPTIONS = ("a dog runs on the grass", "a red ball", "naïve café")
SIZES = {
    "merge": {"embedding_dim": 8, "hidden_dim": 16},
    "attention": {"embedding_dim": 8, "hidden_dim": 16, "attention_dim": 8},
    "transformer": {"hidden_dim": 16, "num_heads": 2, "feedforward_dim": 32},
}
COLOURS = ("red", "green", "blue", "white")


def make_captioner(
    decoder="merge",
    feature_shape=(8,),
    captions=CAPTIONS,
    encoder=ENCODER,
    generation=GenerationConfig(beam_size=2, max_length=7),
    cleaning=TextCleaning(),
    seed=0,
    **settings,
):
    """A `Captioner` of random weights that knows the words of some captions; settings replace the decoder's sizes."""
    keras.utils.set_random_seed(seed)
    vocabulary = build_vocabulary(captions, 1)
    sizes = SIZES.get(decoder, {}) | settings
    model = build_decoder(decoder, vocabulary_size=len(vocabulary), feature_shape=feature_shape, **sizes)
    return Captioner(model, vocabulary, cleaning, encoder, generation, {"dataset": "toy"})


def make_encoder():
    """A network of a few numbers under a known encoder's name, so that the export is quick."""
    inputs = keras.Input((224, 224, 3), dtype="uint8")
    pooled = keras.layers.AveragePooling2D(75)(keras.ops.cast(inputs, "float32") - np.float32([103, 116, 123]))
    grid = keras.layers.Conv2D(6, 1, kernel_initializer="glorot_normal")(pooled / 50.0)
    return ImageEncoder("vgg16", "grid", "float32", keras.Model(inputs, keras.layers.Reshape((4, 6))(grid)))


class ToyEncoder:
    """Photos of 8×8 pixels in, their first numbers out: of a photo of one colour, that colour. Counts its photos."""

    name, layer, image_size = "vgg16", "avg", (8, 8)

    def __init__(self, output_shape=(3,), fingerprint=ENCODER, dies_after=None):
        self.output_shape, self.fingerprint, self.dies_after = output_shape, fingerprint, dies_after
        self.batches = []

    def encode(self, images):
        if len(self.batches) == self.dies_after:
            raise KeyboardInterrupt
        assert (images.dtype, images.shape[1:]) == (np.uint8, (8, 8, 3))
        self.batches.append(len(images))
        numbers = images.reshape(len(images), 192)[:, : np.prod(self.output_shape)]  # -1 is refused for no photo
        return numbers.reshape(len(images), *self.output_shape).astype(np.float16)


class RowFeatures:
    """Photo number n has row n of some made-up features, modulo their number; with a FeatureCache's interface."""

    def __init__(self, rows, fingerprint=ENCODER):
        self.rows, self.output_shape, self.fingerprint = rows, rows.shape[1:], fingerprint

    def __contains__(self, image_id):
        return True

    def get(self, image_ids):
        return self.rows[[int(image_id.removesuffix(".jpg")) % len(self.rows) for image_id in image_ids]]


class ColourFeatures:
    """Features in which the colour of each made-up photo can be read off, with a FeatureCache's interface."""

    output_shape = (8,)
    fingerprint = ENCODER

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


def write_squares(folder, splits, colours=COLOURS, captions=("A {} square .", "This is {} .")):
    """A dataset of coloured squares, one colour after the other; `splits` has the split of each. Gives the folder."""
    (folder / "Images").mkdir(parents=True)
    rows = ["image,caption,split"]
    for number, split in enumerate(splits):
        colour = colours[number % len(colours)]
        Image.new("RGB", (40, 40), colour).save(folder / "Images" / f"{number}.png")
        rows += [f"{number}.png,{caption.format(colour)},{split}" for caption in captions]
    (folder / "captions.csv").write_text("\n".join(rows))
    return folder


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


def run(main, *arguments):
    """The exit code of a command."""
    return run_command(main, [str(argument) for argument in arguments])


class FailingFeatures:
    """Other features, whose disk goes away after some batches."""

    def __init__(self, features, batches):
        self.features, self.batches_left = features, batches

    def __getattr__(self, name):
        return getattr(self.features, name)

    def __contains__(self, image_id):
        return image_id in self.features

    def get(self, image_ids):
        self.batches_left -= 1
        if self.batches_left < 0:
            raise OSError("the disk went away")
        return self.features.get(image_ids)


class SpoiledFeatures(ColourFeatures):
    """Features of which some are not a number from some batch on; `spoiled` are the photos of that batch."""

    def __init__(self, batches):
        self.batches_left, self.spoiled = batches, []

    def get(self, image_ids):
        self.batches_left -= 1
        features = super().get(image_ids)
        if self.batches_left < 0:
            self.spoiled = self.spoiled or list(dict.fromkeys(image_ids))
            features[0] = np.nan
        return features


def assert_same_weights(*captioners):
    for first, second in zip(*map(weights_of, captioners), strict=True):
        np.testing.assert_array_equal(first, second)


def weights_of(captioner):
    """The decoder's weights as a list of arrays."""
    return list(collect_variables(captioner.decoder.weights).values())
