"""How fast do photos become features, compared with one `predict` a photo, and with the matrix products alone?

    python benchmarks/features.py --data_path data/flickr8k

From photo files to features: the tutorials' loop (`classic.py`), and `extract_features` in batches of 32, into a cache,
with VGG16 in float32 and in bfloat16. The bound is a matrix product for each of VGG16's 13 convolutions, of the size
that the convolution has for a batch.
"""

import sys
import tempfile
from pathlib import Path

import classic
import numpy as np
from keras import ops
from measure import build_parser, claim, finish, ratios, run_on_dataset, take_turns, whole

sys.path.insert(0, str(Path(__file__).parents[1]))

from captioning_utils.commands.shell import run_command
from captioning_utils.datasets import load_dataset
from captioning_utils.encoders import build_encoder
from captioning_utils.features import extract_features

BATCH = 32


def convolution_products(model):
    """A function that computes the matrix products that VGG16's convolutions are, for a batch of photos."""
    pairs = []
    for layer in model.layers:
        if "conv" in layer.name:
            height, width, inputs, outputs = *layer.output.shape[1:3], *layer.kernel.shape[2:]
            # Of a batch, photo by photo: the unfolded pixels of all 32 would be 7 GB in the widest layer.
            pixels = np.ones((height * width, 9 * inputs), "float32")
            pairs.append([ops.convert_to_tensor(each) for each in (pixels, np.ones((9 * inputs, outputs), "float32"))])

    def compute():
        for _ in range(BATCH):
            for pixels, kernel in pairs:
                ops.matmul(pixels, kernel)

    return compute


def run(options, data_path):
    dataset = load_dataset(data_path)
    paths = {image_id: dataset.image_paths[image_id] for image_id in dataset.splits["train"][: options.photos]}
    few = list(paths.values())[: max(2, options.photos // 8)]
    plain, half = build_encoder("vgg16", "grid"), build_encoder("vgg16", "grid", dtype="bfloat16")

    def extract(encoder):
        with tempfile.TemporaryDirectory() as folder:
            return extract_features(paths, encoder, Path(folder) / "features.pkl")

    exact, rounded = (extract(encoder).get(list(paths)).astype("float32") for encoder in (plain, half))  # compiles
    error = np.linalg.norm(rounded - exact) / np.linalg.norm(exact)
    classic.extract_features(few[:1], plain.backbone)
    products = convolution_products(plain.backbone)
    sides = {
        "classic": lambda: classic.extract_features(few, plain.backbone),
        "batched": lambda: extract(plain),
        "bfloat16": lambda: extract(half),
        "products": products,
    }
    found = take_turns(sides, options.rounds)
    numbers = {"classic": len(few), "batched": len(paths), "bfloat16": len(paths), "products": BATCH}
    each = {name: [seconds / numbers[name] for seconds in found[name]] for name in found}
    cost = {name: f"{np.median(seconds):.3f} s a photo" for name, seconds in each.items()}
    slow = f"one `predict` a photo: {cost['classic']}"
    claims = [
        claim("VGG16 features", ratios(each["classic"], each["batched"]), f"batched: {cost['batched']}", slow),
        claim("VGG16 features, bfloat16", ratios(each["classic"], each["bfloat16"]), cost["bfloat16"], slow),
        claim(
            "of the speed of matrix products alone",
            ratios(each["products"], each["batched"]),
            f"files to cache: {cost['batched']}",
            f"products: {cost['products']}",
            at_least=0.95,
        ),
    ]
    return finish(options, claims, [f"{len(paths)} photos; bfloat16 changes the features by {error:.2%} of their norm"])


def main(arguments=None):
    parser = build_parser(__doc__, rounds=3)
    parser.add_argument("--photos", type=whole, default=256, help="photos a turn")
    return run_on_dataset(run, parser, arguments, 12, photos=8, rounds=1)


if __name__ == "__main__":
    sys.exit(run_command(main))
