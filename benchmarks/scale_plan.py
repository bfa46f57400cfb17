"""How many machines, hours and bytes do a hundred thousand, three million, a billion photos take?

    python benchmarks/scale_plan.py
    python benchmarks/scale_plan.py --check data/flickr8k/Images

The first command simulates a cluster in which readers, encoders and writers work side by side, from what a photo costs
each of them, and prints the table of docs/scale.md. The second measures the costs of some photos on this machine, each
stage by itself, has the simulation say how long all stages together take in one process, and compares that with the
command `caption` on the same photos.
"""

import argparse
import dataclasses
import heapq
import shutil
import sys
import tempfile
import time
from pathlib import Path

from measure import whole

sys.path.insert(0, str(Path(__file__).parents[1]))

from captioning_utils.base.backend import load_backend
from captioning_utils.commands.shell import run_command

BATCH = 32  # photos that go from stage to stage together
SIMULATED = 2_000  # batches at most; what comes after them goes at the same pace


@dataclasses.dataclass(frozen=True)
class Costs:
    """What one photo costs, seconds of one server of each stage, and bytes."""

    name: str
    read: float  # fetched and decoded, by one reader
    encode: float  # features, by one encoder
    describe: float  # a sentence, by the same one
    write: float  # its row in a table, by one writer
    start: float = 30.0  # seconds until an encoder has loaded and compiled
    readers: int = 1  # of a machine
    encoders: int = 1


# docs/scale.md says where each was measured.
READ, WRITE = 0.0048, 0.0001
MACHINES = (
    Costs("2 cores, AVX-512", READ, 1 / 7, 1 / 330, WRITE),
    Costs("H100, 16 cores", READ, 1 / 4400, 1 / 4400, WRITE, start=90.0, readers=16),
)
DATASETS = {"COCO": 123_287, "CC3M": 3_300_000, "LAION-scale": 1_000_000_000}
PHOTO_BYTES, FEATURE_BYTES, ROW_BYTES = 157_000, 2 * 49 * 512, 120
WANTED_HOURS = 24  # as many machines as finish in a day


def simulate(photos, costs, machines=1):
    """Seconds until the last row is written, and the share of them that each stage is busy.

    Batches go through readers, encoders and writers; each takes the next batch as soon as it is free. Readers run two
    batches for each reader and encoder ahead of the encoders, no further.

    Args:
        photos: int.
        costs: `Costs`.
        machines: int.

    Returns:
        tuple of float and dict of stage to float from 0 to 1.
    """
    batches = -(-photos // BATCH)
    ahead = 2 * machines * (costs.readers + costs.encoders)
    few = min(batches, max(SIMULATED, 20 * ahead))
    seconds = {"read": costs.read, "encode": costs.encode + costs.describe, "write": costs.write}
    servers = {"read": costs.readers, "encode": costs.encoders, "write": 1}
    free = {stage: [costs.start * (stage == "encode")] * (machines * servers[stage]) for stage in seconds}
    begun = [0.0] * ahead  # when an encoder took the batch that came so many before
    ends = []
    for number in range(few):
        ready = begun[number % ahead]
        for stage, each in seconds.items():
            started = max(ready, heapq.heappop(free[stage]))
            if stage == "encode":
                begun[number % ahead] = started
            ready = started + each * BATCH
            heapq.heappush(free[stage], ready)
        ends.append(ready)
    half = few // 2
    pace = (max(ends) - max(ends[:half])) / (few - half) if half else 0.0
    total = max(ends) + (batches - few) * pace
    busy = {stage: photos * each / (total * len(free[stage])) for stage, each in seconds.items()}
    return total, busy


def find_machines(photos, costs, hours=WANTED_HOURS):
    """The fewest machines, of 1, 2, 3, 5, 10, 20, …, that finish in so many hours."""
    sizes = (number * 10**power for power in range(7) for number in (1, 2, 3, 5))
    return next(number for number in sizes if simulate(photos, costs, number)[0] <= hours * 3600)


def format_bytes(number):
    """A number of bytes with two digits."""
    unit, size = next((unit, size) for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)) if number >= size)
    return f"{float(f'{number / size:.2g}'):,.4g} {unit}"


def print_plan():
    """The table of docs/scale.md."""
    columns = "photos", "machines", "hours", "machine hours", "read", "features", "captions", "read a second", "limit"
    print(f"| {' | '.join(columns)} |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---|")
    for name, photos in DATASETS.items():
        for costs in MACHINES:
            machines = find_machines(photos, costs)
            seconds, busy = simulate(photos, costs, machines)
            sizes = [format_bytes(photos * each) for each in (PHOTO_BYTES, FEATURE_BYTES, ROW_BYTES)]
            rate = format_bytes(photos * PHOTO_BYTES / seconds)
            bottleneck = max(busy, key=busy.get)
            hours = [f"{float(f'{each / 3600:.3g}'):,.6g}" for each in (seconds, machines * seconds)]
            print(
                f"| {name}, {photos:,} | {machines:,} × {costs.name} | {' | '.join(hours)} | "
                f"{' | '.join(sizes)} | {rate} | {bottleneck}, {busy[bottleneck]:.0%} busy |"
            )


def measure_costs(folder, captioner):
    """`Costs` of the photos of a folder in one process: each stage by itself, after one batch that compiles."""
    from captioning_utils.commands.scaling.sources import cut_pieces, find_files, read_photos
    from captioning_utils.commands.scaling.tables import write_rows
    from captioning_utils.commands.scaling.workers import CaptionWorker, table_of_photos

    files = find_files(str(folder))
    started = time.perf_counter()
    worker = CaptionWorker(captioner)
    photos = [photo for piece in cut_pieces(files, {}) for photo in read_photos(piece, worker.image_size)]
    tables = [table_of_photos(photos[start : start + BATCH]) for start in range(0, len(photos), BATCH)]
    worker(tables[0])
    start = time.perf_counter() - started
    spent = {}
    started = time.perf_counter()
    for piece in cut_pieces(files, {}):
        list(read_photos(piece, worker.image_size))
    spent["read"] = time.perf_counter() - started
    started = time.perf_counter()
    results = [worker(table) for table in tables]
    spent["encode"] = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as out:
        started = time.perf_counter()
        for table in results:
            write_rows(out, table)
        spent["write"] = time.perf_counter() - started
    each = {stage: seconds / len(photos) for stage, seconds in spent.items()}
    return len(photos), Costs("this machine", **each, describe=0.0, start=start), worker


def check(folder, captioner, number):
    """The simulation beside the command, on one machine and some photos of a folder."""
    from captioning_utils.commands.scaling import process_photos
    from captioning_utils.images import find_images

    with tempfile.TemporaryDirectory() as some, tempfile.TemporaryDirectory() as out:
        for path in find_images(folder)[:number]:
            shutil.copy(path, some)
        load_backend()
        number, costs, worker = measure_costs(some, captioner)
        each = {stage: f"{1e3 * getattr(costs, stage):.2f}" for stage in ("read", "encode", "write")}
        print(f"a photo costs, in ms (encode with its sentence): {each}", flush=True)
        started = time.perf_counter()
        process_photos(some, out, worker)
        measured = time.perf_counter() - started
    simulated = simulate(number, dataclasses.replace(costs, start=0.0))[0]
    print(f"{number} photos: simulated {simulated:.1f} s, measured {measured:.1f} s, ratio {measured / simulated:.2f}")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", type=Path, metavar="FOLDER", help="photos to compare simulation and command on")
    parser.add_argument("--photos", type=whole, default=64, help="how many of them")
    parser.add_argument("--model_path", default="flickr8k_merge", help="captioner for that")
    options = parser.parse_args(arguments)
    if options.check:
        check(options.check, options.model_path, options.photos)
    else:
        print_plan()


if __name__ == "__main__":
    sys.exit(run_command(main))
