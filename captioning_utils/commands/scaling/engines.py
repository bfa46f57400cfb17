"""Photos through a worker into tables: in this process, or on a Ray cluster."""

from __future__ import annotations

import functools
import itertools
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from captioning_utils.base.errors import InputError
from captioning_utils.base.wording import one_line
from captioning_utils.commands.scaling.extra import require_extra
from captioning_utils.commands.scaling.sources import Photo, Piece, cut_pieces, find_files, read_photos
from captioning_utils.commands.scaling.tables import Progress, open_out, read_progress, write_rows
from captioning_utils.commands.scaling.workers import Worker, table_of_photos
from captioning_utils.settings import PHOTOS_AT_ONCE

if TYPE_CHECKING:
    import pyarrow

ENGINES = ("process", "ray")
ROWS_A_PART = 256  # of a Parquet file, at least; a run that is killed loses at most so many a worker
# Of a processor, for each of Ray's readers, workers and writers: the encoder's own threads fill the processors. So the
# pool of two nodes still fits on one core when the other node is gone; with whole processors it would wait for ever.
CPUS = 0.25
FAULT = "fault"  # a column: why one of Ray's processes cannot go on
MOST_BLOCKS = 10_000  # Ray's bookkeeping grows with them


def process_photos(
    address: str, out: str, worker: Worker, engine: str = "process", shard: str = "1/1", rows_a_part: int = ROWS_A_PART
) -> Progress:
    """Put results for all photos at an address into Parquet tables, one row a photo.

    The same call goes on where an earlier one stopped. Those that cannot be read come into a table of their own and are
    not tried again.

    Args:
        address: str, see `find_files`.
        out: str, folder for the tables, see `tables`; a path or an address of fsspec.
        worker: `Worker`, for example a `CaptionWorker`.
        engine: "process" for this process alone, or "ray" for Ray Data on the cluster that runs, else on this machine.
        shard: str such as "2/5": the second fifth of the work. All shards may write into one folder, at the same time;
            of several folders the files are put into one. Without a shard, what is missing is done.
        rows_a_part: int, rows of a Parquet file.

    Returns:
        `Progress`, of all that the folder holds in the end.

    Raises:
        InputError: where the extra [scale] is not installed, nothing is at the address, or the folder is of another
            run.
    """
    require_extra("pyarrow", "fsspec", *(["ray"] if engine == "ray" else []))
    if engine not in ENGINES:
        raise InputError(f"there is no engine {engine!r:.40}; give {' or '.join(ENGINES)}")
    if rows_a_part < 1:
        raise InputError(f"rows_a_part is {rows_a_part}; give 1 or more")
    number, shards = _parse_shard(shard)
    files = find_files(address)
    if any(file.startswith(f"{os.path.abspath(out) if '://' not in out else out.rstrip('/')}/") for file in files):
        raise InputError(f"{out} lies among the photos of {address}; give a folder elsewhere")
    open_out(out, worker.describe())
    before = read_progress(out)
    pieces = [piece for piece in cut_pieces(files, before.done)[number - 1 :: shards] if piece.files]
    if pieces:
        run = _run_on_ray if engine == "ray" else _run_here
        with tqdm(desc="photos", unit="", file=sys.stderr) as bar:
            for count in run(pieces, out, worker, rows_a_part):
                bar.update(count)
    return read_progress(out)


def _parse_shard(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    number, shards = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= shards:
        raise InputError(f"shard is {text!r:.40}; give one such as 2/5, the second of five")
    return number, shards


def _run_here(pieces: list[Piece], out: str, worker: Worker, rows_a_part: int) -> Iterator[int]:
    """Yields how many photos are done, part by part."""

    photos = (photo for piece in pieces for photo in read_photos(piece, worker.image_size))
    waiting: list[pyarrow.Table] = []
    for batch in _batches(photos):
        waiting.append(worker(table_of_photos(batch)))
        if sum(map(len, waiting)) >= rows_a_part:
            yield _write_part(out, waiting)
            waiting = []
    if waiting:
        yield _write_part(out, waiting)


def _batches(photos: Iterator[Photo]) -> Iterator[list[Photo]]:
    while batch := list(itertools.islice(photos, PHOTOS_AT_ONCE)):
        yield batch


def _write_part(out: str, tables: list[pyarrow.Table]) -> int:
    import pyarrow

    rows = pyarrow.concat_tables(tables)
    write_rows(out, rows)
    return rows.num_rows


def _run_on_ray(pieces: list[Piece], out: str, worker: Worker, rows_a_part: int) -> Iterator[int]:
    """Readers, a pool of workers and writers, which Ray feeds, holds back, and starts again where a node is lost."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    ray.init(ignore_reinit_error=True, include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
    logging.getLogger("ray.data").setLevel(logging.WARNING)  # each of its steps, else
    ray.data.DataContext.get_current().enable_progress_bars = False
    size = worker.image_size
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    gpus = int(sum(resources.get("GPU", 0) for resources in alive))
    most = gpus or len(alive)

    def read(table: pyarrow.Table) -> Iterator[pyarrow.Table]:
        for piece in table.to_pylist():
            photos = read_photos(Piece(**piece), size)
            yield from map(table_of_photos, _batches(photos))

    rows: ray.data.Dataset = ray.data.from_items(
        [piece._asdict() for piece in pieces], override_num_blocks=min(len(pieces), MOST_BLOCKS)
    )
    rows = rows.map_batches(read, batch_format="pyarrow", batch_size=1, num_cpus=CPUS)
    rows = rows.map_batches(
        RayWorker,
        fn_constructor_args=(worker,),
        batch_format="pyarrow",
        batch_size=PHOTOS_AT_ONCE,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=most, initial_size=most),
        num_cpus=CPUS,
        num_gpus=1 if gpus else None,
    )
    write = functools.partial(write_on_ray, out)
    rows = rows.map_batches(write, batch_format="pyarrow", batch_size=rows_a_part, num_cpus=CPUS)
    yield from map(read_count, rows.iter_rows())


class RayWorker:
    """A worker as Ray's actors want it: a class. What it refuses becomes a row: Ray would make a traceback of it.

    Args:
        worker: `Worker`.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def __call__(self, photos: pyarrow.Table) -> pyarrow.Table:
        import pyarrow

        try:
            return self._worker(photos)
        except (InputError, OSError) as error:
            return pyarrow.table({FAULT: [one_line(error)]})


def write_on_ray(out: str, table: pyarrow.Table) -> pyarrow.Table:
    """Write a part, or pass on why there is none.

    Args:
        out: str, folder for the tables.
        table: of `RayWorker`.

    Returns:
        table of one row for `read_count`.
    """
    import pyarrow

    faults = table[FAULT].drop_null().to_pylist() if FAULT in table.column_names else []
    try:
        count = 0 if faults else _write_part(out, [table])
    except OSError as error:
        count, faults = 0, [one_line(error)]
    return pyarrow.table({"count": [count], FAULT: ["".join(faults[:1])]})


def read_count(row: Mapping[str, Any]) -> int:
    """How many photos a part holds.

    Args:
        row: dict, of `write_on_ray`.

    Returns:
        int.

    Raises:
        InputError: where there is no part; the message is what one of Ray's processes said.
    """
    if row[FAULT]:
        raise InputError(row[FAULT])
    return int(row["count"])
