"""Intervals and the paired test: exact where counting is possible, calibrated where it is not."""

import json

import numpy as np
import pytest

from captioning_utils import InputError
from captioning_utils.metrics import compare_scores, compute_interval, compute_scores, summarize_runs

WORDS = [f"w{number}" for number in range(30)]


def draw_scores(num_images, share_right, seed=0, protocol="standard"):
    """Scores of candidates of six words, each right with the given probability."""
    rng = np.random.default_rng(seed)
    references, candidates = {}, {}
    for image_id in range(num_images):
        words = rng.permutation(WORDS)[:6]
        right = rng.random(6) < share_right
        references[image_id] = [" ".join(words), " ".join(words[::-1])]
        candidates[image_id] = " ".join(np.where(right, words, "wrong"))
    return compute_scores(candidates, references, protocol)


def test_interval_of_a_mean_is_that_of_theory():
    scores = draw_scores(400, 0.6)
    interval = compute_interval(scores, "rouge_l", num_resamples=4000)
    values = np.array([photo["rouge_l"] for photo in scores.per_image.values()])
    margin = 1.96 * values.std() / np.sqrt(len(values))
    assert interval["value"] == scores.corpus["rouge_l"] == pytest.approx(values.mean())
    assert interval["low"] == pytest.approx(values.mean() - margin, abs=0.1 * margin)
    assert interval["high"] == pytest.approx(values.mean() + margin, abs=0.1 * margin)
    assert interval == json.loads(json.dumps(interval))


def test_interval_of_bleu_is_that_of_bleu_computed_anew():
    scores = draw_scores(50, 0.7)
    interval = compute_interval(scores, "bleu_2", num_resamples=2000)
    rng = np.random.default_rng(1)
    slow = []
    for _ in range(2000):
        rows = scores.bleu_statistics[rng.integers(50, size=50)].sum(axis=0)
        precision = rows[0] / rows[4] * rows[1] / rows[5]
        slow.append(np.sqrt(precision) * np.exp(min(0, 1 - rows[9] / rows[8])))
    low, high = np.quantile(slow, [0.025, 0.975])
    assert interval["low"] == pytest.approx(low, abs=0.1 * (high - low))
    assert interval["high"] == pytest.approx(high, abs=0.1 * (high - low))


def test_the_brevity_penalty_follows_the_protocol():
    short = dict.fromkeys(range(20), "w1 w2")
    references = {n: ["w1 w2 w3 w4"] for n in range(20)}
    intervals = [
        compute_interval(compute_scores(short, references, protocol), "bleu_1", num_resamples=10)
        for protocol in ("standard", "show-attend-tell")
    ]
    assert intervals[0]["high"] == pytest.approx(np.exp(1 - 4 / 2))
    assert intervals[1]["low"] == pytest.approx(1)


@pytest.mark.parametrize("metric", ["bleu_4", "cider_d"])
def test_blocks_of_resamples_give_what_one_block_gives(metric):
    scores = draw_scores(30, 0.6)
    two_at_a_time = compute_interval(scores, metric, num_resamples=51, numbers_at_once=70)
    assert two_at_a_time == pytest.approx(compute_interval(scores, metric, num_resamples=51))


def test_seed_decides():
    scores = draw_scores(40, 0.5)
    assert compute_interval(scores, "cider_d", seed=1) == compute_interval(scores, "cider_d", seed=1)
    assert compute_interval(scores, "cider_d", seed=1) != compute_interval(scores, "cider_d", seed=2)


@pytest.mark.parametrize("metric", ["bleu_1", "bleu_4", "rouge_l", "cider_d"])
def test_a_clear_difference_is_found(metric):
    worse, better = draw_scores(150, 0.5, seed=3), draw_scores(150, 0.8, seed=3)
    answer = compare_scores(worse, better, metric)
    assert answer["difference"] == pytest.approx(better.corpus[metric] - worse.corpus[metric])
    assert 0 < answer["low"] < answer["difference"] < answer["high"]
    assert answer["p_value"] == pytest.approx(1 / 1001)
    back = compare_scores(better, worse, metric)
    assert back["difference"] == -answer["difference"]
    assert back["high"] < 0


@pytest.mark.parametrize("metric", ["bleu_1", "rouge_l"])
def test_no_difference_is_called_real_no_more_often_than_promised(metric):
    # Two captioners of the same quality: p should be spread evenly over (0, 1].
    references = {n: [" ".join(WORDS[:5])] for n in range(60)}
    p_values = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        first, second = (
            compute_scores(
                {n: " ".join(np.where(rng.random(5) < 0.6, WORDS[:5], "wrong")) for n in references}, references
            )
            for _ in range(2)
        )
        p_values.append(compare_scores(first, second, metric, num_resamples=199)["p_value"])
    assert 0.35 < np.mean(p_values) < 0.65
    assert np.mean(np.array(p_values) < 0.05) < 0.15


def test_the_test_counts_swaps_exactly():
    # Four photos, all better by the same: of the 16 ways to swap, two give so large a difference.
    references = {n: ["w1 w2 w3 w4"] for n in range(4)}
    first = compute_scores(dict.fromkeys(references, "w1 w2"), references)
    second = compute_scores(dict.fromkeys(references, "w1 w2 w3"), references)
    answer = compare_scores(first, second, "rouge_l", num_resamples=20_000)
    assert answer["p_value"] == pytest.approx(2 / 16, abs=0.01)
    assert answer["low"] == pytest.approx(answer["difference"]) == pytest.approx(answer["high"])


def test_photos_are_paired_by_id_not_by_place():
    references = {n: [" ".join(np.random.default_rng(n).permutation(WORDS)[:6])] for n in range(40)}
    candidates = {n: " ".join(captions[0].split()[: 1 + n % 6]) for n, captions in references.items()}
    forwards = compute_scores(candidates, references)
    backwards = compute_scores(candidates, dict(reversed(references.items())))
    answer = compare_scores(forwards, backwards, "rouge_l")
    assert answer["low"] == answer["high"] == pytest.approx(0)
    assert answer["p_value"] == 1


def test_unlike_score_sets_are_refused():
    scores = draw_scores(5, 0.5)
    with pytest.raises(InputError, match="5 photos in both"):
        compare_scores(scores, draw_scores(6, 0.5), "bleu_1")
    with pytest.raises(InputError, match="5 photos, standard; 5 photos, tutorial"):
        compare_scores(scores, draw_scores(5, 0.5, protocol="tutorial"), "bleu_1")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metric": "meteor"}, "possible for bleu_1, bleu_2"),
        ({"metric": "bleu_5"}, "possible for bleu_1, bleu_2"),
        ({"metric": "bleu_1", "num_resamples": 0}, "num_resamples is 0"),
        ({"metric": "bleu_1", "confidence": 95}, "confidence is 95"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    scores = draw_scores(5, 0.5)
    with pytest.raises(InputError, match=message):
        compute_interval(scores, **settings)
    with pytest.raises(InputError, match=message):
        compare_scores(scores, scores, **settings)


def test_runs_are_summed_up():
    runs = [{"bleu_4": value, "cider_d": 2 * value} for value in (0.2, 0.5, 0.3)]
    summary = summarize_runs(runs)
    assert summary["bleu_4"] == pytest.approx({"mean": 1 / 3, "low": 0.2, "high": 0.5, "runs": 3})
    with pytest.raises(InputError, match="2 runs with unequal metrics"):
        summarize_runs([{"bleu_4": 1}, {"bleu_1": 1}])
    with pytest.raises(InputError, match="0 runs"):
        summarize_runs([])
