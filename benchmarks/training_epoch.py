"""How much faster is a training epoch over whole captions than over the classic generator's prefix rows?

    python benchmarks/training_epoch.py --data_path ../shared/flickr8k

Both sides train the same merge model (same layer sizes, vocabulary, optimizer) on the same photos, 32 a step:

- classic: the tutorials' generator. Every prefix of every caption is a row, padded on the left to the longest
  caption with `pad_sequences`, with its photo's features repeated and the next word one-hot by `to_categorical`.
- whole captions: this project's `CaptionBatches`. A caption is a row.

The sizes are the defaults of `train.py`, over features averaged to 512 numbers; `--hidden_dim`, `--feature_dim` and
`--min_count` try others. The two take turns, a whole epoch here and a share of one there, so that a drift of the
machine's speed hits both. The features are random numbers: their values do not change the work.
"""

import argparse
import sys
import time
from pathlib import Path

import keras
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from captioning_utils.batches import CaptionBatches
from captioning_utils.datasets import load_dataset
from captioning_utils.decoders import build_decoder
from captioning_utils.text import TextCleaning, build_vocabulary, clean_caption
from captioning_utils.training import encode_captions, masked_cross_entropy

PHOTOS_PER_STEP = 32


class RandomFeatures:
    """Stands for a feature cache: the same random numbers for every photo."""

    def __init__(self, feature_dim):
        self.row = np.random.default_rng(0).random(feature_dim).astype("float16")

    def get(self, image_ids):
        return np.repeat(self.row[None], len(image_ids), axis=0)


def classic_batches(rows_by_photo, features, longest, vocabulary_size):
    """The tutorials' generator: yields ((features, prefixes), one-hot next words) for 32 photos at a time."""
    photos = list(rows_by_photo)
    for start in range(0, len(photos), PHOTOS_PER_STEP):
        images, prefixes, targets = [], [], []
        for image_id in photos[start : start + PHOTOS_PER_STEP]:
            feature = features.get([image_id])[0]
            for ids in rows_by_photo[image_id]:
                for end in range(1, len(ids)):
                    images.append(feature)
                    prefixes.append(keras.utils.pad_sequences([ids[:end]], maxlen=longest)[0])
                    targets.append(keras.utils.to_categorical([ids[end]], num_classes=vocabulary_size)[0])
        yield (np.array(images), np.array(prefixes)), np.array(targets)


def build_classic(feature_dim, vocabulary_size, longest, config):
    """The tutorials' functional merge model, with the layer sizes of this project's decoder."""
    image = keras.Input((feature_dim,))
    words = keras.Input((longest,))
    image_vector = keras.layers.LayerNormalization()(image)
    image_vector = keras.layers.Dropout(config.dropout)(image_vector)
    image_vector = keras.layers.Dense(config.hidden_dim, activation="relu")(image_vector)
    embedded = keras.layers.Embedding(vocabulary_size, config.embedding_dim, mask_zero=True)(words)
    word_vector = keras.layers.LSTM(config.hidden_dim)(keras.layers.Dropout(config.dropout)(embedded))
    merged = keras.layers.add([image_vector, word_vector])
    merged = keras.layers.Dense(config.hidden_dim, activation="relu")(merged)
    model = keras.Model([image, words], keras.layers.Dense(vocabulary_size, activation="softmax")(merged))
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="categorical_crossentropy")
    return model


def time_epoch(model, batches, steps):
    """Seconds that `model.fit` needs to make and train on some batches."""
    started = time.perf_counter()
    model.fit(batches, steps_per_epoch=steps, epochs=1, shuffle=False, verbose=0)
    return time.perf_counter() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_path", required=True)
    parser.add_argument("--feature_dim", type=int, default=512)
    parser.add_argument("--hidden_dim", type=int, default=512, help="width of the LSTM")
    parser.add_argument("--min_count", type=int, default=5, help="rarer words are unknown")
    parser.add_argument("--photos", type=int, default=640, help="photos per turn of the classic side")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    dataset, cleaning = load_dataset(options.data_path), TextCleaning()
    train = dataset.require_split("train")
    vocabulary = build_vocabulary(
        (clean_caption(c, cleaning) for i in train for c in dataset.captions[i]), options.min_count
    )
    rows = encode_captions(dataset, "train", vocabulary, cleaning, 40, dataset.image_paths)
    longest = max(len(ids) for _, ids in rows) - 1
    photos = list(np.random.default_rng(0).permutation(train)[: options.photos])
    by_photo = {image_id: [] for image_id in photos}
    for image_id, ids in rows:
        if image_id in by_photo:
            by_photo[image_id].append(ids)
    features = RandomFeatures(options.feature_dim)
    sizes = {"feature_shape": (options.feature_dim,), "hidden_dim": options.hidden_dim}
    decoder = build_decoder("merge", vocabulary_size=len(vocabulary), **sizes)
    decoder.compile(optimizer=keras.optimizers.Adam(1e-3), loss=masked_cross_entropy)
    classic = build_classic(options.feature_dim, len(vocabulary), longest, decoder.config)
    whole = CaptionBatches(features, rows, PHOTOS_PER_STEP * 5, shuffle=True)

    def classic_turn():
        batches = classic_batches(by_photo, features, longest, len(vocabulary))
        return time_epoch(classic, batches, -(-len(photos) // PHOTOS_PER_STEP))

    def whole_turn():
        return time_epoch(decoder, whole, None)

    classic_turn()  # the first turn of each compiles
    whole_turn()
    scale = len(train) / len(photos)
    print(f"{len(train):,} photos, {len(rows):,} captions, {len(vocabulary):,} words, LSTM {options.hidden_dim}")
    ratios = []
    for turn in range(options.turns):
        slow, fast = classic_turn() * scale, whole_turn()
        ratios.append(slow / fast)
        print(f"turn {turn + 1}: classic {slow:.0f} s an epoch, whole captions {fast:.1f} s, ratio {ratios[-1]:.1f}")
    print(f"median ratio {np.median(ratios):.1f} (of {len(ratios)} turns; classic projected from {len(photos)} photos)")


if __name__ == "__main__":
    main()
