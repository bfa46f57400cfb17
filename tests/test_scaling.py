"""Very many photos into tables: every source, exactly one row a photo, stops, shards, and a Ray node that dies."""

import io
import shutil
import sys
import tarfile
import threading
import time

import numpy as np
import pytest
from PIL import Image
from toys import run

from captioning_utils import InputError
from captioning_utils.commands.scale import caption_main
from captioning_utils.commands.scaling import CaptionWorker, FeatureWorker, process_photos, read_progress
from captioning_utils.commands.scaling.engines import RayWorker, read_count, write_on_ray
from captioning_utils.commands.scaling.sources import Entry, Photo
from captioning_utils.commands.scaling.workers import put_results, read_pixels, table_of_photos
from captioning_utils.scenes import draw_scene, generate_scene

pyarrow = pytest.importorskip("pyarrow", reason="comes with the extra [scale]")
fsspec = pytest.importorskip("fsspec", reason="comes with the extra [scale]")
parquet = pytest.importorskip("pyarrow.parquet")

NUMBER = 100  # photos that can be read, see `write_sources`


class GreyWorker:
    """Stands for an encoder: the brightness of a photo. Takes its time, and stops the run after so many photos."""

    image_size = (8, 8)

    def __init__(self, stops_after=None, scale=1, pause=0):
        self.stops_after, self.scale, self.pause, self.seen = stops_after, scale, pause, 0

    def describe(self):
        return {"result": "brightness", "scale": self.scale}

    def __call__(self, photos):
        time.sleep(self.pause)
        pixels = read_pixels(photos, self.image_size)
        if self.stops_after is not None and self.seen >= self.stops_after:
            raise KeyboardInterrupt
        self.seen += len(pixels)
        brightness = pixels.reshape(-1, 192).mean(axis=1) * self.scale
        return put_results(photos, {"brightness": pyarrow.array(brightness, pyarrow.float64())})


def photo_bytes(brightness):
    file = io.BytesIO()
    Image.fromarray(np.full((10, 12), brightness, np.uint8)).save(file, "png")
    return file.getvalue()


def write_sources(folder, contents):
    """Photos as files (two fifths, in two folders), in a tar archive and in two tables; gives the expected names."""
    part = len(contents) // 5
    (folder / "inner").mkdir(parents=True)
    for number, content in enumerate(contents[: 2 * part]):
        (folder / ("inner" if number % 2 else "") / f"{number:04d}.png").write_bytes(content)
    with tarfile.open(folder / "a.tar", "w") as tar:
        for number, content in enumerate(contents[2 * part : 3 * part]):
            for name, data in ((f"{number:04d}.png", content), (f"{number:04d}.json", b"{}")):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    rows = {"key": list(range(part)), "jpg": contents[3 * part : 4 * part]}
    parquet.write_table(pyarrow.table(rows), folder / "b.parquet", row_group_size=7)
    structs = [{"bytes": content, "path": f"{number}.png"} for number, content in enumerate(contents[4 * part :])]
    parquet.write_table(pyarrow.table({"image": structs}), folder / "c.parquet")


@pytest.fixture
def sources(tmp_path):
    folder = tmp_path / "photos"
    write_sources(folder, [photo_bytes(number) for number in range(NUMBER)])
    (folder / "broken.png").write_bytes(b"no photo")
    (folder / "notes.txt").write_text("no photo")
    return folder


def read(out, column="brightness", table="photos"):
    """A table's column, sorted, by any Parquet reader."""
    return sorted(parquet.read_table(f"{out}/{table}")[column].to_pylist())


def test_every_source_gives_one_row_a_photo(sources, tmp_path):
    progress = process_photos(str(sources), str(tmp_path / "out"), GreyWorker(), rows_a_part=30)
    assert progress[:2] == (NUMBER, 1)
    assert read(tmp_path / "out") == list(range(NUMBER))
    (reason,) = read(tmp_path / "out", "reason", "failed")
    assert "broken.png is not a photo" in reason
    names = read(tmp_path / "out", "image")
    assert len(set(names)) == NUMBER
    assert {f"{sources}/inner/0001.png", f"{sources}/a.tar#0003.png", f"{sources}/b.parquet#3"} <= set(names)
    assert f"{sources}/c.parquet#3.png" in names


def test_a_row_holds_the_result_of_its_photo(sources, tmp_path):
    process_photos(str(sources), str(tmp_path / "out"), GreyWorker())
    table = parquet.read_table(tmp_path / "out" / "photos").to_pylist()
    found = {row["image"].removeprefix(f"{sources}/"): row["brightness"] for row in table}
    assert [found[name] for name in ("0000.png", "a.tar#0003.png", "b.parquet#3", "c.parquet#3.png")] == [0, 43, 63, 83]


def test_a_stopped_run_goes_on(sources, tmp_path):
    out = str(tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        process_photos(str(sources), out, GreyWorker(stops_after=60), rows_a_part=32)
    before = read_progress(out).photos
    assert 0 < before <= 64
    second = GreyWorker()
    assert process_photos(str(sources), out, second)[:2] == (NUMBER, 1)
    assert second.seen == NUMBER - before
    assert read(out) == list(range(NUMBER))
    third = GreyWorker()
    assert process_photos(str(sources), out, third)[:2] == (NUMBER, 1)
    assert third.seen == 0
    (sources / "new.png").write_bytes(photo_bytes(200))
    assert process_photos(str(sources), out, third).photos == NUMBER + 1


def test_what_another_process_has_begun_does_not_make_it_another_folder(sources, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".settings.json.00000000").write_text("{")  # of a killed run, or of a shard that begins now
    assert process_photos(str(sources), str(tmp_path / "out"), GreyWorker())[:2] == (NUMBER, 1)
    (tmp_path / "out" / "photos" / ".0.parquet.00000000").touch()
    process_photos(str(sources), str(tmp_path / "out"), GreyWorker())
    assert not list((tmp_path / "out").rglob(".*"))


class RefusingWorker(GreyWorker):
    def __call__(self, photos):
        raise InputError("the weights are not there; give others")


def test_what_one_of_rays_processes_refuses_is_told_as_it_is(tmp_path):
    rows = RayWorker(RefusingWorker())(table_of_photos([]))
    with pytest.raises(InputError, match=r"^the weights are not there; give others$"):
        read_count(write_on_ray(str(tmp_path), rows).to_pylist()[0])
    (tmp_path / "photos").touch()
    entry = Entry("a.png", 0, True, "a.png")
    rows = RayWorker(GreyWorker())(table_of_photos([Photo(entry, np.zeros((8, 8, 3), np.uint8), "")]))
    with pytest.raises(InputError, match="File exists"):
        read_count(write_on_ray(str(tmp_path), rows).to_pylist()[0])
    (tmp_path / "photos").unlink()
    assert read_count(write_on_ray(str(tmp_path), rows).to_pylist()[0]) == 1


def test_shards_merge(sources, tmp_path):
    for number in (1, 3):
        process_photos(str(sources), str(tmp_path / f"out{number}"), GreyWorker(), shard=f"{number}/3")
    shutil.copytree(tmp_path / "out1", tmp_path / "all")
    shutil.copytree(tmp_path / "out3", tmp_path / "all", dirs_exist_ok=True)
    missing = GreyWorker()
    assert process_photos(str(sources), str(tmp_path / "all"), missing)[:2] == (NUMBER, 1)
    assert 0 < missing.seen < NUMBER  # the second shard's
    assert read(tmp_path / "all") == list(range(NUMBER))


def test_shards_of_two_runs_do_not_merge(sources, tmp_path):
    process_photos(str(sources), str(tmp_path / "first"), GreyWorker(), rows_a_part=32)
    process_photos(str(sources), str(tmp_path / "second"), GreyWorker(), rows_a_part=64)
    shutil.copytree(tmp_path / "second", tmp_path / "first", dirs_exist_ok=True)
    with pytest.raises(InputError, match="twice; put together shards of one run"):
        read_progress(str(tmp_path / "first"))


def test_addresses_of_fsspec(sources):
    fsspec.filesystem("memory").put(str(sources), "/photos", recursive=True)
    assert process_photos("memory://photos", "memory://out", GreyWorker())[:2] == (NUMBER, 1)
    assert read_progress("memory://out").done["memory:///photos/a.tar"] is None
    with pytest.raises(InputError, match="no_such://photos cannot be read"):
        process_photos("no_such://photos", "memory://out", GreyWorker())


def test_what_breaks_off_gives_the_photos_before(sources, tmp_path):
    content = (sources / "a.tar").read_bytes()
    (sources / "a.tar").write_bytes(content[:10_000])
    (sources / "b.parquet").write_bytes(b"PAR1 no table")
    parquet.write_table(pyarrow.table({"url": ["a"]}), sources / "d.parquet")
    progress = process_photos(str(sources), str(tmp_path / "out"), GreyWorker())
    reasons = " ".join(read(tmp_path / "out", "reason", "failed"))
    assert "a.tar is no readable tar archive" in reasons
    assert "d.parquet has no column with the bytes of photos, only 'url'" in reasons
    assert NUMBER - 40 < progress.photos < NUMBER - 20
    assert progress.failed == 4
    again = GreyWorker()
    process_photos(str(sources), str(tmp_path / "out"), again)
    assert again.seen == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shard": "0/3"}, "shard is '0/3'; give one such as 2/5"),
        ({"shard": "half"}, "shard is 'half'"),
        ({"engine": "spark"}, "no engine 'spark'; give process or ray"),
        ({"rows_a_part": 0}, "rows_a_part is 0"),
        ({"worker": GreyWorker(scale=2)}, "was made with scale 1, this run has 2"),
        ({"out": "{photos}/out"}, "lies among the photos"),
        ({"address": "{photos}/notes.txt"}, "holds no photo"),
        ({"out": "{photos}/inner", "address": "{photos}/a.tar"}, "holds something else"),
        ({"out": "no_such://out"}, r"no_such://out cannot be used \(.+\); give a folder"),
    ],
)
def test_what_is_refused(sources, tmp_path, settings, message):
    chosen = {"address": str(sources), "out": str(tmp_path / "out"), "worker": GreyWorker()}
    process_photos(**chosen)
    (sources / "out").mkdir()
    (sources / "out" / "a.png").write_bytes(photo_bytes(1))
    chosen |= {
        name: value.format(photos=sources) if isinstance(value, str) else value for name, value in settings.items()
    }
    with pytest.raises(InputError, match=message):
        process_photos(**chosen)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("settings.json", r"settings\.json is damaged \(.+\); give a new folder"),
        ("photos/0.parquet", r"0\.parquet is no part of such a table \(.+\); delete it"),
    ],
)
def test_damaged_tables_are_refused(sources, tmp_path, name, message):
    process_photos(str(sources), str(tmp_path / "out"), GreyWorker())
    (tmp_path / "out" / name).write_bytes(b"neither")
    with pytest.raises(InputError, match=message):
        process_photos(str(sources), str(tmp_path / "out"), GreyWorker())


def test_without_the_extra_it_says_what_to_install(sources, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run(caption_main, "--photos", sources, "--out", tmp_path / "out") == 2
    assert 'python -m pip install "captioning-utils[scale]"' in capsys.readouterr().err


def test_a_sentence_is_the_same_in_every_run():
    with pytest.raises(InputError, match="leave out temperature"):
        CaptionWorker("flickr8k_merge", {"temperature": 1.0})


@pytest.mark.slow
def test_features_are_the_encoders(tmp_path):
    options = {"name": "vgg16", "layer": "half_size", "weights": None}
    worker = FeatureWorker(**options)
    pixels = np.asarray(draw_scene(generate_scene(0)).resize((112, 112)))
    Image.fromarray(pixels).save(tmp_path / "a.png")
    process_photos(str(tmp_path / "a.png"), str(tmp_path / "out"), worker)
    (row,) = parquet.read_table(tmp_path / "out" / "photos")["features"].to_pylist()
    from captioning_utils import build_encoder

    np.testing.assert_array_equal(np.array(row, np.float16), build_encoder(**options).encode(pixels[None]).reshape(-1))
    assert worker.describe()["shape"] == [49, 512]


# ---- on a cluster


@pytest.fixture
def cluster(monkeypatch):
    """Two nodes of one processor each on this machine: (cluster, the node that may die)."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray = pytest.importorskip("ray", reason="comes with the extra [scale]")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 2 * 10**8})
    node = cluster.add_node(num_cpus=1, object_store_memory=2 * 10**8)
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster, node
    ray.shutdown()
    cluster.shutdown()


def process_and_kill(cluster, node, photos, out, worker):
    """A run on the cluster of which a node is killed when there are rows: (its progress, the number of rows then)."""
    killed_at = []

    def kill():
        while not killed_at:
            count = read_progress(out).photos
            if count:
                cluster.remove_node(node, allow_graceful=False)
                killed_at.append(count)
            time.sleep(0.1)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    progress = process_photos(photos, out, worker, "ray", rows_a_part=16)
    killer.join(30)
    print(f"a node killed at row {killed_at[0]}; rows out: {progress.photos}; failed: {progress.failed}")
    return progress, killed_at[0]


@pytest.mark.slow
def test_a_node_that_dies_costs_no_row_and_doubles_none(cluster, tmp_path):
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the nodes do not know this file
    write_sources(tmp_path / "photos", [photo_bytes(number % 256) for number in range(1000)])
    (tmp_path / "photos" / "broken.png").write_bytes(b"no photo")
    out = str(tmp_path / "out")
    progress, killed_at = process_and_kill(*cluster, str(tmp_path / "photos"), out, GreyWorker(pause=0.5))
    assert 0 < killed_at < 1000
    assert progress[:2] == (1000, 1)
    assert read(out) == sorted(number % 256 for number in range(1000))
