"""The drawn dataset: the same seed gives the same bytes, a killed run goes on, pictures hold what the facts say."""

import csv
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from captioning_utils import InputError
from captioning_utils.datasets import load_dataset
from captioning_utils.scenes import (
    Scene,
    SceneObject,
    describe_scene,
    draw_dataset,
    draw_scene,
    generate_scene,
    locate_objects,
)
from captioning_utils.scenes import dataset as scenes_dataset
from captioning_utils.scenes.backdrops import PLACES, SKIES
from captioning_utils.scenes.drawing import LOOKS
from captioning_utils.scenes.pen import PALETTE
from captioning_utils.scenes.scene import KINDS, SUBJECTS
from captioning_utils.scenes.scenery import ARRANGEMENTS
from captioning_utils.scenes.words import (
    COLOUR_WORDS,
    OBJECT_WORDS,
    PLACE_WORDS,
    PREPOSITIONS,
    VERB_RELATIONS,
    WEATHER_WORDS,
)


def read_all(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return draw_dataset(tmp_path_factory.mktemp("drawn") / "scenes", num_scenes=20, seed=3)


def test_every_fact_has_words_and_a_look():
    assert OBJECT_WORDS.keys() == KINDS.keys() == LOOKS.keys()
    assert COLOUR_WORDS.keys() == PALETTE.keys()
    assert PLACE_WORDS.keys() == PLACES.keys()
    assert WEATHER_WORDS.keys() == SKIES.keys()
    relations = {relation for partners in SUBJECTS.values() for relation in partners}
    assert relations == ARRANGEMENTS.keys() <= PREPOSITIONS.keys() | VERB_RELATIONS.keys()


def test_same_seed_same_bytes_other_seed_other_ones(drawn, tmp_path):
    again = draw_dataset(tmp_path / "again", num_scenes=20, seed=3)
    other = draw_dataset(tmp_path / "other", num_scenes=20, seed=4)
    assert read_all(again) == read_all(drawn)
    assert (other / "captions.csv").read_bytes() != (drawn / "captions.csv").read_bytes()
    assert generate_scene(5) == generate_scene(5) != generate_scene(6)


def test_layout_splits_and_facts(drawn):
    with open(drawn / "captions.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert Counter(row["split"] for row in rows) == {"train": 80, "val": 10, "test": 10}
    assert len({(row["image"], row["split"]) for row in rows}) == 20  # a picture is in one split only
    facts = json.loads((drawn / "facts.json").read_text(encoding="utf-8"))
    assert set(facts) == {row["image"] for row in rows} == {path.name for path in (drawn / "Images").iterdir()}
    for row in rows:
        assert row["caption"][0].isupper()
        assert row["caption"].endswith(".")
    first = generate_scene("3 scene_0001.jpg")
    assert facts["scene_0001.jpg"] == first.facts
    assert [row["caption"] for row in rows if row["image"] == "scene_0001.jpg"] == describe_scene(first)


def test_the_dataset_loader_reads_it(drawn):
    dataset = load_dataset(drawn)
    assert {split: len(ids) for split, ids in dataset.splits.items()} == {"train": 16, "val": 2, "test": 2}
    assert all(len(captions) == 5 for captions in dataset.captions.values())


def test_a_complete_folder_is_left_alone(drawn, monkeypatch):
    monkeypatch.setattr(scenes_dataset, "draw_scene", None)  # drawing anything would fail
    before = {path: path.stat().st_mtime_ns for path in drawn.rglob("*")}
    assert draw_dataset(drawn, num_scenes=20, seed=3) == drawn
    assert {path: path.stat().st_mtime_ns for path in drawn.rglob("*")} == before


def test_a_killed_run_goes_on_where_it_stopped(drawn, tmp_path, monkeypatch):
    done = []

    def die_at_the_eighth(scene):
        if len(done) >= 7:
            raise KeyboardInterrupt
        done.append(scene)
        return draw_scene(scene)

    monkeypatch.setattr(scenes_dataset, "draw_scene", die_at_the_eighth)
    with pytest.raises(KeyboardInterrupt):
        draw_dataset(tmp_path / "scenes", num_scenes=20, seed=3)
    assert len(list((tmp_path / "scenes" / "Images").iterdir())) == len(done) < 20
    assert not (tmp_path / "scenes" / "captions.csv").exists()
    drawn_later = []
    monkeypatch.setattr(scenes_dataset, "draw_scene", lambda scene: drawn_later.append(scene) or draw_scene(scene))
    draw_dataset(tmp_path / "scenes", num_scenes=20, seed=3)
    assert len(drawn_later) == 20 - len(done)
    assert read_all(tmp_path / "scenes") == read_all(drawn)


def test_other_settings_draw_anew_and_leave_nothing_behind(tmp_path, monkeypatch):
    folder = draw_dataset(tmp_path / "scenes", num_scenes=6)
    draw_dataset(folder, num_scenes=4)
    assert read_all(folder) == read_all(draw_dataset(tmp_path / "fresh", num_scenes=4))
    monkeypatch.setattr(scenes_dataset, "DRAWING_VERSION", "next")
    (folder / "Images" / "scene_0001.jpg").write_bytes(b"of the old version")
    draw_dataset(folder, num_scenes=4)
    assert Image.open(folder / "Images" / "scene_0001.jpg").size == (224, 224)


def test_a_folder_of_something_else_is_refused_and_kept(tmp_path):
    mine = tmp_path / "mine" / "Images" / "scene_0001.jpg"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"my photo")
    with pytest.raises(InputError, match="give a new folder"):
        draw_dataset(tmp_path / "mine")
    assert read_all(tmp_path / "mine") == {"Images/scene_0001.jpg": b"my photo"}
    with pytest.raises(InputError, match="give a new folder"):
        draw_dataset(mine)
    with pytest.raises(InputError, match="num_scenes is 2"):
        draw_dataset(tmp_path / "new", num_scenes=2)


def test_pictures_hold_every_object_inside():
    for seed in range(150):
        scene = generate_scene(seed)
        for thing, boxes in zip(scene.objects, locate_objects(scene), strict=True):
            assert len(boxes) == thing.count, scene
            for left, top, right, bottom in boxes:
                assert 0 <= left < left + 7 < right <= 224, (scene, thing)
                assert 0 <= top < top + 7 < bottom <= 224, (scene, thing)


def test_relations_are_true_in_the_picture():
    seen = Counter()
    for seed in range(250):
        scene = generate_scene(seed)
        if not scene.relation:
            continue
        subjects, (other,) = locate_objects(scene)
        for box in subjects:
            middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
            if scene.relation == "above":
                assert middle[1] < other[1], scene
            elif scene.relation == "under":
                assert other[0] < middle[0] < other[2], scene
                assert middle[1] > (other[1] + other[3]) / 2, scene
            elif scene.relation == "in front of":
                assert box[3] > other[3], scene  # nearer
                assert box[0] < other[2], scene
                assert other[0] < box[2], scene
            elif scene.relation in ("next to", "playing with"):
                assert not other[0] < middle[0] < other[2], scene
            seen[scene.relation] += 1
    assert seen.keys() == ARRANGEMENTS.keys()


def test_pictures_are_rgb_and_show_the_colour():
    red, blue = (
        Scene("street", "sunny", (SceneObject("car", colour, 1, "parked"),), seed=1) for colour in ("red", "blue")
    )
    pictures = [draw_scene(scene) for scene in (red, blue)]
    assert [(picture.mode, picture.size) for picture in pictures] == [("RGB", (224, 224))] * 2
    ((left, top, right, bottom),) = locate_objects(red)[0]
    insides = [np.asarray(picture, float)[top:bottom, left:right].mean((0, 1)) for picture in pictures]
    assert insides[0][0] > insides[1][0] + 30
    assert insides[1][2] > insides[0][2] + 30
    outside = np.asarray(pictures[0]) != np.asarray(pictures[1])
    outside[top:bottom, left:right] = False
    assert outside.mean() < 0.01  # nothing else changes with the colour


def test_five_different_captions_of_few_words():
    vocabulary = set()
    for seed in range(300):
        captions = describe_scene(generate_scene(seed))
        assert len(set(captions)) == 5
        vocabulary.update(word.strip(".,").lower() for caption in captions for word in caption.split())
    assert 80 <= len(vocabulary) <= 150


def test_a_scene_that_cannot_be_drawn_is_refused():
    scene = Scene("park", "sunny", (SceneObject("dog", "brown", 1, "sitting"), SceneObject("tree")), "under")
    dog, tree = scene.objects
    for change, message in (
        ({"place": "moon"}, "place of dog is 'moon'; it can be park"),
        ({"weather": "windy"}, "weather is 'windy'"),
        ({"relation": "above"}, "relation of dog to tree is 'above'; it can be next to, under"),
        ({"relation": None}, "relation of dog to tree is None"),
        ({"objects": (dog,)}, "relation of a lone object is 'under'"),
        ({"objects": (tree, dog)}, "subject is 'tree'"),
        ({"objects": (replace(dog, colour="green"), tree)}, "colour of dog is 'green'; it can be brown"),
        ({"objects": (replace(dog, count=4), tree)}, "count of dog is 4"),
        ({"objects": (replace(dog, action="flying"), tree)}, "action of dog is 'flying'"),
        ({"objects": (replace(dog, action=None), tree)}, "action of dog is None"),
        ({"objects": ()}, "0 objects"),
    ):
        with pytest.raises(InputError, match=message):
            replace(scene, **change)
