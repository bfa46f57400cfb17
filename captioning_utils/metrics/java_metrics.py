"""Scores that need more than this package brings: Java, or data that you download yourself.

METEOR 1.5 and the Penn Treebank tokenizer are Java programs; the package pycocoevalcap carries them
(`python -m pip install pycocoevalcap==1.2`, and Java 8 or newer). nltk's METEOR is another formula with other
numbers (about twice as high), and stands only under its own name, `nltk_meteor`.

SPICE is left to pycocoevalcap, as your own choice: its first use downloads the Stanford CoreNLP models
(stanford-corenlp-full-2015-12-09.zip, several hundred MB, from nlp.stanford.edu) into the installed package,
and it starts Java with up to 8 GB of memory:

    from pycocoevalcap.spice.spice import Spice
    score, scores = Spice().compute_score({image_id: references}, {image_id: [candidate]})

with all captions tokenized already (`tokenize_ptb`).
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import IO, cast

from captioning_utils.base.errors import InputError

# What coco-caption's tokenizer throws away (pycocoevalcap.tokenizer.ptbtokenizer).
_PTB_PUNCTUATION = {"''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"}
_PTB_PUNCTUATION |= {"-LRB-", "-RRB-", "-LCB-", "-RCB-"}  # round and curly brackets


def find_java_tools() -> tuple[str, Path]:
    """Where Java and pycocoevalcap are."""
    package = importlib.util.find_spec("pycocoevalcap")
    if package is None or not package.submodule_search_locations:
        raise InputError(
            "METEOR 1.5 and the coco protocol need the package pycocoevalcap, which is not installed; "
            "run: python -m pip install pycocoevalcap==1.2"
        )
    java = shutil.which("java")
    if java is None:
        raise InputError(
            "METEOR 1.5 and the coco protocol need Java 8 or newer, and there is no java on the PATH; "
            "install a Java runtime (for example OpenJDK), or leave them out"
        )
    return java, Path(next(iter(package.submodule_search_locations)))


def tokenize_ptb(captions: Sequence[str]) -> list[str]:
    """Tokenize as coco-caption does: Penn Treebank tokens, lower case, punctuation left out.

    References:
        Chen et al. 2015, Microsoft COCO Captions (arXiv:1504.00325), section 4.1.
    """
    java, folder = find_java_tools()
    jar = folder / "tokenizer" / "stanford-corenlp-3.4.1.jar"
    command = [java, "-Dfile.encoding=UTF-8", "-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer"]
    command += ["-preserveLines", "-lowerCase", "-encoding", "UTF-8"]
    # One caption a line: line breaks within a caption, of whatever kind, become spaces.
    lines = "".join(" ".join(caption.split()) + "\n" for caption in captions)
    done = subprocess.run(command, input=lines.encode(errors="replace"), capture_output=True, check=False)
    tokenized = done.stdout.decode().split("\n")[:-1]
    if done.returncode or len(tokenized) != len(captions):
        raise InputError(
            f"the Penn Treebank tokenizer gave {len(tokenized)} lines for {len(captions)} captions "
            f"(exit code {done.returncode}: {done.stderr.decode(errors='replace')[-300:]!r}); "
            "check that java -version works"
        )
    return [" ".join(word for word in line.split() if word not in _PTB_PUNCTUATION) for line in tokenized]


def compute_meteor(
    candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> tuple[float, list[float]]:
    """METEOR 1.5 with its English settings, by the original Java program.

    References:
        Denkowski and Lavie 2014, Meteor Universal; http://www.cs.cmu.edu/~alavie/METEOR/
    """
    with keep_meteor() as running:
        if not running:
            running.append(_Meteor())
        try:
            return running[0].score(candidates, references)
        except BaseException:
            running.pop().close()  # half of an answer may still be on its way
            raise


_running: ContextVar[list[_Meteor] | None] = ContextVar("_running", default=None)


@contextlib.contextmanager
def keep_meteor() -> Iterator[list[_Meteor]]:
    """Within this block METEOR's Java program is started once, at its first use: its word lists take it seconds.

    A block within a block shares the program of the outer one.

    Example:
        >>> with keep_meteor() as running:
        ...     print(running)  # nothing was asked yet
        []
    """
    outer = _running.get()
    if outer is not None:
        yield outer
        return
    running: list[_Meteor] = []
    token = _running.set(running)
    try:
        yield running
    finally:
        _running.reset(token)
        for meteor in running:
            meteor.close()


class _Meteor:
    """METEOR's Java program, started and waiting for questions."""

    def __init__(self) -> None:
        java, folder = find_java_tools()
        command = [java, "-Dfile.encoding=UTF-8", "-Xmx2G", "-jar", "meteor-1.5.jar"]
        command += ["-", "-", "-stdio", "-l", "en", "-norm"]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the program
        self._process = subprocess.Popen(
            command,
            cwd=folder / "meteor",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            encoding="utf-8",
            errors="replace",
        )

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def score(
        self, candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
    ) -> tuple[float, list[float]]:
        """As `compute_meteor`: ask for each photo's matches, then for the scores that they give together."""
        try:
            matches = []
            for candidate, captions in zip(candidates, references, strict=True):
                texts = [" ".join(word for word in tokens if word != "|||") for tokens in [*captions, candidate]]
                matches.append(self._ask(" ||| ".join(["SCORE", *texts])))
            first = float(self._ask(" ||| ".join(["EVAL", *matches])))
            scores = [first, *(float(self._answer()) for _ in matches)]
        except (OSError, ValueError) as error:
            self._errors.seek(0)
            complaint = self._errors.read().decode(errors="replace")[-300:]
            raise InputError(
                f"METEOR's Java program failed ({complaint!r}); check that java -version works and that "
                "2 GB of memory are free"
            ) from error
        return scores[-1], scores[:-1]

    def _ask(self, question: str) -> str:
        questions = cast("IO[str]", self._process.stdin)  # it was started with pipes
        questions.write(question + "\n")
        questions.flush()
        return self._answer()

    def _answer(self) -> str:
        return cast("IO[str]", self._process.stdout).readline().strip()


def compute_nltk_meteor(
    candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> tuple[float, list[float]]:
    """nltk's METEOR: the formula of 2005 with WordNet's synonyms. Not METEOR 1.5; its numbers are far higher.

    References:
        Banerjee and Lavie 2005, METEOR; https://www.nltk.org/api/nltk.translate.meteor_score.html
    """
    from nltk.corpus import wordnet
    from nltk.translate.meteor_score import meteor_score

    try:
        wordnet.ensure_loaded()
    except LookupError as error:
        raise InputError(
            "nltk's METEOR needs WordNet, which is not on this machine; run: python -m nltk.downloader wordnet"
        ) from error
    scores = [
        float(meteor_score(captions, candidate, wordnet=wordnet))
        for candidate, captions in zip(candidates, references, strict=True)
    ]
    return statistics.fmean(scores), scores
