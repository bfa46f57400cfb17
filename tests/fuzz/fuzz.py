"""Give the package's readers files that nobody would write, until something else than a refusal in one line happens.

    python -m pip install -r tests/fuzz/requirements.txt
    python tests/fuzz/fuzz.py --seconds 60 --out counts.json            # all readers, 60 seconds each
    python tests/fuzz/fuzz.py --readers photos pickles --seconds 3600   # some, for an hour each

Atheris (https://github.com/google/atheris) guides the changes by the lines of the package that they reach; where it is
not installed, bytes are changed at random. Each reader runs in a process of its own with bounded memory and time for
each file. What breaks a rule is kept in the folder of `--corpus`, and the exit code is 1.
"""

import argparse
import contextlib
import importlib.util
import io
import json
import os
import pickle
import random
import re
import resource
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import warnings
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from captioning_utils.base.errors import InputError  # noqa: E402

MEMORY = 2 << 30  # bytes above what the imports take
SECONDS_A_FILE = 20  # on a machine that does other things besides
PIXELS = 2_000_000  # of a photo; those up to the package's own limit take seconds each
LONGEST_FILE = 40_000  # bytes
HAS_ATHERIS = importlib.util.find_spec("atheris") is not None


def watched():
    """Imports of the package in here are guided by; a context."""
    if not HAS_ATHERIS:
        return contextlib.nullcontext()
    import atheris

    return atheris.instrument_imports(include=["captioning_utils"])


# ---- the readers: what each does with the bytes of a file, and files to begin with


def make_photos(folder):
    with watched():
        from captioning_utils import images
    from PIL import Image

    images.MAX_PIXELS = PIXELS

    def read(content):
        images.load_image(io.BytesIO(content), (32, 32), [])

    noise = Image.effect_noise((24, 16), 80)
    seeds = []
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a dog"
    kinds = {"JPEG": "L RGB CMYK", "PNG": "1 L LA P RGB RGBA I;16", "GIF": "P", "BMP": "RGB P", "TIFF": "RGB I;16 F"}
    kinds |= {"WEBP": "RGBA", "PPM": "L RGB", "ICO": "RGBA"} | dict.fromkeys(("TGA", "PCX", "JPEG2000", "AVIF"), "RGB")
    for kind, modes in kinds.items():
        for mode in modes.split():
            file = io.BytesIO()
            options = {"exif": exif} if kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF") else {}
            with contextlib.suppress(OSError, KeyError):  # formats that this Pillow does not write
                noise.convert("L" if mode in ("I;16", "F") else mode).convert(mode).save(file, kind, **options)
                seeds.append(file.getvalue())
    return read, seeds


def make_tables(folder):
    with watched():
        from captioning_utils.datasets import load_dataset
    (folder / "photos").mkdir()
    for number in range(4):
        (folder / "photos" / f"{number}.jpg").touch()
    endings = (".csv", ".json", ".jsonl", ".txt")

    def read(content):
        path = folder / f"captions{endings[content[0] % len(endings) if content else 0]}"
        path.write_bytes(content[1:])
        load_dataset(path, folder / "photos")

    records = [{"image": f"{number}.jpg", "caption": f"A dog {number} ."} for number in range(4)]
    coco = {
        "images": [{"id": number, "file_name": f"{number}.jpg"} for number in range(4)],
        "annotations": [{"image_id": number, "caption": "A dog"} for number in range(4)],
    }
    sentences = [{"raw": "A dog"}, {"raw": "A cat"}]
    karpathy = {"images": [{"filename": "0.jpg", "split": "train", "filepath": "a", "sentences": sentences}]}
    texts = [
        "\0image,caption,split\n0.jpg,A dog .,train\n1.jpg,\"A dog, running\",test\n2.jpg,\"['A dog', 'A cat']\",val\n",
        '\0image_name| comment_number| comment\n0.jpg| 0| A dog .\n1.jpg| 1   A "cat .\n',
        "\0file_name;caption_1;caption_2\n0.jpg;<start> a dog <end>;a cat\n",
        "\3" + "".join(f"{number}.jpg#0\tA dog .\n" for number in range(4)),
        "\2" + "\n".join(map(json.dumps, records)),
        *("\1" + json.dumps(content) for content in (records, coco, karpathy)),
    ]
    return read, [text.encode() for text in texts]


def make_scores(folder):
    with watched():
        from captioning_utils.evaluation.score_files import load_candidates, load_references, match_ids
    path = folder / "scores"

    def read(content):
        path.write_bytes(content)
        notes = []
        with contextlib.suppress(InputError):
            match_ids(load_candidates(path, notes), ["1", "a.jpg"], notes)
        load_references(path, notes, ["1"])

    coco = {"images": [{"id": 1}], "annotations": [{"image_id": 1, "caption": "a dog"}]}
    values = [{"1": "a dog", "2": "a cat"}, {"1": ["a dog", "a cat"]}, [{"image_id": 1, "caption": "a dog"}], coco]
    texts = ['image,caption\n1,a dog\n2,"a, b"\n', "image_id\tcaption\tscore\n1\ta dog\t-1.5\n", "1.jpg#0\tA dog .\n"]
    return read, [text.encode() for text in [*map(json.dumps, values), *texts, '{"image_id": 1, "caption": "a"}\n' * 2]]


def make_pickles(folder):
    import numpy as np

    with watched():
        from captioning_utils.features import load_features
    path = folder / "features.pkl"

    def read(content):
        path.write_bytes(content)
        cache = load_features(path)
        cache.get(cache.image_ids)

    contents = {"format_version": 1, "fingerprint": "toy", "output_shape": (2, 3), "image_ids": ["a", None, "b"]}
    contents |= {"skipped": {"c": "damaged"}, "features": np.ones((3, 2, 3), np.float16), "identities": ["x", "", "y"]}
    return read, [pickle.dumps(contents, protocol=protocol) for protocol in (2, 3, 4, 5)]


def make_shards(folder):
    import numpy as np

    with watched():
        from captioning_utils.features import load_features
    shard, list_beside, index = folder / "shard-00000.npy", folder / "shard-00000.json", folder / "index.json"

    def read(content):
        texts, _, numbers = content.partition(b"\x93")
        text, _, names = texts.partition(b"\n")
        index.write_bytes(text)
        list_beside.unlink(missing_ok=True)
        if names:
            list_beside.write_bytes(names)
        shard.write_bytes(b"\x93" + numbers)
        cache = load_features(folder)
        cache.get(cache.image_ids)

    file = io.BytesIO()
    np.save(file, np.ones((2, 3), np.float16))
    names = {"image_ids": ["a", "b"], "identities": ["x", ""]}
    facts = {"fingerprint": "toy", "output_shape": [3], "skipped": {"c": "d"}}
    version_1 = [{"format_version": 1, "shards": [{"file": shard.name} | names]} | facts]
    version_2 = [{"format_version": 2, "shards": []} | facts, names | {"skipped": {"e": "f"}}]
    seeds = ["\n".join(map(json.dumps, texts)).encode() for texts in (version_1, version_2)]
    return read, [seed + file.getvalue() for seed in seeds]


def make_archives(folder):
    with watched():
        from captioning_utils.datasets import load_dataset
    path = folder / "toy.tar"

    def read(content):
        path.write_bytes(content)
        load_dataset(path, folder / "photos")

    seeds = []
    for mode in ("w", "w:gz"):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode=mode) as tar:
            for name, text in {
                "0.jpg": b"photo",
                "0.json": b'{"captions": ["A dog"]}',
                "1.png": b"",
                "1.txt": b"A",
            }.items():
                member = tarfile.TarInfo(name)
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text))
        seeds.append(file.getvalue())
    return read, seeds


def make_storage(folder):
    import numpy as np

    with watched():
        from captioning_utils.base.storage import read_storage, write_storage
    path = folder / "a.h5"

    def read(content):
        path.write_bytes(with_valid_digest(content))
        read_storage(path, "captioner", 1)

    arrays = {f"{number:03} kernel": np.full((2, number), number, "float16") for number in range(9)}
    write_storage(path, "captioner", 1, {"captioner": {"words": ["a", "dog"]}, "training": {}}, arrays)
    return read, [path.read_bytes()]


def make_captioners(folder):
    from toys import make_captioner

    with watched():
        from captioning_utils.captioner import load_captioner
        from captioning_utils.sharing import build_model_card
    path = folder / "a.h5"

    def read(content):
        path.write_bytes(with_valid_digest(content))
        build_model_card(load_captioner(path), "me/dogs")

    make_captioner("merge", embedding_dim=2, hidden_dim=2).save(path)
    return read, [path.read_bytes()]


def with_valid_digest(content):
    """Half of the changed files get the digest of what they hold now, else no other check would ever see them."""
    from captioning_utils.base import plain_hdf5, storage

    try:
        file = plain_hdf5.read_plain_hdf5(content)
        stored = file.attributes["digest"].encode()
    except (InputError, ValueError, KeyError, AttributeError):
        return content
    return content.replace(stored, storage.compute_digest(file.arrays).encode()) if zlib.crc32(content) % 2 else content


READERS = {
    "photos": make_photos,
    "tables": make_tables,
    "scores": make_scores,
    "pickles": make_pickles,
    "shards": make_shards,
    "archives": make_archives,
    "storage": make_storage,
    "captioners": make_captioners,
}


# ---- one reader in a process of its own


def fuzz(reader, seconds, corpus, seed):
    """Run one reader; ends the process with 0 where nothing but refusals was met."""
    warnings.simplefilter("ignore")
    place = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=place) as folder:
        read, seeds = READERS[reader](Path(folder))
        limit_memory()
        check = make_check(read)
        for content in seeds:
            check(content)
        if HAS_ATHERIS:
            guide(check, seeds, seconds, corpus, seed)
        else:
            change_at_random(check, seeds, seconds, corpus, seed)


def limit_memory():
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))


def make_check(read):
    """A function of bytes that raises where a file is neither read nor refused in one line."""

    def check(content):
        try:
            read(content)
        except InputError as error:
            if len(str(error)) > 4000 or "\n" in str(error):
                raise AssertionError(f"refused in many words: {str(error)[:200]!r}") from error

    return check


def guide(check, seeds, seconds, corpus, seed):
    import atheris

    for number, content in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(content)
    options = {"max_total_time": seconds, "timeout": SECONDS_A_FILE, "max_len": LONGEST_FILE, "rss_limit_mb": 0}
    options |= {"artifact_prefix": f"{corpus}/", "seed": seed, "print_final_stats": 1, "verbosity": 1}
    atheris.Setup([sys.argv[0], *(f"-{name}={value}" for name, value in options.items()), str(corpus)], check)
    atheris.Fuzz()


def change_at_random(check, seeds, seconds, corpus, seed):
    generator, end, number = random.Random(seed), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        content = bytearray(generator.choice(seeds))
        for _ in range(generator.randint(1, 8)):
            change(content, generator)
        signal.alarm(SECONDS_A_FILE)  # ends the process
        (corpus / "last").write_bytes(content)
        check(bytes(content))
        signal.alarm(0)
        number += 1
    (corpus / "last").unlink(missing_ok=True)
    print(f"Done {number} runs in {seconds} second(s)", file=sys.stderr)


def change(content, generator):
    """Change, cut out, double or cut off some bytes."""
    start = generator.randrange(len(content) + 1)
    end = min(len(content), start + generator.choice([1, 1, 1, 2, 4, 8, 100]))
    kind = generator.randrange(8)
    if kind < 5:
        content[start:end] = bytes(
            generator.choice([0, 1, 127, 128, 255, generator.randrange(256)]) for _ in content[start:end]
        )
    elif kind == 5:
        del content[start:end]
    elif kind == 6:
        content[start:start] = content[start:end] * generator.choice([1, 2, 100])
    else:
        del content[max(start, 1) :]


# ---- all of them


def run_readers(readers, seconds, corpus, seed):
    """Counts by reader: executions, seconds, and what broke a rule (None where nothing did)."""
    counts = {}
    for reader in readers:
        (corpus / reader).mkdir(parents=True, exist_ok=True)
        command = [sys.executable, __file__, "--one", reader, "--seconds", str(seconds), "--seed", str(seed)]
        began = time.monotonic()
        done = subprocess.run([*command, "--corpus", str(corpus)], capture_output=True, text=True, errors="replace")
        log = done.stdout + done.stderr
        found = re.findall(r"Done (\d+) runs|stat::number_of_executed_units: (\d+)|#(\d+)\s", log)
        executions = max((int(number) for numbers in found for number in numbers if number), default=0)
        failure = None if done.returncode == 0 else log[-3000:]
        counts[reader] = {"executions": executions, "seconds": round(time.monotonic() - began), "failure": failure}
        print(f"{reader:<12}{executions:>10,} executions{'' if failure is None else ', FAILED:'}", flush=True)
        if failure:
            print(failure, file=sys.stderr)
    return counts


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", nargs="+", choices=READERS, default=list(READERS), help="which; all otherwise")
    parser.add_argument("--seconds", type=int, default=60, help="of each")
    parser.add_argument("--seed", type=int, default=1, help="of the changes")
    parser.add_argument("--corpus", type=Path, help="a folder that keeps what was found; a temporary one otherwise")
    parser.add_argument("--out", type=Path, help="a JSON file for the counts")
    parser.add_argument("--one", choices=READERS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.seconds < 1:
        parser.error(f"{options.seconds} seconds are none; give 1 or more")
    if options.out and not options.out.absolute().parent.is_dir():
        parser.error(f"{options.out} is in no folder that is there; give another place")
    if options.corpus and options.corpus.is_file():
        parser.error(f"{options.corpus} is a file; give a folder")
    if options.one:
        return fuzz(options.one, options.seconds, options.corpus / options.one, options.seed)
    with contextlib.ExitStack() as stack:
        corpus = options.corpus or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        counts = run_readers(options.readers, options.seconds, corpus, options.seed)
    total = sum(count["executions"] for count in counts.values())
    document = {"guided": HAS_ATHERIS, "executions": total, "readers": counts}
    if options.out:
        options.out.write_text(json.dumps(document, indent=1) + "\n")
    print(f"{total:,} executions{'' if HAS_ATHERIS else ', changed at random: atheris is not installed'}")
    return int(any(count["failure"] for count in counts.values()))


if __name__ == "__main__":
    sys.exit(main())
