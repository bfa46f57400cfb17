"""What is disturbed: a small piece of work for everything that the package writes, in seconds or less.

Each function takes the folder that all runs share, works in the current folder, and returns an exit code or None.
"""

import dataclasses
import functools
import hashlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

from captioning_utils import features
from captioning_utils.base import transfer
from captioning_utils.base.backend import held_back_stderr
from captioning_utils.base.files import join_parts, write_parts
from captioning_utils.commands.data import check_main, pack_main
from captioning_utils.commands.evaluate import evaluate_main
from captioning_utils.datasets import load_dataset
from captioning_utils.datasets.download import CocoArchive, download_coco
from captioning_utils.datasets.packing import pack_dataset
from captioning_utils.scenes import draw_dataset

COLOURS = ("red", "green", "blue", "white", "navy")


@dataclasses.dataclass(frozen=True)
class Workload:
    """A piece of work."""

    work: Callable[[Path], int | None]
    before: Callable[[Path], int | None] = lambda shared: None  # done in the same folder first, undisturbed
    several: bool = False  # processes, which go on without a killed one


# ---- what all runs share


def prepare(shared):
    """Photos, a dataset, archives of it, a server's folder, captions; nothing of it needs Keras."""
    (shared / "photos").mkdir()
    rng = np.random.default_rng(0)
    for number in range(10):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(shared / "photos" / f"{number}.png")
    (shared / "photos" / "broken.png").write_text("no photo")
    (shared / "squares" / "Images").mkdir(parents=True)
    rows = ["image,caption,split"]
    for number, split in enumerate(["train"] * 6 + ["val"] * 2 + ["test"] * 2):
        colour = COLOURS[number % 5]
        Image.new("RGB", (40, 40), colour).save(shared / "squares" / "Images" / f"{number}.png")
        rows += [f"{number}.png,A {colour} square .,{split}", f"{number}.png,This is {colour} .,{split}"]
    (shared / "squares" / "captions.csv").write_text("\n".join(rows))
    pack_dataset(load_dataset(shared / "squares"), shared / "packed", photos_per_shard=5)
    _prepare_server(shared / "server")
    references = {f"{number}.jpg": [f"a dog {number}", "a dog runs"] for number in range(6)}
    (shared / "references.json").write_text(json.dumps(references))
    (shared / "candidates.json").write_text(json.dumps(dict.fromkeys(references, "a dog runs")))
    (shared / "parts.bin").write_bytes(rng.bytes(5000))


def _prepare_server(folder):
    from test_download import annotations, photo, zip_bytes

    names = [f"annotations/captions_{split}2017.json" for split in ("train", "val")]
    archives = {
        "annotations.zip": zip_bytes({names[0]: annotations([1, 2]), names[1]: annotations([3, 4])}),
        "val2017.zip": zip_bytes({f"val2017/{number}.jpg": photo() for number in (3, 4)}),
        "train2017.zip": zip_bytes({f"train2017/{number}.jpg": photo() for number in (1, 2)}),
    }
    folder.mkdir()
    for name, content in archives.items():
        (folder / name).write_bytes(content)
    facts = [(name, len(content), hashlib.sha256(content).hexdigest()) for name, content in archives.items()]
    (folder / "archives.json").write_text(json.dumps([[*facts[0], names, 0], *([*each, [], 2] for each in facts[1:])]))


# ---- without Keras


def draw(shared, num_scenes=2, seed=0):
    draw_dataset("scenes", num_scenes + 1, seed)


def extract(shared, path="features.pkl", photos=slice(None), changed=False):
    """Features of photos, numbers 0 and 1 of them changed where wanted."""
    features.IMAGES_PER_SHARD = 4
    encoder = SimpleNamespace(fingerprint="toy", output_shape=(6,), image_size=(8, 8))
    encoder.encode = lambda images: images.reshape(len(images), -1)[:, :6].astype(np.float16)
    paths = sorted((shared / "photos").iterdir())[photos]
    places = {each.name: each for each in paths}
    if changed:
        places |= {"0.png": paths[2], "1.png": paths[3]}
    features.extract_features(places, encoder, Path(path), batch_size=2)


def pack(shared):
    return pack_main([str(shared / "squares"), "packed", "--photos_per_shard", "4", "--gzip"])


def unpack(shared):
    load_dataset(shared / "packed", images="photos")


def download(shared):
    transfer.WAITS = ()
    archives = [CocoArchive(*each) for each in json.loads((shared / "server" / "archives.json").read_text())]
    download_coco("coco", (shared / "address").read_text(), archives)


def copy_parts(shared):
    shutil.copyfile(shared / "parts.bin", "parts.bin")


def cut_and_join(shared):
    join_parts(write_parts("parts.bin", most=2000)[0], "joined.bin")


def check(shared):
    return check_main([str(shared / "squares"), "--json", "found/check.json"])


def score(shared):
    return evaluate_main(
        ["--references", str(shared / "references.json"), "--candidates", str(shared / "candidates.json")]
    )


QUICK = {
    "drawing": Workload(draw),
    "drawing anew": Workload(draw, before=functools.partial(draw, num_scenes=3, seed=1)),
    "features, pickle": Workload(extract),
    "features, pickle that grows": Workload(extract, before=functools.partial(extract, photos=slice(6), changed=True)),
    "features, shards": Workload(functools.partial(extract, path="grids")),
    "features, shards that grow": Workload(
        functools.partial(extract, path="grids"),
        before=functools.partial(extract, path="grids", photos=slice(6), changed=True),
    ),
    "packing": Workload(pack),
    "unpacking": Workload(unpack),
    "download": Workload(download),
    "parts of a file": Workload(cut_and_join, before=copy_parts),
    "check": Workload(check),
    "scores of files": Workload(score),
}


# ---- with Keras: imported before a run is forked, and used after it only


def import_keras():
    """Import what is slow, once for all forks. No tensor is made: TensorFlow's threads would be lost in a fork."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = "1"  # sums in one order
    with held_back_stderr():
        import keras  # noqa: F401
        import onnx  # noqa: F401
        import tensorflow  # noqa: F401
        import test_hub  # noqa: F401
        import test_scaling  # noqa: F401
        import tf2onnx  # noqa: F401
        import toys  # noqa: F401

        import captioning_utils.sharing.onnx_export
        import captioning_utils.training  # noqa: F401


def start_hub(shared):
    """Serve a hub as long as this process lives."""
    import test_hub

    hub = test_hub.FakeHub()
    hub.handle_error = lambda *arguments: None  # of clients that were killed
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    (shared / "hub").write_text(hub.address)


def prepare_captioners(shared):
    """Captioners to go on from, and features for evaluation; in a process of its own. Photos, tables and archives."""
    import toys

    toys.train(toys.make_balls(shared), shared / "start.h5", epochs=1)
    squares, encoder = load_dataset(shared / "squares"), small_encoder()
    features.extract_features(squares.image_paths, encoder, shared / "squares.pkl")
    captions = [caption for several in squares.captions.values() for caption in several]
    toys.make_captioner(feature_shape=(3,), captions=captions, encoder=encoder.fingerprint).save(shared / "squares.h5")
    shutil.copytree(shared / "photos", shared / "many" / "photos")
    shutil.copytree(shared / "packed", shared / "many" / "packed")


def small_encoder(*arguments, output_shape=(3,), **options):
    """An encoder of photos of 8×8 pixels that says so."""
    import toys

    return toys.ToyEncoder(output_shape, toys.ENCODER.replace("224x224", "8x8"))


def train(shared):
    import toys

    toys.train(toys.make_balls(shared), "model.h5", epochs=2)


def fine_tune(shared):
    import toys

    from captioning_utils import load_captioner

    toys.fine_tune(load_captioner(shared / "start.h5"), toys.make_balls(shared), "tuned.h5", epochs=2)


def train_on_score(shared):
    import toys

    from captioning_utils import load_captioner
    from captioning_utils.settings import SelfCriticalConfig
    from captioning_utils.training import train_self_critical

    config = SelfCriticalConfig(epochs=2, samples=2, max_length=6, min_length_ratio=0.0)
    start, photos = load_captioner(shared / "start.h5"), toys.make_balls(shared)
    train_self_critical(start, photos, toys.ColourFeatures(), "critical.h5", config, verbose=0)


def train_on_views(shared):
    import keras
    import toys

    from captioning_utils.encoders import build_encoder
    from captioning_utils.training import train_on_photos

    keras.utils.set_random_seed(0)
    encoder = build_encoder("vgg16", weights=None, image_size=32)
    config = toys.small(epochs=2, encoder_blocks=1, encoder_from=1, views=2)
    train_on_photos(load_dataset(shared / "squares"), encoder, "photos.h5", config, verbose=0)


def evaluate(shared):
    place = ["--data_path", shared / "squares", "--features", shared / "squares.pkl", "--photos", "embed"]
    return evaluate_main([*map(str, place), "--model_path", str(shared / "squares.h5")])


def combine(shared):
    from captioning_utils.commands.combine import combine_main

    return combine_main([str(shared / "start.h5")] * 2)


def export(shared):
    import keras
    import toys

    from captioning_utils.sharing import export_captioner

    keras.utils.set_random_seed(0)
    encoder = toys.make_encoder()
    captioner = toys.make_captioner(feature_shape=(4, 6), encoder=encoder.fingerprint)
    captioner.image_encoder = lambda weights_path=None: encoder
    export_captioner(captioner, "exported")


def put_into_tables(shared, main, *arguments):
    """Many photos into tables, a few at a time."""
    from captioning_utils.captioner import Captioner
    from captioning_utils.commands.scaling import engines
    from captioning_utils.encoders import encoder

    encoder.build_encoder = Captioner.image_encoder = small_encoder
    engines.PHOTOS_AT_ONCE = 3
    return main(["--photos", str(shared / "many"), "--out", "tables", "--rows_a_part", "6", *arguments])


def extract_into_tables(shared):
    from captioning_utils.commands.scale import features_main

    return put_into_tables(shared, features_main)


def describe_in_shards(shared):
    """Three shares of the work into one folder, then what is missing."""
    from captioning_utils.commands.scale import caption_main

    shards = (["--shard", f"{number}/3"] for number in (2, 3, 1))
    codes = [
        put_into_tables(shared, caption_main, "--model_path", str(shared / "squares.h5"), *shard)
        for shard in (*shards, [])
    ]
    return codes[-1]


def measure_on_ray(shared):
    """Readers, workers and writers in processes of Ray's own; boundaries are in the writers and in this one."""
    import ray
    import test_scaling
    from faults.boundaries import watch_in_child

    from captioning_utils.commands.scaling import process_photos

    os.environ |= {"PYTHONPATH": os.pathsep.join(sys.path), "RAY_USAGE_STATS_ENABLED": "0"}
    place = {"_temp_dir": str(shared.parent / "ray"), "object_store_memory": 10**8}
    place |= {"runtime_env": {"worker_process_setup_hook": watch_in_child}}
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, **place)
    ray.cloudpickle.register_pickle_by_value(test_scaling)
    process_photos(str(shared / "many"), "tables", test_scaling.GreyWorker(), "ray", rows_a_part=6)
    ray.shutdown()


def push(shared, name="squares.h5"):
    import huggingface_hub
    import test_hub

    from captioning_utils.commands.deploy import push_main
    from captioning_utils.sharing import hub

    hub.connect = lambda: huggingface_hub.HfApi(endpoint=(shared / "hub").read_text(), token=test_hub.TOKEN)
    return push_main([str(shared / name), "me/dogs"])


def push_and_pull(shared):
    from captioning_utils.commands.deploy import pull_main

    return push(shared, "start.h5") or pull_main(["me/dogs"])


def quickstart(shared):
    """As README has it, with fewer scenes, a small encoder, and a small captioner in the shipped one's place."""
    import toys

    from captioning_utils import captioner, images
    from captioning_utils.commands import quickstart
    from captioning_utils.encoders import encoder

    encoder.build_encoder = functools.partial(small_encoder, output_shape=(4, 6))
    captioner.Captioner.image_encoder = small_encoder
    captioner.DEFAULT_CAPTIONER, images.SAMPLES = shared / "squares.h5", Path("none")
    quickstart.NUM_SCENES = 12
    quickstart.SETTINGS = {"decoder": "transformer", "decoder_settings": toys.SIZES["transformer"], "epochs": 2}
    return quickstart.quickstart_main([])


WITH_KERAS = {
    "training": Workload(train),
    "fine-tuning": Workload(fine_tune),
    "self-critical training": Workload(train_on_score),
    "training on kept views": Workload(train_on_views),
    "evaluation": Workload(evaluate),
    "combining": Workload(combine),
    "export": Workload(export),
    "features into tables": Workload(extract_into_tables),
    "captions in shards": Workload(describe_in_shards),
    "Ray": Workload(measure_on_ray, several=True),
    "push and pull": Workload(push_and_pull, before=push),
    "quickstart": Workload(quickstart),
}
