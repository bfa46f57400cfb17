"""Scoring speed and memory against pycocoevalcap, side by side in one run.

    python benchmarks/metrics.py                                  # made-up captions
    python benchmarks/metrics.py --data_path ../shared/flickr8k   # real ones

Part 1 scores 1,000 candidates with five references each by BLEU, ROUGE-L and CIDEr-D, both sides from the same
cleaned words, five rounds in turn, on one core. Part 2 scores 25,000 (the size of COCO's validation set), each
side in a process of its own, and prints the largest memory that the process ever held.

It needs Linux or macOS: Windows does not tell how much memory a process has held.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

try:
    import resource
except ImportError:
    sys.exit("benchmarks/metrics.py needs Linux or macOS, whose module `resource` tells the memory of a process")

from measure import share

sys.path.insert(0, str(Path(__file__).parents[1]))

from captioning_utils.commands.shell import run_command

SMALL, LARGE, ROUNDS = 1_000, 25_000, 5
METRICS = ("BLEU", "ROUGE-L", "CIDEr-D")


def draw_references(num_images):
    """Made-up captions with a vocabulary as skewed as that of real ones: word number n is used 1/n as often."""
    rng = random.Random(0)
    words = [f"w{number}" for number in range(10_000)]
    weights = [1 / (number + 2) for number in range(10_000)]
    references = []
    for _ in range(num_images):
        topic = rng.choices(words, weights, k=14)
        references.append([rng.choices(topic, k=rng.randint(7, 14)) for _ in range(5)])
    return references


def read_references(data_path, num_images):
    """The cleaned words of Flickr8k's captions, five a photo, begun again where there are too few photos."""
    from captioning_utils.text import clean_caption

    captions = {}
    for line in (data_path / "Flickr8k.token.txt").read_text(encoding="utf-8").splitlines():
        name, caption = line.split("\t")
        captions.setdefault(name.split("#")[0], []).append(clean_caption(caption).split())
    photos = list(captions.values())
    return [photos[number % len(photos)] for number in range(num_images)]


def make_captions(data_path, num_images):
    """(candidates, references) as token lists; a candidate is a reference with words left out."""
    references = read_references(data_path, num_images) if data_path else draw_references(num_images)
    rng = random.Random(1)
    candidates = [[word for word in rng.choice(photo) if rng.random() < 0.8] for photo in references]
    return candidates, references


def score_here(candidates, references):
    """{metric: (seconds, score)} by this package."""
    from captioning_utils.metrics import Cider, compute_bleu, compute_bleu_statistics, compute_rouge_l

    def bleu():
        return compute_bleu(compute_bleu_statistics(candidates, references).sum(axis=0))[3]

    def rouge_l():
        return statistics.fmean(map(compute_rouge_l, candidates, references))

    def cider_d():
        cider = Cider(dict(enumerate(references)))
        return statistics.fmean(cider.score_d(row, words) for row, words in enumerate(candidates))

    return time_each(bleu, rouge_l, cider_d)


def score_there(candidates, references):
    """{metric: (seconds, score)} by pycocoevalcap."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    ours = {row: [" ".join(words)] for row, words in enumerate(candidates)}
    theirs = {row: list(map(" ".join, photo)) for row, photo in enumerate(references)}
    return time_each(
        lambda: Bleu(4).compute_score(theirs, ours, verbose=0)[0][3],
        lambda: Rouge().compute_score(theirs, ours)[0],
        lambda: Cider().compute_score(theirs, ours)[0],
    )


def time_each(*functions):
    results = {}
    for metric, function in zip(METRICS, functions, strict=True):
        start = time.perf_counter()
        score = function()
        results[metric] = (time.perf_counter() - start, float(score))
    return results


def compare_speed(data_path, share):
    size = round(share * SMALL)
    captions = make_captions(data_path, size)
    score_here(*make_captions(None, 2)), score_there(*make_captions(None, 2))  # imports, not counted
    rounds = [(score_here(*captions), score_there(*captions)) for _ in range(ROUNDS)]
    print(f"{size:,} candidates, five references each, one core, median of {ROUNDS} rounds")
    print(f"{'':10}{'here':>10}{'pycocoevalcap':>16}{'ratio':>8}{'scores differ by':>20}")
    totals = [0.0, 0.0]
    for metric in METRICS:
        here, there = (statistics.median(side[metric][0] for side in sides) for sides in zip(*rounds, strict=True))
        difference = abs(rounds[0][0][metric][1] - rounds[0][1][metric][1])
        print(f"{metric:10}{here:>8.3f} s{there:>14.3f} s{there / here:>7.1f}x{difference:>20.1e}")
        totals = [totals[0] + here, totals[1] + there]
    print(f"{'together':10}{totals[0]:>8.3f} s{totals[1]:>14.3f} s{totals[1] / totals[0]:>7.1f}x")


def compare_memory(data_path, share):
    print(f"\n{round(share * LARGE):,} candidates, five references each: the whole process, captions included")
    peaks = {}
    for side in ("here", "pycocoevalcap"):
        command = [sys.executable, __file__, "--side", side, "--share", str(share)]
        command += ["--data_path", str(data_path)] if data_path else []
        seconds, peaks[side] = map(float, subprocess.check_output(command, text=True).split())
        print(f"{side:14}{seconds:>8.1f} s{peaks[side]:>10,.0f} MB at the peak")
    print(f"pycocoevalcap needs {peaks['pycocoevalcap'] / peaks['here']:.1f} times the memory")


def run_side(side, data_path, share):
    """In a child process: score the large set and print seconds and peak memory in MB."""
    captions = make_captions(data_path, round(share * LARGE))
    results = (score_here if side == "here" else score_there)(*captions)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes; bytes on macOS
    print(sum(seconds for seconds, _ in results.values()), peak / (1e6 if sys.platform == "darwin" else 1e3))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data_path", type=Path, help="folder with Flickr8k.token.txt; default: made-up captions")
    parser.add_argument("--share", type=share, default=1.0, help="share of these sizes")
    parser.add_argument("--side", choices=("here", "pycocoevalcap"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if options.side:
        run_side(options.side, options.data_path, options.share)
    else:
        compare_speed(options.data_path, options.share)
        compare_memory(options.data_path, options.share)


if __name__ == "__main__":
    sys.exit(run_command(main))
