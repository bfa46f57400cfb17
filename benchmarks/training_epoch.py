"""How much faster is a training epoch over whole captions than over the classic generator's prefix rows?

    python benchmarks/training_epoch.py --data_path data/flickr8k

Both sides train the same merge model (same layers, sizes, vocabulary, optimizer) on the same captions, 32 photos or 160
captions a step, as `train.py` does it; the features are averaged to 512 numbers, and random: their values do not change
the work. The tutorials' side is in `classic.py`. With the same weights both have the same loss, which is checked first.

The third side is the bound: the matrix products of the model, forwards and backwards, and nothing else.
"""

import sys
from pathlib import Path

import classic
import keras
import numpy as np
from keras import ops
from measure import build_parser, claim, finish, ratios, run_on_dataset, seconds_of, take_turns, whole

sys.path.insert(0, str(Path(__file__).parents[1]))

from captioning_utils.batches import CaptionBatches
from captioning_utils.commands.shell import run_command
from captioning_utils.datasets import load_dataset
from captioning_utils.decoders import build_decoder
from captioning_utils.text import TextCleaning, build_vocabulary, clean_caption
from captioning_utils.training import encode_captions, masked_cross_entropy

FEATURE_DIM = 512
EPOCHS = 5  # of whole captions in one call of `fit`, whose start would count too much otherwise


class RandomFeatures(dict):
    """Stands for a feature cache."""

    def get(self, image_ids):
        return np.stack([self[image_id] for image_id in image_ids])


def encode(data_path, photos):
    """(number of train photos, Vocabulary, length of the longest caption, {image_id: captions} of some photos)."""
    dataset, cleaning = load_dataset(data_path), TextCleaning()
    train = dataset.require_split("train")
    vocabulary = build_vocabulary((clean_caption(c, cleaning) for i in train for c in dataset.captions[i]), 5)
    rows = encode_captions(dataset, "train", vocabulary, cleaning, 40, dataset.image_paths)
    captions = {image_id: [] for image_id in np.random.default_rng(0).permutation(train)[:photos].tolist()}
    for image_id, ids in rows:
        if image_id in captions:
            captions[image_id].append(ids)
    return len(train), vocabulary, max(len(ids) for _, ids in rows) - 1, captions


def matrix_products(config, positions):
    """A function that computes all matrix products of a step of a `MergeDecoder`; the step's size is its own."""
    width, words = config.hidden_dim, config.vocabulary_size
    shapes = [(config.embedding_dim, 4 * width), (width, 4 * width), (width, width), (width, words)]
    inputs = [ops.convert_to_tensor(np.ones((positions, rows), "float32")) for rows, _ in shapes]
    weights = [ops.convert_to_tensor(np.ones(shape, "float32")) for shape in shapes]

    def compute():
        for values, matrix in zip(inputs, weights, strict=True):
            outputs = ops.matmul(values, matrix)
            ops.matmul(outputs, ops.transpose(matrix))
            ops.matmul(ops.transpose(values), outputs)

    return compute


def check_equal_loss(decoder, model, whole, prefixes):
    """The loss of the same captions by both ways, with the same weights: nats a token."""
    classic.copy_weights(decoder, model)
    rows = [(model.predict(inputs, verbose=0) * targets).sum(axis=1) for inputs, targets in prefixes]
    slow = -np.log(np.concatenate(rows)).mean()
    batches = [whole[index] for index in range(len(whole))]
    words = [(targets != 0).sum() for _, targets in batches]
    losses = [float(masked_cross_entropy(targets, decoder(inputs))) for inputs, targets in batches]
    fast = np.average(losses, weights=words)
    if not np.isclose(slow, fast, rtol=1e-4):
        raise SystemExit(f"the losses differ: {slow} and {fast}")
    return float(fast)


def run(options, data_path):
    num_train, vocabulary, longest, captions = encode(data_path, options.photos)
    rng = np.random.default_rng(0)
    features = RandomFeatures({image_id: rng.random(FEATURE_DIM).astype("float32") for image_id in captions})
    decoder = build_decoder("merge", vocabulary_size=len(vocabulary), feature_shape=(FEATURE_DIM,))
    decoder.compile(optimizer=keras.optimizers.Adam(1e-3), loss=masked_cross_entropy)
    model = classic.build_model(FEATURE_DIM, len(vocabulary), longest, decoder.config)
    rows = [(image_id, ids) for image_id, several in captions.items() for ids in several]
    whole = CaptionBatches(features, rows, 160, shuffle=True)

    def prefixes(photos=None):
        part = dict(list(captions.items())[:photos])
        return classic.generate_batches(part, features, longest, len(vocabulary))

    first = [(image_id, ids) for image_id in list(captions)[:8] for ids in captions[image_id]]
    loss = check_equal_loss(decoder, model, CaptionBatches(features, first, 160), prefixes(8))
    positions = round(sum(len(ids) - 1 for _, ids in rows) / len(whole))
    products = matrix_products(decoder.config, positions)
    steps = -(-len(captions) // classic.PHOTOS_PER_STEP)
    sides = {
        "classic": lambda: model.fit(prefixes(), steps_per_epoch=steps, verbose=0),
        "whole": lambda: decoder.fit(whole, epochs=EPOCHS, shuffle=False, verbose=0),
        "input": lambda: [whole[index] for index in range(len(whole))],
        "products": lambda: [products() for _ in range(len(whole))],
    }
    model.fit(prefixes(32), steps_per_epoch=1, verbose=0)  # compiles
    seconds_of(sides["whole"])
    found = take_turns(sides, options.rounds)
    found["whole"] = [seconds / EPOCHS for seconds in found["whole"]]
    medians = {name: float(np.median(seconds)) * num_train / len(captions) for name, seconds in found.items()}
    sizes = f"{len(captions):,} of {num_train:,} photos, {len(rows):,} captions, {len(vocabulary):,} words"
    speed = claim(
        "a training epoch at equal loss",
        ratios(found["classic"], found["whole"]),
        f"whole captions: {medians['whole']:.0f} s",
        f"a row a prefix: {medians['classic']:.0f} s",
        at_least=30,
    )
    share = claim(
        "of it, matrix products of the same size",
        ratios(found["products"], found["whole"]),
        f"whole captions: {medians['whole']:.0f} s",
        f"products alone: {medians['products']:.0f} s, batches alone: {medians['input']:.1f} s",
    )
    return finish(options, [speed, share], [f"{sizes}; loss of both {loss:.4f} nats a token before training"])


def main(arguments=None):
    parser = build_parser(__doc__, rounds=3)
    parser.add_argument("--photos", type=whole, default=320, help="photos a turn; the seconds are of all train photos")
    return run_on_dataset(run, parser, arguments, 40, photos=32, rounds=1)


if __name__ == "__main__":
    sys.exit(run_command(main))
