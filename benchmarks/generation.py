"""How much faster are batched, compiled sentences with a carried state than the tutorials' loop?

    python benchmarks/generation.py

Both sides write greedy sentences for the same photos with the captioner that ships with the package (random features:
their values hardly change the work):

- tutorials: for every word of every photo, `model.predict` over the whole sentence so far, padded to its full length.
- here: `CaptionGenerator`, 32 photos at a time, one step a word.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from captioning_utils.captioner import load_captioner

LENGTH = 25


def predict_word_by_word(captioner, feature):
    """The tutorials' loop for one photo; returns the number of words."""
    tokens = [captioner.vocabulary.start_id]
    while len(tokens) <= LENGTH and tokens[-1] != captioner.vocabulary.end_id:
        padded = np.zeros((1, LENGTH), "int32")
        padded[0, : len(tokens)] = tokens
        logits = captioner.decoder.predict((feature[None], padded), verbose=0)[0, len(tokens) - 1]
        logits[[captioner.vocabulary.pad_id, captioner.vocabulary.start_id, captioner.vocabulary.unknown_id]] = -np.inf
        tokens.append(int(np.argmax(logits)))
    return len(tokens) - 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=320, help="photos per turn of the fast side")
    parser.add_argument("--slow_photos", type=int, default=8, help="photos per turn of the slow side")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    captioner = load_captioner()
    shape = captioner.decoder.config.feature_shape
    features = np.random.default_rng(0).gamma(0.5, 5.0, (options.photos, *shape)).astype("float16")
    settings = {"beam_size": 1, "block_repeats": 0, "max_length": LENGTH}
    captioner.caption_features(features[:32], **settings)  # compiles
    captioner.caption_features(features[:32], beam_size=5, max_length=LENGTH)
    predict_word_by_word(captioner, features[0])
    ratios = []
    for turn in range(options.turns):
        started = time.perf_counter()
        for feature in features[: options.slow_photos]:
            predict_word_by_word(captioner, feature)
        slow = options.slow_photos / (time.perf_counter() - started)
        started = time.perf_counter()
        captioner.caption_features(features, **settings)
        fast = options.photos / (time.perf_counter() - started)
        started = time.perf_counter()
        captioner.caption_features(features, beam_size=5, max_length=LENGTH)
        beam = options.photos / (time.perf_counter() - started)
        ratios.append(fast / slow)
        print(
            f"turn {turn + 1}: word by word {slow:.1f} captions/s, batched greedy {fast:.0f}, beam of five {beam:.0f}; "
            f"greedy ratio {ratios[-1]:.0f}"
        )
    print(f"median ratio {np.median(ratios):.0f}")


if __name__ == "__main__":
    main()
