"""Java's METEOR and tokenizer against pycocoevalcap's own wrappers; messages where something is missing."""

import importlib.util
import math
import shutil
import subprocess

import nltk.corpus
import pytest
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from captioning_utils import InputError
from captioning_utils.metrics import compute_nltk_meteor, compute_scores
from captioning_utils.metrics.java_metrics import compute_meteor, keep_meteor, tokenize_ptb


def needs_java(test):
    """Slow, because Java's METEOR loads its tables first; skipped where there is no Java."""
    missing = pytest.mark.skipif(shutil.which("java") is None, reason="Java is not on this machine")
    return pytest.mark.slow(missing(test))


@needs_java
def test_tokens_are_coco_captions():
    captions = ["A man's dog (brown), isn't it?", "", "$5 and/or a T-shirt...", "don't stop; it's 3:30", "end"]
    expected = PTBTokenizer().tokenize({n: [{"caption": text}] for n, text in enumerate(captions)})
    assert tokenize_ptb(captions) == [expected[n][0] for n in range(len(captions))]


@needs_java
def test_tokens_keep_to_their_captions_whatever_the_captions_hold():
    captions = ["", "two\nlines\r\nhere", "café 犬", "a\u2028b\x85c\x0cd", "bad \ud800", "..."]
    assert tokenize_ptb(captions) == ["", "two lines here", "café 犬", "a b c d", "bad", ""]
    assert tokenize_ptb([]) == []


@needs_java
def test_meteor_is_coco_captions(monkeypatch):
    reference_program = Meteor()  # started first: both programs then load their tables at the same time
    candidates = {1: "a dog runs in the grass", 2: "", 3: "café", 4: "a zebra", 5: "two men sit"}
    references = {
        1: ["a brown dog runs on grass", "the dog is running"],
        2: ["two men"],
        3: ["café ünï", "a"],
        4: ["dogs"],
        5: ["two men sit"],
    }
    started = []
    start = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **kw: started.append(start(*args, **kw)) or started[-1])
    with keep_meteor():
        compute_scores({1: "two men", 2: "a dog"}, {1: ["a man"], 2: ["the dog runs"]}, extra_metrics=("meteor",))
        scores = compute_scores(candidates, references, extra_metrics=("meteor",))
    assert len(started) == 1  # and what it was asked first leaves no trace in the second answer
    assert started[0].poll() is not None  # it has ended
    corpus, per_image = reference_program.compute_score(
        references, {image_id: [caption] for image_id, caption in candidates.items()}
    )
    assert scores.corpus["meteor"] == pytest.approx(corpus, abs=1e-9)
    assert [photo["meteor"] for photo in scores.per_image.values()] == pytest.approx(per_image, abs=1e-9)
    assert scores.per_image[1]["meteor"] > 0.2  # a synonym table at work: not all zeros on both sides


@needs_java
def test_coco_protocol_splits_as_the_tokenizer_does():
    references = {1: ["A man's dog runs.", "The dog is running!"], 2: ["Two men sit."]}
    scores = compute_scores({1: "A man's dog", 2: "two men"}, references, "coco")
    # a man 's dog: 4 words of 4, the closest reference has 4; two men: 2 of 2, the reference has 3.
    assert scores.corpus["bleu_1"] == pytest.approx(math.exp(1 - 7 / 6))


def test_java_that_fails_is_reported(monkeypatch, tmp_path):
    broken = tmp_path / "java"
    broken.write_text("#!/bin/sh\necho 'no such option' >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(broken))
    with keep_meteor() as running:
        with pytest.raises(InputError, match=r"METEOR's Java program failed.*no such option"):
            compute_meteor([["a"]], [[["a"]]])
        assert not running  # the next question would be put to a new one
    with pytest.raises(InputError, match=r"0 lines for 1 captions \(exit code 3: 'no such option"):
        tokenize_ptb(["a"])


class EmptyWordNet:
    """WordNet without a single synonym: nltk's METEOR then matches words and stems only."""

    def ensure_loaded(self):
        pass

    def synsets(self, word):
        return []


def test_nltk_meteor_has_its_own_name(monkeypatch):
    monkeypatch.setattr(nltk.corpus, "wordnet", EmptyWordNet())
    scores = compute_scores(
        {1: "a dog runs", 2: "a bus"}, {1: ["a dog runs"], 2: ["two men"]}, "standard", ("nltk_meteor",)
    )
    assert scores.per_image[1]["nltk_meteor"] == pytest.approx(1 - 0.5 * (1 / 3) ** 3)  # one chunk of three words
    assert scores.per_image[2]["nltk_meteor"] == 0
    assert scores.corpus["nltk_meteor"] == pytest.approx(scores.per_image[1]["nltk_meteor"] / 2)
    assert "meteor" not in scores.corpus


def test_messages_where_something_is_missing(monkeypatch):
    def ensure_loaded(self):
        raise LookupError("Resource wordnet not found")

    monkeypatch.setattr(EmptyWordNet, "ensure_loaded", ensure_loaded)
    monkeypatch.setattr(nltk.corpus, "wordnet", EmptyWordNet())
    with pytest.raises(InputError, match=r"python -m nltk\.downloader wordnet"):
        compute_nltk_meteor([["a"]], [[["a"]]])
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InputError, match=r"Java 8 or newer.*install a Java runtime"):
        compute_scores({1: "a"}, {1: ["a"]}, extra_metrics=("meteor",))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"python -m pip install pycocoevalcap==1\.2"):
        compute_scores({1: "a"}, {1: ["a"]}, protocol="coco")
