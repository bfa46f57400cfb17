"""Captions of a scene: five ways to word its facts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar, cast

from captioning_utils.scenes.scene import Scene, SceneObject
from captioning_utils.scenes.words import (
    ACTION_WORDS,
    CLOTHES_WORDS,
    COLOUR_WORDS,
    COUNT_WORDS,
    OBJECT_WORDS,
    PLACE_PHRASES,
    PREPOSITIONS,
    VERB_RELATIONS,
    WATER_PHRASES,
    WEATHER_PHRASES,
)

_Words = TypeVar("_Words")
# Five ways to word a scene, as five people would: each mentions a part of the facts, in its own order.
PATTERNS = (
    "{who} {does} {place}",
    "{who} {doing} {place} {weather}",
    "there {be} {who} {doing} {place}",
    "{weather}, {who} {does}",
    "{place}, {who} {does} {weather}",
)


def describe_scene(scene: Scene) -> list[str]:
    """Word a scene in five ways.

    Returns:
        list of five different str, raw captions as a person would write them: a capital letter first, a full stop
        at the end. All that they say is true of the scene; none says all.

    Example:
        >>> scene = Scene("park", "sunny", (SceneObject("boy", "red", 1, "standing"), SceneObject("kite", "blue")),
        ...               "flying")
        >>> describe_scene(scene)[0]
        'In the sunshine, a boy wearing red flies a kite.'
    """
    rng = random.Random(f"{scene.seed} captions")
    captions = []
    for pattern in PATTERNS:
        text = pattern.format(
            who=_thing_in_words(scene.objects[0], rng),
            does=_deed_in_words(scene, rng, 0 if scene.objects[0].count == 1 else 1),
            doing=_deed_in_words(scene, rng, 2),
            be="is" if scene.objects[0].count == 1 else "are",
            place=rng.choice(_place_phrases(scene)),
            weather=rng.choice(WEATHER_PHRASES[scene.weather]),
        )
        captions.append(text[0].upper() + text[1:] + ".")
    rng.shuffle(captions)
    return captions


def _place_phrases(scene: Scene) -> tuple[str, ...]:
    return (WATER_PHRASES if scene.objects[0].name == "boat" else PLACE_PHRASES)[scene.place]


def _often_first(words: Sequence[_Words], rng: random.Random) -> _Words:
    """The first word mostly, as people do."""
    return words[0] if rng.random() < 0.65 else rng.choice(words)


def _thing_in_words(thing: SceneObject, rng: random.Random) -> str:
    """Such as "two brown dogs", "a boy in a red shirt" or "an umbrella"."""
    several = thing.count > 1
    noun = _often_first(OBJECT_WORDS[thing.name], rng)[several]
    colour = COLOUR_WORDS[thing.colour][0] if thing.colour and rng.random() < 0.75 else ""
    clothes = CLOTHES_WORDS.get(thing.name)
    if colour and clothes:
        worn = (f" in {'' if several else 'a '}{colour} {clothes[several]}", f" in {colour}", f" wearing {colour}")
        words = noun + _often_first(worn, rng)
    else:
        words = f"{colour} {noun}".strip()
    if several:
        return f"{_often_first(COUNT_WORDS[thing.count], rng)} {words}"
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _deed_in_words(scene: Scene, rng: random.Random, form: int) -> str:
    """Such as "flies a kite" (form 0), "run near a tree" (form 1), "sitting" (form 2)."""
    if scene.relation in VERB_RELATIONS:
        return f"{VERB_RELATIONS[scene.relation][form]} {_thing_in_words(scene.objects[1], rng)}"
    deed = ACTION_WORDS[cast("str", scene.objects[0].action)][form]  # None only beside a relation that is a verb
    if not scene.relation or rng.random() < 0.1:
        return deed
    return f"{deed} {_often_first(PREPOSITIONS[scene.relation], rng)} {_thing_in_words(scene.objects[1], rng)}"
