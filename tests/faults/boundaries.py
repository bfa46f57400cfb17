"""Every place at which a process changes a disk, found while it runs, and harm done at one of them."""

import builtins
import dataclasses
import errno
import functools
import io
import json
import os
import signal
import threading
from pathlib import Path

from faults.digests import digest

ERRORS = {"disk full": errno.ENOSPC, "permission": errno.EACCES, "read-only": errno.EROFS, "interrupted": errno.EINTR}
KILLS = ("kill before", "kill after", "kill halfway")
LASTING = {"full from here": errno.ENOSPC, "read-only from here": errno.EROFS}
HARMS = (*KILLS, *ERRORS, *LASTING, "stopped by the user")
WRITING = os.O_WRONLY | os.O_RDWR


@dataclasses.dataclass
class Fault:
    """Harm at boundary number `place`, counted from 1."""

    place: int
    harm: str  # of HARMS


class Boundaries:
    """Counts the boundaries below a folder, those of other processes included, and does harm at one.

    Args:
        folder: str.
        fault: `Fault`, or None.
        log: str, a file for all processes: a line for each boundary, and one for the harm.

    Attributes:
        versions: dict of path to the set of digests of what was ever put there.
    """

    def __init__(self, folder, fault, log):
        self.folder, self.fault, self.versions = os.path.realpath(folder), fault, {}
        self._log = os.open(log, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self._lock = threading.RLock()

    def write(self, entry):
        """Write an entry into the log; gives how many there are."""
        os.write(self._log, f"{json.dumps(entry)}\n".encode())
        return os.pread(self._log, os.fstat(self._log).st_size, 0).count(b"\n")

    def inside(self, path, dir_fd=None):
        """The path relative to the folder, or None where it is elsewhere."""
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        elif dir_fd is not None:
            path = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), os.fsdecode(path))
        path = os.path.abspath(os.fsdecode(path))
        return os.path.relpath(path, self.folder) if path.startswith(f"{self.folder}/") else None

    def around(self, operation, path, action, halfway=None):
        """Do an operation, and the harm where this is its place."""
        if path is None:
            return action()
        with self._lock:
            harm = self._harm_at(self.write([operation, path]), operation)
            if harm == "kill halfway" and halfway is not None:
                halfway()
            if harm in KILLS and harm != "kill after":
                os.kill(os.getpid(), signal.SIGKILL)
            number = (ERRORS | LASTING).get(harm)
            if number is not None:
                raise OSError(number, os.strerror(number), path)
            if harm == "stopped by the user":
                raise KeyboardInterrupt
            try:
                return action()
            finally:
                if harm == "kill after":
                    os.kill(os.getpid(), signal.SIGKILL)

    def _harm_at(self, number, operation):
        if self.fault is None:
            return None
        place, harm = self.fault.place, self.fault.harm
        lasts = harm in LASTING and number > place and (harm != "full from here" or operation not in REMOVING)
        if number == place:
            self.write(HARM_DONE)
        return harm if lasts or number == place else None


HARM_DONE = "harm done"
REMOVING = ("unlink", "rmdir", "replace")  # which need no room


def watch_in_child():
    """As `watch`, in a process that a watched one has started; nobody stops it but the other one."""
    settings = json.loads(os.environ["FAULTS"])
    fault = settings["fault"] and Fault(*settings["fault"])
    if fault and fault.harm == "stopped by the user":
        fault = None
    watch(Boundaries(settings["folder"], fault, settings["log"]))


def watch(boundaries):
    """Put the boundaries around what Python changes disks with, for the rest of this process."""
    originals = {name: getattr(os, name) for name in ("open", "replace", "unlink", "rmdir", "mkdir", "fsync")}

    def change(name, path, *arguments, dir_fd=None, **options):
        if dir_fd is not None:
            options["dir_fd"] = dir_fd
        act = functools.partial(originals[name], path, *arguments, **options)
        return boundaries.around(name, boundaries.inside(path, dir_fd), act)

    for name in ("unlink", "rmdir", "mkdir"):
        setattr(os, name, functools.partial(change, name))
    os.remove = os.unlink

    def open_descriptor(path, flags, mode=0o777, *, dir_fd=None):
        act = functools.partial(originals["open"], path, flags, mode, dir_fd=dir_fd)
        changes = flags & os.O_CREAT or (flags & WRITING and os.path.lexists(path))  # else it finds nothing
        return boundaries.around("open", boundaries.inside(path, dir_fd), act) if changes else act()

    def replace(source, target, **options):
        place = boundaries.inside(target)
        if place is not None and boundaries.fault is None:
            boundaries.versions.setdefault(place, set()).add(digest(Path(source)))
        return boundaries.around("replace", place, functools.partial(originals["replace"], source, target, **options))

    def fsync(descriptor):
        def lose_half():  # of what was written by other ways than Python's files
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)

        place = boundaries.inside(descriptor)
        return boundaries.around("fsync", place, functools.partial(originals["fsync"], descriptor), lose_half)

    os.open, os.replace, os.rename, os.fsync = open_descriptor, replace, replace, fsync
    builtins.open = io.open = _watched_open(boundaries, io.open)


def _watched_open(boundaries, original):
    class WatchedFile(io.FileIO):
        def write(self, content):
            def write_half():
                io.FileIO.write(self, bytes(content)[: len(content) // 2])

            act = functools.partial(io.FileIO.write, self, content)
            return boundaries.around("write", boundaries.inside(self.fileno()), act, write_half)

    @functools.wraps(original)
    def watched_open(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None):
        place = boundaries.inside(file) if set(mode) & set("wxa+") else None
        if place is None:
            return original(file, mode, buffering, encoding, errors, newline, closefd, opener)
        plain = "".join(sign for sign in mode if sign not in "bt")
        raw = boundaries.around("open", place, lambda: WatchedFile(file, plain, closefd, opener))
        if buffering == 0:
            return raw
        buffer = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)
        if "b" in mode:
            return buffer
        text = io.TextIOWrapper(buffer, encoding, errors, newline)
        text.mode = mode
        return text

    return watched_open
