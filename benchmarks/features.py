"""How much faster are VGG16 features in batches, and in bfloat16, than one `predict` a photo?

    python benchmarks/features.py

The same drawn pictures on each side, decoded beforehand; VGG16 without its top.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from captioning_utils.encoders import build_encoder
from captioning_utils.scenes import draw_scene, generate_scene


def images_per_second(encode, images):
    """Speed of a function over some images."""
    started = time.perf_counter()
    encode(images)
    return len(images) / (time.perf_counter() - started)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=96, help="images per turn")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    images = np.stack([np.asarray(draw_scene(generate_scene(seed))) for seed in range(options.images)])
    plain, half = build_encoder("vgg16", "grid"), build_encoder("vgg16", "grid", dtype="bfloat16")

    def one_by_one(batch):
        for image in batch:
            plain.model.predict(image[None], verbose=0)

    for encode in (one_by_one, plain.encode, half.encode):
        encode(images[:32])  # compiles
    exact, rounded = (encoder.encode(images[:32]).astype("float32") for encoder in (plain, half))
    print(f"bfloat16 error: {np.linalg.norm(rounded - exact) / np.linalg.norm(exact):.2%} of the features' norm")
    ratios = []
    for turn in range(options.turns):
        single = images_per_second(one_by_one, images[: options.images // 3])
        batched, bfloat16 = images_per_second(plain.encode, images), images_per_second(half.encode, images)
        ratios.append((batched / single, bfloat16 / single))
        print(
            f"turn {turn + 1}: one predict a photo {single:.1f} images/s, batched {batched:.1f}, "
            f"batched bfloat16 {bfloat16:.1f}"
        )
    print("median ratios: batched {:.1f}, bfloat16 {:.1f}".format(*np.median(ratios, axis=0)))


if __name__ == "__main__":
    main()
