"""Does a dataset of COCO's size go through loading, features, batches and training in bounded memory?

    python benchmarks/coco_scale.py

It makes a dataset in COCO's layout in a temporary folder: 118,287 train and 5,000 val photos, 616,767 captions, the
numbers of COCO 2017. The captions are made-up words with the lengths and the word frequencies of English. The photos
are tiny JPEG files, hard links to a few hundred different ones, and a toy encoder turns each into a small grid. All
the rest is what `train.py` does, through the same public functions. The decoder is small and knows the 1,000 most
frequent words only, so that an epoch takes minutes: what grows with the vocabulary is the arithmetic and the memory of
one step (captions × positions × words × 4 bytes, some eight times over), not that of the data.

After each stage it prints the peak of the memory so far (what `resource` calls ru_maxrss), and how much of it is
held now and belongs to the process alone; mapped files, which the system can take back, are not in the second number.
Linux and macOS only.
"""

import argparse
import json
import math
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import share, whole
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from captioning_utils.base.backend import load_backend
from captioning_utils.commands.shell import run_command

PHOTOS = {"train2017": 118_287, "val2017": 5_000}
CAPTIONS = {"train2017": 591_753, "val2017": 25_014}  # a few photos of COCO have six or seven
NUM_WORDS = 27_000  # with these frequencies, some 10,000 occur five times and more, as in COCO's captions
PIXELS = 28  # side of a photo
DIFFERENT_PHOTOS = 256


class ToyEncoder:
    """Stands for VGG16: colours of 49 squares, mixed into `feature_dim` numbers each."""

    name, layer, image_size = "toy", "grid", (PIXELS, PIXELS)

    def __init__(self, feature_dim=16):
        self.output_shape = (49, feature_dim)
        self.fingerprint = f"toy grid float32 224x224 bilinear none weights:{feature_dim:016x}"
        self._mix = np.random.default_rng(0).normal(size=(3, feature_dim)) / 255

    def encode(self, images):
        """uint8 `(batch, 28, 28, 3)` to float16 `(batch, 49, feature_dim)`."""
        squares = images.reshape(-1, 7, PIXELS // 7, 7, PIXELS // 7, 3).mean(axis=(2, 4))  # (batch, 7, 7, 3)
        return (squares.reshape(len(images), 49, 3) @ self._mix).astype("float16")


def write_coco(folder, photos=PHOTOS, captions=CAPTIONS, seed=0):
    """Write a made-up dataset in COCO's layout: annotations and tiny photos.

    Args:
        folder: `Path`, made when missing.
        photos: dict of "train2017" and "val2017" to the number of photos.
        captions: dict of the same to the number of captions, at least one a photo.
        seed: int.
    """
    rng = np.random.default_rng(seed)
    (folder / "annotations").mkdir(parents=True)
    models = _write_photos(folder / "models", rng)
    vocabulary = np.array([make_word(number) for number in range(NUM_WORDS)])
    frequencies = np.arange(3, NUM_WORDS + 3) ** -1.5
    for first, part in zip((0, 500_000), photos, strict=True):  # no photo of val has the name of one of train
        (folder / part).mkdir()
        names = [f"{first + number:012d}.jpg" for number in range(photos[part])]
        for number, name in enumerate(names):
            os.link(models[number % len(models)], folder / part / name)
        lengths = 8 + rng.geometric(0.35, captions[part])  # COCO's: 8 and more, 11 on average, a few of 40
        words = rng.choice(vocabulary, lengths.sum(), p=frequencies / frequencies.sum())
        content = {
            "info": {"description": "made up"},
            "images": [_image_record(part, number, name) for number, name in enumerate(names)],
            "annotations": [
                {"image_id": row % photos[part], "id": row, "caption": " ".join(caption).capitalize() + "."}
                for row, caption in enumerate(np.split(words, np.cumsum(lengths)[:-1]))
            ],
        }
        (folder / "annotations" / f"captions_{part}.json").write_text(json.dumps(content))


def _write_photos(folder, rng):
    """A few hundred different photos; a file takes no more than so many links in some file systems."""
    folder.mkdir()
    paths = [folder / f"{number}.jpg" for number in range(DIFFERENT_PHOTOS)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (7, 7, 3), np.uint8)).resize((PIXELS, PIXELS)).save(path, quality=80)
    return paths


def make_word(number):
    """A pronounceable word for every number: 0 is "ba", 85 is "beba"."""
    syllables = [consonant + vowel for consonant in "bdfgklmnprstvwxyz" for vowel in "aeiou"]
    word = syllables[number % len(syllables)]
    return word if number < len(syllables) else make_word(number // len(syllables)) + word


def _image_record(part, number, name):
    """What COCO says of a photo; the memory that loading takes depends on it."""
    return {
        "license": 3,
        "file_name": name,
        "coco_url": f"http://images.cocodataset.org/{part}/{name}",
        "height": 427,
        "width": 640,
        "date_captured": "2013-11-14 17:02:52",
        "flickr_url": f"http://farm7.staticflickr.com/6116/{number:010d}_02c000937a_z.jpg",
        "id": number,
    }


class Stages:
    """Prints time and memory at the end of each stage."""

    def __init__(self):
        self._started = time.perf_counter()
        print(f"{'stage':<44}{'seconds':>9}{'peak so far':>13}{'own now':>10}")

    def done(self, name):
        """Print the line of a stage that began where the last one ended."""
        seconds = time.perf_counter() - self._started
        unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
        print(f"{name:<44}{seconds:>9.1f}{peak:>9.0f} MiB{_own_memory()}", flush=True)
        self._started = time.perf_counter()


def _own_memory():
    status = Path("/proc/self/status")
    if not status.exists():
        return ""
    anonymous = next(line for line in status.read_text().splitlines() if line.startswith("RssAnon"))
    return f"{int(anonymous.split()[1]) / 1024:>6.0f} MiB"


def run_stages(folder, min_count, stages):
    """What `train.py` does, stage by stage, with a decoder of width 64."""
    load_backend()
    from captioning_utils.batches import CaptionBatches
    from captioning_utils.datasets import load_dataset
    from captioning_utils.features import extract_features, load_features
    from captioning_utils.settings import TrainingConfig
    from captioning_utils.training import prepare_captions, train_captioner

    stages.done("import Keras and its backend")
    dataset = load_dataset(folder)
    stages.done("load_dataset")
    extract_features(dataset.image_paths, ToyEncoder(), folder / "features")
    stages.done("extract_features into shards")
    features = load_features(folder / "features")
    stages.done("load_features")
    config = TrainingConfig(decoder_settings={"embedding_dim": 64, "hidden_dim": 64}, epochs=1, min_count=min_count)
    vocabulary, rows = prepare_captions(dataset, features, config)
    stages.done(f"captions to ids of {len(vocabulary):,} words")
    batches = CaptionBatches(features, rows["train"], config.batch_size, shuffle=True)
    tokens = sum(int((batches[index][1] != 0).sum()) for index in range(len(batches)))
    stages.done(f"an epoch of batches, {len(batches):,} of them")
    expected = sum(len(token_ids) - 1 for _, token_ids in rows["train"])
    if tokens != expected:
        raise SystemExit(f"the batches held {tokens:,} words, the captions {expected:,}")
    del rows, batches
    train_captioner(dataset, features, folder / "captioner.h5", config, verbose=2)
    stages.done("train_captioner, one epoch")
    size = sum(path.stat().st_size for path in (folder / "features").iterdir())
    real = 2 * math.prod((49, 512)) * len(features) / 2**30
    print(f"{len(features):,} photos, {size / 2**20:.0f} MiB of features on disk (VGG16's 7×7 grid: {real:.1f} GiB)")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--min_count", type=whole, default=200, help="rarer words are unknown; COCO's vocabulary: 5")
    parser.add_argument("--share", type=share, default=1.0, help="share of COCO's size")
    parser.add_argument("--folder", help="where the temporary folder is made")
    options = parser.parse_args(arguments)
    sizes = [{part: round(options.share * count) for part, count in counts.items()} for counts in (PHOTOS, CAPTIONS)]
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        stages = Stages()
        # In a process of its own: its memory must not count.
        maker = multiprocessing.get_context("spawn").Process(target=write_coco, args=(Path(folder) / "coco", *sizes))
        maker.start()
        maker.join()
        stages.done("make the dataset (another process)")
        run_stages(Path(folder) / "coco", options.min_count, stages)


if __name__ == "__main__":
    sys.exit(run_command(main))
