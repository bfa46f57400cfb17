"""Claims of captions against facts: all that scenes are captioned with is true, and what is changed is found."""

import pytest

from captioning_utils import InputError
from captioning_utils.scenes import Scene, SceneObject, compute_truth, describe_scene, generate_scene
from captioning_utils.scenes.truth import KINDS_OF_CLAIM, SEVERAL, Claim, list_mistakes

DOGS = Scene("park", "sunny", (SceneObject("dog", "brown", 2, "sitting"), SceneObject("tree")), "under").facts
BOY = Scene("beach", "cloudy", (SceneObject("boy", "red", 1, "standing"), SceneObject("kite", "blue")), "flying").facts
GIRL = Scene(
    "street",
    "rainy",
    (SceneObject("woman", "yellow", 1, "running"), SceneObject("car", "blue", 1, "parked")),
    "next to",
).facts


def said(caption, facts, kind):
    return [(claim.said, claim.right) for claim in compute_truth(caption, facts)[kind]]


def test_every_caption_of_every_scene_is_entirely_true():
    counted = dict.fromkeys(KINDS_OF_CLAIM, 0)
    for seed in range(300):
        scene = generate_scene(seed)
        for caption in describe_scene(scene):
            for kind, claims in compute_truth(caption, scene.facts).items():
                counted[kind] += len(claims)
                assert all(claim.right for claim in claims), (caption, claims, scene.facts)
    assert all(count > 300 for count in counted.values())  # every kind is read, not passed over


def test_captions_name_their_subject_and_place_or_weather():
    for seed in range(100):
        scene = generate_scene(seed)
        for caption in describe_scene(scene):
            claims = compute_truth(caption, scene.facts)
            assert scene.objects[0].name in {claim.truth for claim in claims["objects"]}, caption
            assert claims["place"] or claims["weather"], caption


def test_captions_of_another_scene_are_found_false():
    for seed in range(100):
        scene, other = generate_scene(seed), generate_scene(seed + 1000)
        for caption in describe_scene(scene):
            claims = compute_truth(caption, other.facts)
            for kind in ("place", "weather"):
                same = getattr(scene, kind) == getattr(other, kind)
                assert all(claim.right == same for claim in claims[kind]), (caption, other.facts)
            if scene.objects[0].name not in {thing.name for thing in other.objects}:
                subject = [c for c in claims["objects"] if not c.right]
                words = {"boy", "girl", "man", "woman"} & {scene.objects[0].name}
                assert subject or words, (caption, other.facts)  # a "child" may be either


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("objects", lambda o: o | {"name": "bicycle"}),
        ("colours", lambda o: o | {"colour": "purple"}),
        ("counts", lambda o: o | {"count": 4 - o["count"] if o["count"] != 2 else 1}),
        ("actions", lambda o: o | {"action": "sailing" if o["action"] != "sailing" else "running"}),
    ],
)
def test_one_changed_fact_is_found(kind, changed):
    found = 0
    for seed in range(100):
        scene = generate_scene(seed)
        facts = scene.facts
        facts["objects"][0] = changed(facts["objects"][0])
        for caption in describe_scene(scene):
            about = compute_truth(caption, scene.facts)[kind]
            claims = compute_truth(caption, facts)[kind]
            mine = [now for was, now in zip(about, claims, strict=True)
                    if scene.objects[0].name in (was.about, was.truth)
                    and (now.said, was.said) != (SEVERAL, SEVERAL)]  # fmt: skip
            assert not any(claim.right for claim in mine), (caption, facts, mine)
            found += len(mine)
    assert found > 100


def test_relations_hold_both_ways_round_and_no_other():
    for caption, right in (
        ("Two dogs sit under a tree.", True),
        ("Under the big old tree, two dogs sit.", True),
        ("A tree above two brown dogs.", True),
        ("Dogs below a green tree", True),
        ("Two dogs next to a tree.", False),
        ("A tree under two dogs.", False),
        ("Two dogs in front of a house.", False),
    ):
        assert [claim.right for claim in compute_truth(caption, DOGS)["relations"]] == [right], caption
    assert said("a car beside a woman", GIRL, "relations") == [("woman next to car", True)]
    assert said("a woman in front of a car", GIRL, "relations") == [("woman in front of car", False)]
    assert said("two dogs sit under the bright sky near a park", DOGS, "relations") == []


def test_flying_is_a_relation_with_a_kite_and_an_action_without():
    claims = compute_truth("A boy is flying a kite.", BOY)
    assert (claims["relations"], claims["actions"]) == ([Claim("boy flying kite", True, "boy flying kite")], [])
    bird = Scene(
        "lake", "night", (SceneObject("bird", "red", 3, "flying"), SceneObject("boat", "white")), "above"
    ).facts
    claims = compute_truth("Three red birds flying over a boat on the lake at night", bird)
    assert claims["actions"] == [Claim("flying", True, "flying", "bird")]
    assert claims["relations"] == [Claim("bird above boat", True, "bird above boat")]


def test_colours_belong_to_their_object():
    assert said("A boy in a red shirt flies a blue kite.", BOY, "colours") == [("red", True), ("blue", True)]
    assert said("A boy in red flies a blue kite.", BOY, "colours") == [("red", True), ("blue", True)]
    assert said("A boy wearing blue flies a red kite.", BOY, "colours") == [("blue", False), ("red", False)]
    assert said("black and white dogs", DOGS, "colours") == [("black", False), ("white", False)]
    assert said("A boy in red and a kite under a blue sky in a green park", BOY, "colours") == [("red", True)]
    assert compute_truth("a brown cat", DOGS)["colours"] == [Claim("brown", False, None, "cat")]


def test_counts_of_numbers_articles_and_plurals():
    for caption, expected in (
        ("two dogs", (2, True)),
        ("a pair of dogs", (2, True)),
        ("a couple of brown dogs", (2, True)),
        ("dogs", (SEVERAL, True)),
        ("some brown dogs", (SEVERAL, True)),
        ("a dog", (1, False)),
        ("dog", (1, False)),
        ("one brown dog", (1, False)),
        ("three dogs", (3, False)),
        ("two dog", (2, True)),
    ):
        assert said(caption, DOGS, "counts") == [expected], caption
    assert said("women next to a car", GIRL, "counts") == [(SEVERAL, False), (1, True)]


def test_words_for_several_kinds_are_right_for_each():
    assert said("a child flies a kite", BOY, "objects") == [("boy", True), ("kite", True)]
    assert said("a person runs beside a car", GIRL, "objects") == [("woman", True), ("car", True)]
    assert said("a person flies a kite", BOY, "objects") == [("man", False), ("kite", True)]


def test_a_wrong_object_is_set_against_the_one_left_out():
    claims = compute_truth("A cat under a tree with a ball", DOGS)["objects"]
    assert claims == [Claim("cat", False, "dog"), Claim("tree", True, "tree"), Claim("ball", False, None)]


def test_actions_are_said_of_who_acts():
    assert compute_truth("a woman next to a car runs", GIRL)["actions"] == [Claim("running", True, "running", "woman")]
    assert compute_truth("there is a car parked near a woman", GIRL)["actions"] == [
        Claim("parked", True, "parked", "car")
    ]
    assert compute_truth("running near a tree", DOGS)["actions"] == []


@pytest.mark.parametrize(
    "caption", ["", " ", "…", "xyzzy", "in a the of", "red", "next to", "two", "flying a", "犬が走る"]
)
def test_captions_without_claims(caption):
    assert all(claims == [] for claims in compute_truth(caption, DOGS).values())


def test_unusable_input_is_refused():
    with pytest.raises(InputError, match="caption is 7"):
        compute_truth(7, DOGS)
    with pytest.raises(InputError, match="lack objects, relation"):
        compute_truth("a dog", {"place": "park", "weather": "sunny"})


def test_mistakes_in_words():
    assert list_mistakes("a boy in a red shirt flies a blue kite on the beach", BOY) == []
    assert list_mistakes("a boy in blue flies a kite", BOY) == ["boy: red, not blue"]
    assert list_mistakes("three cats sit under a tree", DOGS) == ["dog, not cat"]
    assert list_mistakes("two dogs sit next to a tree, a car stands", DOGS) == ["no car"]
    assert list_mistakes("two dogs sit next to a tree", DOGS) == ["dog under tree, not dog next to tree"]
    tree = {"name": "tree", "colour": None, "count": 1, "action": None}
    assert list_mistakes("a boy stands by a yellow tree", DOGS | {"objects": [tree]}) == ["no boy", "tree: not yellow"]
