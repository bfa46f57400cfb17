"""What a scene may hold: a main subject, at most one other object and how they relate, a place and the weather."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from captioning_utils.base.errors import InputError
from captioning_utils.scenes.words import PLACE_WORDS, VERB_RELATIONS, WEATHER_WORDS

# What a scene may hold.
EVERYWHERE, ALL_WEATHERS = tuple(PLACE_WORDS), tuple(WEATHER_WORDS)
WEATHERS = {"desert": ("sunny", "cloudy", "night"), "beach": ("sunny", "cloudy", "rainy", "night")}
CLEAR = ("red", "yellow", "blue")
CLOTHES = (*CLEAR, "green")


@dataclass(frozen=True)
class Kind:
    """What the objects of one name may be: colours, places and weathers they appear in."""

    colours: tuple[str | None, ...] = CLEAR
    places: tuple[str, ...] = EVERYWHERE
    weathers: tuple[str, ...] = ALL_WEATHERS
    actions: tuple[str | None, ...] = (None,)


KINDS = {
    "man": Kind(CLOTHES, actions=("standing", "running")),
    "woman": Kind(CLOTHES, actions=("standing", "running")),
    "boy": Kind(CLOTHES, actions=("standing", "running", "jumping")),
    "girl": Kind(CLOTHES, actions=("standing", "running", "jumping")),
    "dog": Kind(("brown", "black", "white"), actions=("standing", "running", "jumping", "sitting")),
    "cat": Kind(("orange", "grey", "black"), actions=("standing", "sitting")),
    "bird": Kind(CLEAR, actions=("flying",)),
    "horse": Kind(
        ("brown", "black", "white"), ("park", "beach", "mountain", "desert", "field"), actions=("standing", "running")
    ),
    "car": Kind((*CLEAR, "white"), ("street", "desert", "mountain"), actions=("parked",)),
    "boat": Kind(("red", "blue", "white"), ("lake", "beach"), actions=("sailing",)),
    "ball": Kind(),
    "kite": Kind(weathers=("sunny", "cloudy")),
    "balloon": Kind((*CLEAR, "purple")),
    "umbrella": Kind((*CLEAR, "purple"), weathers=("sunny", "rainy", "snowy")),
    "bicycle": Kind(("red", "blue", "green"), ("park", "beach", "street", "field")),
    "house": Kind(("red", "yellow", "white"), ("street", "mountain", "field")),
    "tree": Kind((None,), ("park", "mountain", "lake", "field")),
}
ADULT = {
    "next to": ("dog", "tree", "car"),
    "in front of": ("house",),
    "under": ("tree",),
    "holding": ("umbrella",),
    "riding": ("bicycle", "horse"),
}
CHILD = {
    "next to": ("dog", "tree"),
    "in front of": ("house",),
    "under": ("tree",),
    "holding": ("balloon",),
    "flying": ("kite",),
    "playing with": ("ball",),
}
SUBJECTS: dict[str, dict[str, tuple[str, ...]]] = {  # who a scene may be about, and how they may relate to what
    "man": ADULT,
    "woman": ADULT,
    "boy": {**CHILD, "riding": ("bicycle",)},
    "girl": CHILD,
    "dog": {"next to": ("cat", "tree"), "in front of": ("house",), "under": ("tree",), "playing with": ("ball",)},
    "cat": {"next to": ("tree",), "in front of": ("house",), "under": ("tree",), "playing with": ("ball",)},
    "bird": {"above": ("tree", "house", "boat", "car")},
    "horse": {"next to": ("tree",), "in front of": ("house",)},
    "car": {"next to": ("tree",), "in front of": ("house",)},
    "boat": {},
}
ONE_ONLY = ("holding", "flying", "riding")  # relations of a single person


@dataclass(frozen=True)
class SceneObject:
    """One or several equal things of a scene.

    Attributes:
        name: str, a key of `OBJECT_WORDS`.
        colour: str, a key of `COLOUR_WORDS` (of people: of what they wear), or None for trees.
        count: int from 1 to 3.
        action: str, a key of `ACTION_WORDS`, or None.
    """

    name: str
    colour: str | None = None
    count: int = 1
    action: str | None = None


@dataclass(frozen=True)
class Scene:
    """All that decides a drawn picture and its captions.

    Attributes:
        place: str, a key of `PLACE_WORDS`.
        weather: str, a key of `WEATHER_WORDS`.
        objects: tuple of one `SceneObject` (the subject) or two.
        relation: str, how the subject relates to the other object (see `SUBJECTS`), or None where there is no other.
        seed: int, decides what the facts leave open: sizes, positions, shades, wording.

    Example:
        >>> scene = Scene("beach", "sunny", (SceneObject("dog", "brown", 2, "running"),))
        >>> from captioning_utils.scenes import draw_scene
        >>> draw_scene(scene).size
        (224, 224)
    """

    place: str
    weather: str
    objects: tuple[SceneObject, ...]
    relation: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.objects) not in (1, 2):
            raise InputError(f"a scene has {len(self.objects)} objects; give one or two")
        subject = self.objects[0].name
        _check("the subject", subject, SUBJECTS)
        _check("weather", self.weather, WEATHER_WORDS)
        for thing in self.objects:
            _check("an object", thing.name, KINDS)
            _check(f"the colour of {thing.name}", thing.colour, KINDS[thing.name].colours)
            _check(f"the count of {thing.name}", thing.count, (1, 2, 3))
            busy = thing is not self.objects[0] or self.relation in VERB_RELATIONS  # needs no action of its own
            _check(f"the action of {thing.name}", thing.action, ((None,) if busy else ()) + KINDS[thing.name].actions)
            _check(f"the place of {thing.name}", self.place, KINDS[thing.name].places)
        if len(self.objects) == 1:
            _check("the relation of a lone object", self.relation, (None,))
        else:
            relations = [r for r, others in SUBJECTS[subject].items() if self.objects[1].name in others]
            _check(f"the relation of {subject} to {self.objects[1].name}", self.relation, relations)
            _check("the count of the second object", self.objects[1].count, (1,))

    @property
    def facts(self) -> dict[str, Any]:
        """The ground truth as plain JSON values.

        Example:
            >>> Scene("park", "night", (SceneObject("cat", "grey", 1, "sitting"), SceneObject("tree")), "under").facts
            {'place': 'park', 'weather': 'night',
             'objects': [{'name': 'cat', 'colour': 'grey', 'count': 1, 'action': 'sitting'},
                         {'name': 'tree', 'colour': None, 'count': 1, 'action': None}],
             'relation': ['cat', 'under', 'tree']}
        """
        relation = self.relation and [self.objects[0].name, self.relation, self.objects[1].name]
        objects = [asdict(thing) for thing in self.objects]
        return {"place": self.place, "weather": self.weather, "objects": objects, "relation": relation}


def _check(what: str, value: object, allowed: Collection[Any]) -> None:
    if value not in allowed:
        raise InputError(f"{what} is {value!r}; it can be {', '.join(map(str, allowed))}")


def generate_scene(seed: int | str | random.Random) -> Scene:
    """Make up a scene.

    Args:
        seed: int or str, or a `random.Random` to draw from. The same seed gives the same scene.

    Returns:
        `Scene`.

    Example:
        >>> generate_scene(7) == generate_scene(7)
        True
    """
    rng = seed if isinstance(seed, random.Random) else random.Random(f"{seed} scene")
    name = rng.choice(list(SUBJECTS))
    relation, other = None, None
    if SUBJECTS[name] and rng.random() < 0.7:
        relation = rng.choice(list(SUBJECTS[name]))
        other = rng.choice(SUBJECTS[name][relation])
    kinds = [KINDS[n] for n in (name, other) if n]
    place = rng.choice([p for p in EVERYWHERE if all(p in kind.places for kind in kinds)])
    weathers = WEATHERS.get(place, ALL_WEATHERS)
    weather = rng.choice([w for w in weathers if all(w in kind.weathers for kind in kinds)])
    most = 1 if relation in ONE_ONLY else 3 if relation in (None, "above") else 2
    count = rng.choice((1, 1, 2, 3)[: most + 1])
    objects = [SceneObject(name, rng.choice(kinds[0].colours), count, _action(name, relation, rng))]
    if other:
        calm = [a for a in KINDS[other].actions if a != "jumping"]
        objects.append(SceneObject(other, rng.choice(kinds[1].colours), 1, rng.choice(calm)))
    return Scene(place, weather, tuple(objects), relation, rng.getrandbits(32))


def _action(name: str, relation: str | None, rng: random.Random) -> str | None:
    """What the subject does, as far as it can do it in that relation."""
    if relation == "riding":
        return None
    if relation in ("holding", "flying"):
        return "standing"
    actions = KINDS[name].actions
    if relation == "playing with":
        return "running" if "running" in actions else "sitting"
    if relation == "under":  # a jump would end in the leaves
        actions = tuple(action for action in actions if action != "jumping")
    return rng.choice(actions)
