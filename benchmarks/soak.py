"""Does a process grow that works for long? Linux only.

    python benchmarks/soak.py

One process trains a captioner for many small epochs, each with a checkpoint. Then ten thousand drawn photos go through
it in rounds: from their files through an encoder into features on the disk, and from these into sentences. The first
epochs and rounds warm up: programs are compiled, caches fill. Shown is by how much memory and open files grow from then
on. The encoder has random weights; one with real weights works in the same way, and longer.
"""

import sys
import tempfile
import threading
from pathlib import Path

from measure import build_parser, claim, finish, parse, read_process

sys.path.insert(0, str(Path(__file__).parents[1]))

from captioning_utils.base.backend import load_backend
from captioning_utils.commands.shell import run_command
from captioning_utils.datasets import load_dataset
from captioning_utils.features import extract_features
from captioning_utils.scenes import draw_dataset
from captioning_utils.settings import TrainingConfig

WARM_UP = 0.3  # of the rounds and of the time of the training
MOST_MEGABYTES, MOST_FILES = 20, 2  # by which a process may grow: the allocator's play
SMALL_DECODER = {"embedding_dim": 16, "hidden_dim": 32}


def caption_rounds(dataset, captioner, encoder, folder, rounds):
    """Let all photos through, round by round; gives a reading after each."""
    readings = []
    for number in range(rounds):
        features = extract_features(dataset.image_paths, encoder, Path(folder) / f"round_{number}")
        image_ids = list(dataset.image_paths)
        for start in range(0, len(image_ids), 32):
            captioner.caption_features(features.get(image_ids[start : start + 32]))
        readings.append(read_process())
    return readings


def train_long(dataset, features, folder, epochs):
    """Train for many epochs; gives the captioner and a reading every tenth of a second."""
    from captioning_utils.training import train_captioner

    readings, done = [], threading.Event()

    def watch():
        while not done.wait(0.1):
            readings.append(read_process())

    config = TrainingConfig(decoder_settings=SMALL_DECODER, epochs=epochs, patience=epochs, min_count=1)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        captioner = train_captioner(dataset, features, Path(folder) / "captioner.h5", config, verbose=0)
    finally:
        done.set()
        watcher.join()
    return captioner, readings


def growth(what, readings):
    """Two figures: by how much memory and open files grew after the warm-up."""
    warm = readings[int(WARM_UP * len(readings)) :]
    (megabytes, files), (last_megabytes, last_files) = warm[0], readings[-1]
    here = f"from {megabytes:.0f} to {last_megabytes:.0f} MB and from {files} to {last_files} files"
    return [
        claim(f"{what}: memory", [last_megabytes - megabytes], here, "", "MB", at_most=MOST_MEGABYTES),
        claim(f"{what}: open files", [last_files - files], here, "", "files", at_most=MOST_FILES),
    ]


def main(arguments=None):
    options = parse(build_parser(__doc__, rounds=10), arguments)
    scenes, epochs = 1000, 300
    if options.small:
        scenes, epochs, options.rounds = 20, 10, 4
    load_backend()
    from captioning_utils.encoders import build_encoder

    with tempfile.TemporaryDirectory() as folder:
        dataset = load_dataset(draw_dataset(Path(folder) / "drawn", scenes))
        encoder = build_encoder("efficientnet_v2_b0", "avg", weights=None)
        few = load_dataset(draw_dataset(Path(folder) / "few", 20))
        features = extract_features(few.image_paths, encoder, Path(folder) / "few.pkl")
        captioner, readings = train_long(few, features, folder, epochs)
        claims = growth(f"{epochs} epochs of training", readings)
        readings = caption_rounds(dataset, captioner, encoder, folder, options.rounds)
        claims += growth(f"{options.rounds * scenes:,} photos", readings)
    return finish(options, claims)


if __name__ == "__main__":
    sys.exit(run_command(main))
