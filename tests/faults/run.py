"""Disturb the package while it writes, and see that the same command then ends as if nothing had been.

    python tests/faults/run.py                                # 400 faults, and kills at random times
    python tests/faults/run.py --only training "export"   # some workloads

A run without harm shows all its boundaries: every opening for writing, write, flush, renaming, removal and new folder.
Then a run is killed or refused at one of them, or killed at any time; then the same work is done again. It must end as
the undisturbed one did, with the same files bit for bit (without the seconds that a training took), no other file, and
in between no file that is not one of the undisturbed run's. Linux only.
"""

import argparse
import dataclasses
import json
import os
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tqdm import tqdm

sys.path[:0] = map(str, Path(__file__).parents[1:3])  # tests, for `toys`, and the package

from faults import workloads
from faults.boundaries import HARM_DONE, HARMS, Boundaries, Fault, watch
from faults.digests import tree

from captioning_utils.commands.shell import run_command

MOST_SECONDS = 300  # of one run
KILLED = -signal.SIGKILL


@dataclasses.dataclass
class Outcome:
    """How a run ended."""

    code: int  # exit code, or minus the signal
    errors: str
    harm_done: bool
    seen: list
    versions: dict
    seconds: float


def run_in_child(work, shared, folder, fault=None, kill_after=None):
    """Do a piece of work in a forked process whose current folder is `folder`; `Outcome`."""
    errors, log = Path(f"{folder}.errors"), Path(f"{folder}.log")
    log.unlink(missing_ok=True)
    started = time.monotonic()
    child = os.fork()
    if not child:
        _work(work, shared, folder, fault, errors, log)
    handle = os.pidfd_open(child)
    if not select.select([handle], [], [], MOST_SECONDS if kill_after is None else kill_after)[0]:
        os.kill(child, signal.SIGKILL)
    os.close(handle)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    seconds = time.monotonic() - started
    entries = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    seen = [entry for entry in entries if isinstance(entry, list)]
    versions = entries[-1] if entries and isinstance(entries[-1], dict) else {}
    if seconds > MOST_SECONDS:
        raise AssertionError(f"it hangs: {errors.read_text()[-500:]}")
    return Outcome(code, errors.read_text(), HARM_DONE in entries, seen, versions, seconds)


def _work(work, shared, folder, fault, errors, log):
    """What the child does; never returns."""
    code = 99
    tqdm.set_lock(threading.RLock())  # its own is shared among processes: one killed with it keeps it for ever
    try:
        os.chdir(folder)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        for stream in (sys.stdout, sys.stderr):
            os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND), stream.fileno())
        settings = {"folder": str(folder), "fault": fault and dataclasses.astuple(fault), "log": str(log)}
        os.environ["FAULTS"] = json.dumps(settings)
        boundaries = Boundaries(folder, fault, log)
        watch(boundaries)
        code = run_command(lambda arguments: work(shared) or 0)
        boundaries.write({path: sorted(digests) for path, digests in boundaries.versions.items()})
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


class Disturbed:
    """A workload with what an undisturbed run of it does."""

    def __init__(self, name, workload, shared, place):
        self.name, self.workload, self.shared, self.place = name, workload, shared, place
        self.undisturbed, self.files = self._record("undisturbed")
        again, files = self._record("again")  # what differs without any harm would be laid at its door
        if files != self.files or again.versions.keys() != self.undisturbed.versions.keys():
            raise AssertionError(f"{name}: two undisturbed runs differ: {_differences(self.files, files)}")

    def _record(self, name):
        folder = self._start(name)
        outcome = run_in_child(self.workload.work, self.shared, folder)
        if outcome.code not in (0, 1) or not outcome.seen:
            raise AssertionError(f"{self.name} does not work undisturbed ({outcome.code}): {outcome.errors[-800:]}")
        files = tree(folder)
        shutil.rmtree(folder)
        return outcome, files

    def _start(self, name):
        """A new folder in which `before` is done."""
        folder = self.place / re.sub(r"\W+", "-", f"{self.name}-{name}")
        folder.mkdir()
        outcome = run_in_child(self.workload.before, self.shared, folder)
        if outcome.code not in (0, 1):
            raise AssertionError(f"{self.name} cannot begin: {outcome.errors[-800:]}")
        self.at_first = tree(folder)
        return folder

    def disturb(self, fault=None, kill_after=None):
        """(whether the harm was done, list of what is wrong then)."""
        folder = self._start("disturbed")
        outcome = run_in_child(self.workload.work, self.shared, folder, fault, kill_after)
        harm_done = outcome.harm_done if fault else outcome.code == KILLED
        wrong = self._judge_end(outcome, fault, harm_done) + self._find_half_written(folder)
        again = run_in_child(self.workload.work, self.shared, folder)
        if again.code != self.undisturbed.code:
            wrong.append(f"the same command then ends with {again.code}: {again.errors[-300:]}")
        files = tree(folder)
        if files != self.files:
            wrong.append(f"the files differ: {_differences(self.files, files)}")
        shutil.rmtree(folder)
        return harm_done, wrong

    def _judge_end(self, outcome, fault, harm_done):
        """A kill ends as one; a refused write is told in one line, or does no harm; a stop is a stop."""
        if not harm_done:
            allowed = {self.undisturbed.code}
        elif fault is None or fault.harm.startswith("kill"):
            allowed = {KILLED, *([self.undisturbed.code] if self.workload.several else [])}
        elif fault.harm == "stopped by the user":
            allowed = {130, self.undisturbed.code}
        else:
            allowed = {2, self.undisturbed.code}
        errors = [line for line in outcome.errors.splitlines() if "error: " in line]  # behind a progress bar, perhaps
        if outcome.code not in allowed or "Traceback" in outcome.errors or (outcome.code == 2 and len(errors) != 1):
            return [f"it ends with {outcome.code}: {outcome.errors[-500:]}"]
        return []

    def _find_half_written(self, folder):
        """Visible files that no undisturbed run puts there; a download goes on from its `.part`."""
        wrong = []
        for path, digest in tree(folder).items():
            known = {self.at_first.get(path), *self.undisturbed.versions.get(path, ())}
            is_file = (
                digest not in ("folder", "row") and not Path(path).name.startswith(".") and not path.endswith(".part")
            )
            if is_file and digest not in known:
                wrong.append(f"{path} is half written")
        return wrong

    def choose(self, rng):
        """All faults that can be injected, in an order drawn at random, those of all kinds first."""
        places = list(range(1, len(self.undisturbed.seen) + 1))
        columns = [[Fault(place, harm) for place in rng.sample(places, len(places))] for harm in HARMS]
        return [fault for row in zip(*columns, strict=True) for fault in rng.sample(row, len(row))]


def _differences(wanted, found):
    changed = [path for path in wanted if path in found and wanted[path] != found[path]]
    return {"missing": sorted(set(wanted) - set(found)), "new": sorted(set(found) - set(wanted)), "changed": changed}


def run_group(names, shared, place, faults, kills, seed):
    """Disturb some workloads; rows of the table."""
    rows = []
    for name in names:
        disturbed = Disturbed(name, (workloads.QUICK | workloads.WITH_KERAS)[name], shared, place)
        rng = random.Random(f"{seed} {name}")
        row = {"workload": name, "boundaries": len(disturbed.undisturbed.seen), "faults": 0, "kills": 0, "wrong": []}
        for fault in disturbed.choose(rng)[:faults]:
            harm_done, wrong = disturbed.disturb(fault)
            row["faults"] += harm_done
            where = disturbed.undisturbed.seen[fault.place - 1]
            row["wrong"] += [f"{fault.harm} at {fault.place} ({where[0]} {where[1]}): {each}" for each in wrong]
        for _ in range(kills):
            harm_done, wrong = disturbed.disturb(kill_after=rng.random() * disturbed.undisturbed.seconds)
            row["kills"] += harm_done
            row["wrong"] += [f"killed at some time: {each}" for each in wrong]
        rows.append(row)
        text = f"{name:<28} {row['boundaries']:>4} boundaries {row['faults']:>4} faults {row['kills']:>3} kills"
        print(f"{text} {len(row['wrong']):>3} wrong", *row["wrong"], sep="\n    ", flush=True)
    return rows


def main(arguments=None):
    """Run all; the exit code says whether anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everything = workloads.QUICK | workloads.WITH_KERAS
    parser.add_argument("--faults", type=int, default=22, help="at boundaries, in each workload")
    parser.add_argument("--kills", type=int, default=5, help="at random times, in each workload")
    parser.add_argument("--only", nargs="+", choices=everything, default=list(everything), help="workloads")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of faults")
    options = parser.parse_args(arguments)
    if min(options.faults, options.kills) < 0:
        parser.error("give no number below 0")
    place = Path(tempfile.mkdtemp(prefix="faults-"))
    shared = place / "shared"
    shared.mkdir()
    os.environ["MPLCONFIGDIR"] = str(place / "matplotlib")  # a cache of another package
    workloads.prepare(shared)
    address = ["-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(shared / "server")]
    server = subprocess.Popen([sys.executable, "-u", *address], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        port = re.search(rb"port (\d+)", server.stdout.readline())[1].decode()
        (shared / "address").write_text(f"http://127.0.0.1:{port}/")
        if set(options.only) & set(workloads.WITH_KERAS):
            workloads.import_keras()
            workloads.start_hub(shared)
            outcome = run_in_child(workloads.prepare_captioners, shared, shared)
            if outcome.code:
                raise AssertionError(outcome.errors)
        rows = run_group(options.only, shared, place, options.faults, options.kills, options.seed)
    finally:
        server.kill()
        shutil.rmtree(place)
    total = {key: sum(row[key] for row in rows) for key in ("boundaries", "faults", "kills")}
    wrong = sum(len(row["wrong"]) for row in rows)
    print(json.dumps(total | {"workloads": len(rows), "wrong": wrong}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
