"""What a check of a dataset found."""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from captioning_utils.base.wording import count_noun, name_some

EXAMPLES = 10  # names a finding keeps
LEVELS = {"unusable": "cannot be trained on", "look": "worth a look", "note": "good to know"}


@dataclass(frozen=True)
class Finding:
    """One thing that was found in a dataset."""

    kind: str  # for programs: missing_photos, leaking_photos, …
    level: str  # of LEVELS: "unusable", "look" or "note"
    count: int
    text: str  # what was found
    advice: str  # what it means, and what to do
    examples: list[str] = field(default_factory=list)  # names of photos, or captions; the first few


@dataclass(frozen=True)
class DatasetReport:
    """What `check_dataset` found.

    Example:
        >>> report = DatasetReport("pets", "a table", "the caption file", {"train": 9}, {"train": 45}, [], "fine")
        >>> print(report.format())
        pets
          layout: a table
          split:  the caption file
          train   9 photos, 45 captions
        Nothing to mend was found.
    """

    name: str
    layout: str  # "" where it was not recognised
    split_source: str
    photos: dict[str, int]  # by split
    captions: dict[str, int]  # by split
    findings: list[Finding]  # the worst first
    verdict: str  # "fine", "look" or "unusable": the worst level, notes aside

    def format(self) -> str:
        """All of it as text for people."""
        lines = [self.name]
        if self.layout:
            lines += [f"  layout: {self.layout}", f"  split:  {self.split_source}"]
        for split, count in self.photos.items():
            captions = count_noun(self.captions[split], "caption")
            lines.append(f"  {split:<6}  {count_noun(count, 'photo')}, {captions}")
        for finding in self.findings:
            paragraphs = (f"{LEVELS[finding.level]}: {finding.text}", f"  {finding.advice}")
            lines += [
                "",
                *(textwrap.fill(each, 100, subsequent_indent="  ", break_on_hyphens=False) for each in paragraphs),
            ]
        return "\n".join([*lines, *([""] if self.findings else []), self._conclusion()])

    def _conclusion(self) -> str:
        if self.verdict == "fine":
            return "Nothing to mend was found."
        looks = sum(finding.level == "look" for finding in self.findings)
        verb = "is" if looks == 1 else "are"
        if self.verdict == "look":
            return f"You can train on it; {count_noun(looks, 'finding')} {verb} worth a look before."
        return "You cannot train on it as it is."


def name_finding(
    kind: str, level: str, names: Sequence[str], text: str, advice: str, show: Callable[[Any], str] = repr
) -> Iterator[Finding]:
    """The finding about some photos or captions, with the first of them; none where there are none."""
    if names:
        named = name_some(names, show=show)
        yield Finding(kind, level, len(names), f"{text}: {named}", advice, list(names[:EXAMPLES]))
