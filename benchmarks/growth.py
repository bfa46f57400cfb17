"""Do time and memory stay in proportion, from a thousand photos to nearly a million?

    python benchmarks/growth.py

Features, training and captioning at every size, each in a process of its own, whose peak of memory counts. What does
not grow with the number of photos is made small: the photos are one tiny JPEG file under many names, a toy encoder
reads them, the features that are trained on and described are generated, and the decoder has few words. So a second
here says nothing about VGG16; what is looked at is how it grows. Time should be in proportion to the photos, and
memory flat but for what is a list of photos: names, captions, where each photo's features lie.

It prints a table, and writes it with the machine's name as JSON, and as a picture. Linux and macOS only.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import describe_machine, whole

sys.path.insert(0, str(Path(__file__).parents[1]))

from captioning_utils.base.backend import load_backend
from captioning_utils.base.files import check_writable, write_json
from captioning_utils.commands.shell import run_command

STAGES = ("features", "training", "captioning")
SIZES = (1_000, 8_000, 80_000, 800_000)
WORDS = "a the dog man red ball runs sits on in grass water two with and small".split()


class GeneratedFeatures:
    """Features of any number of photos, of which a hundred differ; with a FeatureCache's interface."""

    output_shape, fingerprint = (49, 16), "toy grid float32 224x224 bilinear none weights:0000000000000010"

    def __init__(self):
        self._rows = np.random.default_rng(0).normal(size=(100, *self.output_shape)).astype("float16")

    def __contains__(self, image_id):
        return True

    def get(self, image_ids):
        return self._rows[[int(image_id) % 100 for image_id in image_ids]]


def make_captions(number):
    """A made-up caption of eight words for every photo."""
    words = np.random.default_rng(0).integers(0, len(WORDS), (number, 8))
    return {str(photo): [" ".join(WORDS[word] for word in row)] for photo, row in enumerate(words)}


def run_features(number, folder):
    """Photos from files to a cache of shards."""
    from coco_scale import PIXELS, ToyEncoder
    from PIL import Image

    from captioning_utils.features import extract_features

    photo = folder / "photo.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (PIXELS, PIXELS, 3), np.uint8)).save(photo)
    names = {str(name): photo for name in range(number)}
    return lambda: extract_features(names, ToyEncoder(), folder / "features")


def run_training(number, folder):
    """An epoch of a small decoder."""
    from captioning_utils.datasets import CaptionDataset
    from captioning_utils.settings import TrainingConfig
    from captioning_utils.training import train_captioner

    captions = make_captions(number)
    names = list(captions)
    splits = {"train": names[: -number // 10], "val": names[-number // 10 :], "test": []}
    dataset = CaptionDataset("generated", {name: Path(name) for name in names}, captions, splits)
    sizes = {"embedding_dim": 8, "hidden_dim": 8}
    config = TrainingConfig(decoder_settings=sizes, batch_size=1_600, epochs=1, min_count=1)
    return lambda: train_captioner(dataset, GeneratedFeatures(), folder / "captioner.h5", config, verbose=0)


def run_captioning(number, folder):
    """A sentence for every photo, which nobody keeps."""
    from captioning_utils.bulk import caption_many
    from captioning_utils.captioner import Captioner
    from captioning_utils.decoders import build_decoder
    from captioning_utils.text import TextCleaning, build_vocabulary

    vocabulary = build_vocabulary([" ".join(WORDS)], 1)
    sizes = {"vocabulary_size": len(vocabulary), "feature_shape": GeneratedFeatures.output_shape}
    decoder = build_decoder("merge", **sizes, embedding_dim=8, hidden_dim=8)
    features = GeneratedFeatures()
    captioner = Captioner(decoder, vocabulary, TextCleaning(), features.fingerprint)
    names = [str(name) for name in range(number)]
    settings = {"beam_size": 1, "max_length": 8}

    def describe():
        found = caption_many(captioner, names, lambda part: (part, features.get(part)), settings, show_progress=False)
        return sum(1 for _ in found)

    return describe


def measure(stage, number):
    """Seconds and peak of memory of one stage, in this process; a small size first, so that all is compiled."""
    load_backend()
    prepare = globals()[f"run_{stage}"]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "first").mkdir()
        prepare(min(1_000, number), Path(folder) / "first")()
        work = prepare(number, Path(folder))
        started = time.perf_counter()
        work()
        seconds = time.perf_counter() - started
    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {"stage": stage, "photos": number, "seconds": round(seconds, 3), "peak_mib": round(peak / 2**20)}


def plot_growth(rows, path):
    """Seconds and memory over the number of photos, both axes logarithmic but memory's."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, column, label in zip(
        figure.subplots(1, 2), ("seconds", "peak_mib"), ("seconds", "peak of memory in MiB"), strict=True
    ):
        for stage in dict.fromkeys(row["stage"] for row in rows):
            own = [row for row in rows if row["stage"] == stage]
            axes.plot([row["photos"] for row in own], [row[column] for row in own], marker="o", label=stage)
        axes.set(xscale="log", xlabel="photos", ylabel=label)
        axes.legend()
    figure.axes[0].set_yscale("log")
    figure.axes[1].set_ylim(bottom=0)
    figure.savefig(path, dpi=120)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=whole, nargs="+", default=SIZES, help="numbers of photos")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--out", type=Path, default=Path("runs/growth"), help="the names of the JSON and the picture")
    parser.add_argument("--one", nargs=2, metavar=("STAGE", "PHOTOS"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(measure(options.one[0], int(options.one[1]))))
        return
    check_writable(options.out.with_suffix(".json"))
    rows = []
    print(f"{'stage':<12}{'photos':>9}{'seconds':>10}{'ms a photo':>12}{'peak':>10}")
    for stage in options.stages:
        for number in options.sizes:
            command = [sys.executable, __file__, "--one", stage, str(number)]
            result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
            row = json.loads(result.stdout.splitlines()[-1])
            rows.append(row)
            each = 1000 * row["seconds"] / number
            print(f"{stage:<12}{number:>9,}{row['seconds']:>10.1f}{each:>12.3f}{row['peak_mib']:>6} MiB", flush=True)
        first, last = rows[-len(options.sizes)], rows[-1]
        more = last["photos"] - first["photos"]
        if more:
            slower = last["seconds"] / last["photos"] / (first["seconds"] / first["photos"])
            memory = (last["peak_mib"] - first["peak_mib"]) * 2**20 / more
            print(f"{stage}: ratio of the time a photo, largest to smallest {slower:.2f}; {memory:,.0f} bytes a photo")
    write_json(options.out.with_suffix(".json"), {"machine": describe_machine(), "rows": rows})
    plot_growth(rows, options.out.with_suffix(".png"))


if __name__ == "__main__":
    sys.exit(run_command(main))
