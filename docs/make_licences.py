"""Make docs/licences.md: the licence of every package that an installation brings, as the installed packages state it.

    python docs/make_licences.py

Needs an environment with requirements.txt and requirements-dev.txt. A test sees to it that no requirement is missing.
"""

import argparse
import re
import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from packaging.requirements import Requirement

from captioning_utils.base.files import write_text

ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).with_name("licences.md")
START, END = "<!-- licences -->\n", "<!-- end of licences -->"
FILES = {"For everyone": "requirements.txt", "For contributors, and the extras": "requirements-dev.txt"}
NAMES = {  # what packages write for the same licence
    "MIT License": "MIT",
    "(The )?Apache( Software)?( License)?,?( (Version )?2.0)?": "Apache-2.0",
    "BSD License|FreeBSD|3-Clause BSD License": "BSD (some clauses)",
    r"ISC License \(ISCL\)": "ISC",
    r"Mozilla Public License 2.0 \(MPL 2.0\)": "MPL-2.0",
    "Python Software Foundation License|PSF-2.0": "PSF",
    "UNKNOWN": "not stated in its metadata",
}


def read_requirements(name):
    """The requirements of a file of the repository: list of `Requirement`."""
    lines = [line.partition("#")[0].strip() for line in (ROOT / name).read_text(encoding="utf-8").splitlines()]
    return [Requirement(line) for line in lines if line]


def collect_packages(requirements):
    """All packages that some requirements bring, themselves included: dict of canonical name to its metadata."""
    found, waiting = {}, [(each, each.extras) for each in requirements]
    while waiting:
        requirement, extras = waiting.pop()
        name = canonical(requirement.name)
        if name in found and not extras:
            continue
        found[name] = metadata.metadata(name)
        for line in metadata.requires(name) or ():
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras or ("",)):
                waiting.append((needed, needed.extras))
    return found


def canonical(name):
    """A package's name as indexes compare it; str."""
    return re.sub(r"[-_.]+", "-", name).lower()


def find_licence(package):
    """A package's licence as its metadata states it, in the words of spdx.org where that is clear; str."""
    classifiers = [
        line.rpartition(" :: ")[2] for line in package.get_all("Classifier", ()) if line.startswith("License")
    ]
    stated = package.get("License-Expression") or ", ".join(classifiers) or package.get("License") or "UNKNOWN"
    return next((name for pattern, name in NAMES.items() if re.fullmatch(pattern, stated.strip())), stated.strip())


def build_tables():
    """Markdown of all packages: a section for everyone and one for contributors, a row a licence; str."""
    lines, listed = [], set()
    for who, name in FILES.items():
        packages = collect_packages(read_requirements(name))
        licences = {}
        for package in sorted(set(packages) - listed):
            licences.setdefault(find_licence(packages[package]), []).append(package)
        listed |= set(packages)
        lines += [f"\n## {who}\n", "| licence | packages |", "|---|---|"]
        lines += [f"| {licence} | {', '.join(names)} |" for licence, names in sorted(licences.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    text = PAGE.read_text(encoding="utf-8")
    write_text(PAGE, text[: text.index(START) + len(START)] + build_tables() + text[text.index(END) :])
