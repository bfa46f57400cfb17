"""What the benchmarks share: both sides in turn, the ratio of each round, and a JSON file that the pages are made from.

The clock is the processor time (user and system) of all threads, so that other programs on the machine hardly count.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from captioning_utils.base.files import check_writable, write_text

CLOCK = "processor time, user and system, all threads"
PACKAGES = ("keras", "tensorflow", "numpy")


def build_parser(doc, rounds):
    """A parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a size for a test of a minute")
    parser.add_argument("--rounds", type=whole, default=rounds, help="turns of each side")
    parser.add_argument("--out", help="write the figures as JSON")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a figure misses twice its target")
    return parser


def whole(text):
    """A whole number from 1 on, as the type of an option."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r:.40} is no whole number; give 1 or more")
    return int(text)


def share(text):
    """A number above 0, as the type of an option."""
    if not 0 < float(text) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r:.40} is no share; give a number above 0")
    return float(text)


def parse(parser, arguments):
    """The options, once it is known that the figures can be written."""
    options = parser.parse_args(arguments)
    if options.out:
        check_writable(options.out)
    return options


def run_on_dataset(run, parser, arguments, num_scenes, **small):
    """Call `run(options, data_path)` for the dataset asked for, or for drawn scenes with the `small` options."""
    from captioning_utils.scenes import draw_dataset

    parser.add_argument("--data_path", help="Flickr8k; scenes are drawn with --small")
    options = parse(parser, arguments)
    if options.data_path:
        return run(options, options.data_path)
    if not options.small:
        parser.error("give --data_path, or --small")
    vars(options).update(small)
    with tempfile.TemporaryDirectory() as folder:
        return run(options, draw_dataset(Path(folder) / "drawn", num_scenes))


def seconds_of(function):
    """Processor seconds of a call in this process."""
    started = time.process_time()
    function()
    return time.process_time() - started


def seconds_of_command(command, **options):
    """Processor seconds of a process, from its start to its end; it must succeed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def take_turns(sides, rounds, clock=seconds_of):
    """Measure every side once a round: dict of name to function (or command) → dict of name to list of seconds."""
    found = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            found[name].append(clock(side))
    return found


def read_process(pid="self"):
    """Megabytes of memory and number of open files of a process, as Linux tells it."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(os.listdir(f"/proc/{pid}/fd"))


def ratios(slow, fast):
    """The ratio of each round."""
    return [one / other for one, other in zip(slow, fast, strict=True)]


def claim(what, values, here, other, unit="times", at_least=None, at_most=None):
    """One line of the table: the median of the rounds, and the lowest and highest of them."""
    figure = {"median": statistics.median(values), "low": min(values), "high": max(values), "rounds": len(values)}
    target = {"at_least": at_least} if at_least else {"at_most": at_most} if at_most else {}
    return {"what": what, "figure": figure, "unit": unit, "target": target, "here": here, "other": other}


def is_near_target(one):
    """Whether a figure is better than half its target: what a small size on a busy machine must reach."""
    median, target = one["figure"]["median"], one["target"]
    return median >= target.get("at_least", 0) / 2 and median <= 2 * target.get("at_most", float("inf"))


def finish(options, claims, notes=()):
    """Print the figures, write them with what they were measured on; returns the exit code."""
    for one in claims:
        figure = "{median:.3g} ({low:.3g} to {high:.3g}) ".format(**one["figure"]) + one["unit"]
        target = " ".join(f"{name.replace('_', ' ')} {value}" for name, value in one["target"].items())
        print(f"{one['what']}: {figure}{target and f', target {target}'}; {one['here']}; {one['other']}", flush=True)
    print(*notes, sep="\n")
    if options.out:
        left_out = ("out", "check", "data_path", "exported")
        settings = {name: value for name, value in vars(options).items() if name not in left_out}
        document = {"script": Path(sys.argv[0]).name, "settings": settings, "clock": CLOCK}
        document |= {"machine": describe_machine(), "claims": claims, "notes": list(notes)}
        write_text(options.out, json.dumps(document, indent=1, default=str) + "\n")
    return 0 if not options.check or all(map(is_near_target, claims)) else 1


def describe_machine():
    """Processor, cores and versions; how busy the machine was."""
    facts = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in facts if line.startswith("model name")]
    flags = next((line for line in facts if line.startswith("flags")), "").split()
    return {
        "processor": names[0] if names else platform.processor(),
        "extensions": [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags],
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        **{name: version(name) for name in PACKAGES},
    }
