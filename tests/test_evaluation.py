import dataclasses
import json
import random
import statistics
from types import SimpleNamespace

import numpy as np
import pytest

from captioning_utils import InputError
from captioning_utils.bulk import caption_split
from captioning_utils.datasets import CaptionDataset
from captioning_utils.evaluation import (
    CandidateSet,
    EvaluationData,
    build_document,
    build_evaluation_data,
    build_report,
    compare_captioners,
    evaluate,
    find_most_common_caption,
    find_nearest_photos,
    format_evaluation,
)
from captioning_utils.evaluation.baselines import average_scores, compute_human_agreement
from captioning_utils.evaluation.document import DIGITS
from captioning_utils.evaluation.report import LABELS_IN_CONFUSION, confusion_matrix, diversity_table, score_table
from captioning_utils.features import FeatureCache
from captioning_utils.metrics import compute_scores
from captioning_utils.plots import plot_confusion
from captioning_utils.scenes import Scene, SceneObject, describe_scene, generate_scene, load_facts, summarize_truth
from captioning_utils.settings import GenerationConfig

ANIMALS, ACTIONS, PLACES = ("dog", "cat", "horse"), ("runs", "sits", "sleeps"), ("park", "street", "field")


def caption_of(number, rng):
    """A caption in which the animal belongs to the photo, and the rest is chance."""
    animal = ANIMALS[number % 3]
    return f"A {rng.choice(('big', 'small', 'young'))} {animal} {rng.choice(ACTIONS)} in the {rng.choice(PLACES)} ."


def made_up_data(count, seed=0):
    rng = random.Random(seed)
    references = {f"{number}.jpg": [caption_of(number, rng) for _ in range(5)] for number in range(count)}
    train = tuple(caption_of(number, rng) for number in range(20))
    baselines = {"most common train caption": dict.fromkeys(references, "a big dog runs in the park")}
    return EvaluationData("animals", references, "test", train, baselines=baselines)


def made_up_candidates(count, name="captioner", right=1.0, seed=1):
    rng = random.Random(seed)
    captions = {
        f"{number}.jpg": [caption_of(number + (rng.random() > right), rng).lower().replace(" .", "")]
        for number in range(count)
    }
    return CandidateSet(name, captions)


# ---- baselines


def test_most_common_caption_is_counted_after_cleaning():
    captions = ["Two cats.", "A dog runs .", "a dog runs!", "two cats", "zebras", "", " ."]
    assert find_most_common_caption(captions) == ("a dog runs", 2)
    with pytest.raises(InputError, match="no captions"):
        find_most_common_caption(["", "."])


@pytest.mark.parametrize("shape", [(6,), (4, 6)])
def test_nearest_photos_are_those_of_a_search_one_by_one(shape):
    rng = np.random.default_rng(0)
    ids = [str(number) for number in range(40)]
    cache = FeatureCache("toy", shape, ids, {}, [rng.normal(size=(40, *shape)).astype("float16")])
    vectors = {each: cache.get([each])[0].astype("float32").reshape(-1, 6).mean(axis=0) for each in ids}
    queries, train = ids[:12], ids[8:]  # four photos are in both: none may find itself

    def cosine(first, second):
        a, b = vectors[first], vectors[second]
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    expected = {
        query: max((each for each in train if each != query), key=lambda each: cosine(query, each)) for query in queries
    }
    assert find_nearest_photos(cache, queries, train) == expected


def test_a_photo_is_never_its_own_nearest():
    cache = FeatureCache("toy", (1,), ["a", "b"], {}, [np.ones((2, 1), np.float16)])
    with pytest.raises(InputError, match="at least one other photo"):
        find_nearest_photos(cache, ["a", "b"], ["a"])
    assert find_nearest_photos(cache, ["a"], ["a", "b"]) == {"a": "b"}


def test_people_are_scored_against_the_other_people():
    references = made_up_data(12).references
    scores = [
        compute_scores(
            {key: several[place] for key, several in references.items()},
            {key: several[:place] + several[place + 1 :] for key, several in references.items()},
        )
        for place in range(5)
    ]
    for metric, value in average_scores(compute_human_agreement(references)).items():
        assert value == statistics.fmean(each.corpus[metric] for each in scores)
    assert compute_human_agreement({1: ["a dog"], 2: ["a cat"]}) == []


# ---- evaluate


def test_a_better_captioner_is_told_apart_and_an_equal_one_is_not():
    data = made_up_data(200)
    good, bad = made_up_candidates(200, "good"), made_up_candidates(200, "bad", right=0.3)
    text = format_evaluation(evaluate([bad, good], data, compare=True))
    assert "good is better than bad by" in text
    assert "CIDEr-D points (95 % interval" in text
    assert "no significant difference" not in text
    other = made_up_candidates(200, "other", seed=3)  # the same captioner on another day
    text = format_evaluation(evaluate([other, good], data, compare=True))
    assert "is better than" not in text
    assert text.count("no significant difference") == 4


def test_the_table_shows_captioner_interval_seeds_baselines_and_people():
    data = made_up_data(30)
    evaluation = evaluate([made_up_candidates(30, "a"), made_up_candidates(30, "b", seed=5)], data)
    columns, rows = score_table(evaluation)
    assert columns == ["", "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr-D"]
    assert [row[0] for row in rows] == [
        "a", "  95 % interval", "b", "  95 % interval", "mean of 2", "  lowest–highest", "most common train caption",
        "people (4 references)",
    ]  # fmt: skip
    first, second = (line.scores.corpus["bleu_4"] for line in evaluation.captioners)
    assert rows[4][4] == f"{100 * (first + second) / 2:.1f}"
    assert rows[5][4] == f"{100 * min(first, second):.1f}–{100 * max(first, second):.1f}"
    assert rows[0][4] == f"{100 * first:.1f}"


def test_allow_missing_scores_the_photos_that_all_captioners_have():
    data = made_up_data(30)
    first, second = made_up_candidates(30, "first"), made_up_candidates(30, "second")
    del first.captions["3.jpg"], second.captions["4.jpg"]
    second.captions["unknown.jpg"] = ["a dog"]
    with pytest.raises(InputError, match="without a candidate"):
        evaluate([first, second], data)
    evaluation = evaluate([first, second], data, allow_missing=True, compare=True)
    assert evaluation.left_out == 3
    kept = data.references.keys() - {"3.jpg", "4.jpg"}
    for line in evaluation.captioners + evaluation.baselines:
        assert line.captions.keys() == kept
    text = format_evaluation(evaluation)
    assert "28 photos (3 left out), 5 references each; protocol standard" in text
    assert f"numpy {np.__version__}" in text
    few = [CandidateSet(name, {f"{place}.jpg": ["x"]}) for place, name in enumerate("ab")]
    with pytest.raises(InputError, match="no photo has a caption of every captioner"):
        evaluate(few, data, allow_missing=True)


def test_without_a_train_split_nothing_is_said_about_it():
    data = dataclasses.replace(made_up_data(10), train_captions=(), baselines={})
    evaluation = evaluate([made_up_candidates(10)], data)
    assert [line.name for line in evaluation.baselines] == ["people"]
    assert not {"novel_share", "words_used_share", "unknown_word_rate"} & evaluation.captioners[0].diversity.keys()
    assert not any("train" in row[0] for row in diversity_table(evaluation)[1])


def test_fluency_stands_beside_that_of_people():
    references = {1: ["A dog runs .", "Dogs ."], 2: ["A cat runs .", "Cats ."], 3: ["A dog sits .", "One dog ."]}
    train = ("A dog runs .", "A cat sits .", "The dog sits .")
    written = CandidateSet("mine", {1: ["a dog dog runs"], 2: ["a cat sits"], 3: ["the cat sits runs"]})
    evaluation = evaluate([written], EvaluationData("pets", references, train_captions=train))
    shares = [line.diversity["fluency"] for line in (evaluation.captioners[0], evaluation.baselines[-1])]
    assert shares == pytest.approx([1 / 3, 2 / 3])
    columns, rows = diversity_table(evaluation)
    row = next(row for row in rows if row[0] == "captions whose neighbouring words the train split has too")
    assert dict(zip(columns[1:], row[1:], strict=True)) == {"mine": "33.3 %", "people": "66.7 %"}


def test_people_cannot_be_compared_photo_by_photo():
    evaluation = evaluate([made_up_candidates(20)], made_up_data(20))
    with pytest.raises(InputError, match="people have no scores of single photos"):
        compare_captioners(evaluation.captioners[0], evaluation.baselines[-1])


def test_several_captions_a_photo_are_judged_for_their_diversity():
    candidates = made_up_candidates(20)
    for several in candidates.captions.values():
        several.append("a bird flies")
    evaluation = evaluate([candidates], made_up_data(20))
    assert 0 < evaluation.captioners[0].diversity["self_cider"] <= 1
    assert build_document(evaluation)["photos"]["0.jpg"]["alternatives"] == ["a bird flies"]


# ---- the document


def test_the_document_says_all_that_belongs_to_a_score_and_quotes_nobody():
    data = made_up_data(1000)
    captioner = dataclasses.replace(
        made_up_candidates(1000), settings={"captioner": {"fingerprint": "abc"}, "decoding": {"beam_size": 5}}
    )
    evaluation = evaluate([captioner], data)
    document = build_document(evaluation)
    text = json.dumps(document, indent=1)
    assert len(text) < 1_500_000
    assert document["protocol"] == "standard"
    assert document["split"] == "test"
    assert document["captioner"] == {"fingerprint": "abc"}
    assert document["decoding"] == {"beam_size": 5}
    assert {"python", "numpy", "nltk"} <= document["packages"].keys()
    assert document["references_per_image"] == {"min": 5, "mean": 5.0, "max": 5}
    assert document["baselines"]["people"]["references_per_image"]["max"] == 4
    scores = evaluation.captioners[0].scores
    assert document["scores"]["cider_d"]["value"] == round(scores.corpus["cider_d"], DIGITS)
    assert document["scores"]["cider_d"]["low"] < document["scores"]["cider_d"]["high"]
    photo = {name: round(value, DIGITS) for name, value in scores.per_image["7.jpg"].items()}
    assert document["photos"]["7.jpg"] == {"caption": captioner.captions["7.jpg"][0]} | photo
    assert data.references["7.jpg"][0] not in text
    assert data.train_captions[0] not in text


def test_the_document_of_several_captioners_has_their_mean_or_their_comparison():
    data = made_up_data(20)
    sets = [made_up_candidates(20, "a"), made_up_candidates(20, "b", seed=3)]
    document = build_document(evaluate(sets, data))
    assert json.dumps(document) == json.dumps(build_document(evaluate(sets, data)))  # the same input
    assert document["summary"]["bleu_1"]["runs"] == 2
    assert [each["name"] for each in document["captioners"]] == ["a", "b"]
    compared = build_document(evaluate(sets, data, compare=True))
    assert [each["metric"] for each in compared["comparison"]] == ["bleu_1", "bleu_4", "rouge_l", "cider_d"]
    assert "summary" not in compared


# ---- what captions are judged by, and captions from a captioner


def small_dataset(tmp_path):
    rng = random.Random(4)
    names = [f"{number}.jpg" for number in range(20)]
    captions = {name: [caption_of(number, rng) for _ in range(3)] for number, name in enumerate(names)}
    splits = {"train": names[:12], "val": [], "test": names[12:]}
    return CaptionDataset("animals", {name: tmp_path / name for name in names}, captions, splits)


def small_features(missing=()):
    ids = [f"{number}.jpg" for number in range(20) if f"{number}.jpg" not in missing]
    rows = np.eye(3, dtype=np.float16)[[int(each[:-4]) % 3 for each in ids]]
    return FeatureCache("toy", (3,), ids, dict.fromkeys(missing, "it is torn"), [rows])


def test_data_of_a_split_has_references_and_baselines_from_the_train_split(tmp_path):
    dataset = small_dataset(tmp_path)
    data = build_evaluation_data(dataset, "test", small_features())
    assert data.references == {name: dataset.captions[name] for name in dataset.splits["test"]}
    assert len(data.train_captions) == 36
    # Features say the animal only, so the nearest train photo is the first one of the same animal.
    expected = {name: dataset.captions[f"{int(name[:-4]) % 3}.jpg"][0] for name in dataset.splits["test"]}
    assert data.baselines["nearest train photo"] == expected
    common = find_most_common_caption(data.train_captions)[0]
    assert set(data.baselines["most common train caption"].values()) == {common}
    assert "nearest train photo" not in build_evaluation_data(dataset, "test").baselines
    with pytest.raises(InputError, match="val split"):
        build_evaluation_data(dataset, "val")


def test_the_nearest_photo_is_left_out_where_there_is_none_to_choose(tmp_path):
    dataset = small_dataset(tmp_path)
    untrained = small_features(missing=dataset.splits["train"])
    untested = small_features(missing=dataset.splits["test"])
    for features in (untrained, untested):
        assert list(build_evaluation_data(dataset, "test", features).baselines) == ["most common train caption"]
    alone = small_features(missing=dataset.splits["train"][1:])
    assert "nearest train photo" not in build_evaluation_data(dataset, "train", alone).baselines
    assert "nearest train photo" in build_evaluation_data(dataset, "test", alone).baselines


class EchoCaptioner:
    """Says of each photo what its features are."""

    encoder = "toy"
    generation = GenerationConfig()

    def __init__(self):
        self.seeds = []

    def check_features(self, features):
        assert features.fingerprint == self.encoder

    def caption_features(self, features, **settings):
        self.seeds.append(settings.get("seed", self.generation.seed))
        return [[SimpleNamespace(caption=ANIMALS[int(row.argmax())])] for row in features]


def test_captions_belong_to_their_photos_in_several_parts():
    captioner, ids = EchoCaptioner(), [f"{number}.jpg" for number in reversed(range(20))]
    captions = caption_split(captioner, small_features(), ids, show_progress=False, photos_at_once=8)
    assert captions == {name: [ANIMALS[int(name[:-4]) % 3]] for name in ids}
    assert len(set(captioner.seeds)) == 3


def test_photos_without_features_are_refused_or_left_out():
    features, ids = small_features(missing=("5.jpg", "6.jpg")), [f"{number}.jpg" for number in range(4, 8)]
    with pytest.raises(InputError, match=r"2 of 4 photos have no features, first \['5.jpg'\] \(it is torn\)"):
        caption_split(EchoCaptioner(), features, ids, show_progress=False)
    captions = caption_split(EchoCaptioner(), features, ids, allow_missing=True, show_progress=False)
    assert list(captions) == ["4.jpg", "7.jpg"]


# ---- truth


def test_truth_is_counted_kind_by_kind():
    scene = Scene("park", "sunny", (SceneObject("dog", "brown", 2, "sitting"), SceneObject("tree")), "under")
    captions = {1: "two brown dogs sit under a tree in the park", 2: "a black cat on the beach", 3: "hello world"}
    summary = summarize_truth(captions, dict.fromkeys(captions, scene.facts) | {"other": scene.facts})
    kinds = summary["kinds"]
    assert summary["num_captions"] == 3
    assert summary["without_mistake_share"] == pytest.approx(1 / 3)  # a caption that claims nothing is not true
    assert kinds["objects"]["claims"] == 3
    assert kinds["objects"]["right_share"] == pytest.approx(2 / 3)
    assert kinds["objects"]["captions_share"] == pytest.approx(2 / 3)
    assert kinds["objects"]["confusion"] == {"dog": {"cat": 1, "dog": 1}, "tree": {"tree": 1}}
    assert kinds["colours"]["confusion"] == {"brown": {"brown": 1}, "nothing": {"black": 1}}
    assert kinds["place"]["confusion"] == {"park": {"beach": 1, "park": 1}}
    assert kinds["weather"] == {"claims": 0, "right_share": None, "captions_share": 0.0, "confusion": {}}
    assert summarize_truth(captions, {}) == {}


def test_people_tell_the_truth_about_drawn_scenes_and_a_captioner_of_other_scenes_does_not():
    scenes = {f"{number}.jpg": generate_scene(number) for number in range(30)}
    facts = {name: scene.facts for name, scene in scenes.items()}
    references = {name: describe_scene(scene) for name, scene in scenes.items()}
    moved = dict(zip(references, [*list(references.values())[1:], references["0.jpg"]], strict=True))
    wrong = CandidateSet("wrong", {name: [several[0]] for name, several in moved.items()})
    evaluation = evaluate([wrong], EvaluationData("drawn", references, "test", facts=facts))
    people = evaluation.baselines[-1].truth
    assert people["without_mistake_share"] == 1
    assert evaluation.captioners[0].truth["without_mistake_share"] < 0.3
    text = format_evaluation(evaluation)
    assert "right colours" in text
    assert "100.0 %" in text


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        '{"a": 5}',
        '{"a": {"objects": [], "relation": null, "place": "park"}}',
        '{"a": {"objects": [5], "relation": null, "place": "park", "weather": "sunny"}}',
        '{"a": {"objects": [{"name": 1, "colour": null, "count": 1, "action": null}], "relation": null, "place": "a", '
        '"weather": "b"}}',
        '{"a": {"objects": [], "relation": [1, 2, 3], "place": "a", "weather": "b"}}',
        "{",
    ],
)
def test_facts_of_another_kind_are_refused(tmp_path, content):
    path = tmp_path / "facts.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"facts\.json"):
        load_facts(path)


# ---- the page


def test_the_page_shows_best_median_and_worst_photos_words_and_settings():
    data = made_up_data(60)
    candidates = made_up_candidates(60, right=0.5)
    candidates.captions["9.jpg"] = ["<script>zzz</script>"]  # certainly the worst
    evaluation = evaluate([dataclasses.replace(candidates, settings={"decoding": {"beam_size": 7}})], data)
    html = build_report(evaluation).to_html()
    for heading in ("Scores", "Best photos", "Median photos", "Worst photos", "Score and caption length", "Words"):
        assert f"<h2>{heading}</h2>" in html
    worst = html[html.index("<h2>Worst photos") : html.index("<h2>Score and")]
    best = html[html.index("<h2>Best photos") : html.index("<h2>Median photos")]
    ranked = sorted(data.references, key=lambda name: evaluation.captioners[0].scores.per_image[name]["cider_d"])
    assert "9.jpg" in worst
    assert f">{ranked[-1]}<" in best
    assert data.references[ranked[-1]][2] in best
    assert "<script>" not in html
    assert "never writes" in html
    assert "beam_size" in html
    assert "data:image/jpeg" not in html


def test_a_page_of_two_photos_shows_them_once():
    data = EvaluationData("two", {1: ["a dog"], 2: ["a cat"]})
    html = build_report(evaluate([CandidateSet("c", {1: ["a dog"], 2: ["a cow"]})], data)).to_html()
    assert "<h2>All photos</h2>" in html
    assert html.count("a cow") >= 1
    assert "Best photos" not in html
    wordless = EvaluationData("three", data.references | {3: ["."]})
    html = build_report(evaluate([CandidateSet("c", {1: [""], 2: ["."], 3: [""]})], wordless)).to_html()
    assert "<h2>Scores</h2>" in html


def test_the_confusion_picture_shows_the_most_frequent_labels_and_counts_the_rest():
    confusion = {f"thing {number:02}": {f"thing {number:02}": 30 - number} for number in range(20)}
    confusion["nothing"] = {"thing 00": 2, "thing 19": 1}
    labels, matrix, left_out = confusion_matrix(confusion)
    assert len(labels) == LABELS_IN_CONFUSION
    assert labels[-1] == "nothing"
    assert labels[0] == "thing 00"
    assert matrix[-1][0] == 2
    assert matrix[0][0] == 30
    assert left_out == sum(30 - number for number in range(11, 20)) + 1
    assert "right" in plot_confusion(labels, matrix, "Things").alt_text
