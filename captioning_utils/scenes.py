"""The drawn dataset: pictures made from a seed, five captions each, and the facts that the captions must agree with.

A scene has one main subject, at most one other object and how they relate, a place and the weather. Its captions
are worded from the same word lists (`OBJECT_WORDS` and the others below) that `captioning_utils.truth` reads
captions with, so a caption can be checked against what is in the picture.
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tqdm import tqdm

from captioning_utils.errors import InputError
from captioning_utils.files import atomic_write, read_json, write_json, write_text
from captioning_utils.interfaces import AnyPath
from captioning_utils.scenery import DRAWING_VERSION, render

if TYPE_CHECKING:
    from PIL import Image

_Words = TypeVar("_Words")

# The words for every fact. The first word or phrase of each is the commonest; a word may stand for several facts
# (a "child" is a boy or a girl).
OBJECT_WORDS = {  # name: ((singular, plural), ...)
    "man": (("man", "men"), ("person", "people")),
    "woman": (("woman", "women"), ("lady", "ladies"), ("person", "people")),
    "boy": (("boy", "boys"), ("child", "children")),
    "girl": (("girl", "girls"), ("child", "children")),
    "dog": (("dog", "dogs"),),
    "cat": (("cat", "cats"),),
    "bird": (("bird", "birds"),),
    "horse": (("horse", "horses"),),
    "car": (("car", "cars"),),
    "boat": (("boat", "boats"), ("sailboat", "sailboats")),
    "ball": (("ball", "balls"),),
    "kite": (("kite", "kites"),),
    "balloon": (("balloon", "balloons"),),
    "umbrella": (("umbrella", "umbrellas"),),
    "bicycle": (("bicycle", "bicycles"), ("bike", "bikes")),
    "house": (("house", "houses"),),
    "tree": (("tree", "trees"),),
}
COLOUR_WORDS = {
    "red": ("red",),
    "orange": ("orange",),
    "yellow": ("yellow",),
    "green": ("green",),
    "blue": ("blue",),
    "purple": ("purple",),
    "brown": ("brown",),
    "black": ("black",),
    "grey": ("grey", "gray"),
    "white": ("white",),
}
CLOTHES_WORDS = {"man": ("shirt", "shirts"), "woman": ("dress", "dresses")}  # a person's colour is what they wear
CLOTHES_WORDS |= {"boy": CLOTHES_WORDS["man"], "girl": CLOTHES_WORDS["woman"]}
COUNT_WORDS = {1: ("a", "an", "one"), 2: ("two", "a pair of", "a couple of"), 3: ("three",)}
ACTION_WORDS = {  # action: (one does, several do, doing); the last is also used after "there is"
    "standing": ("stands", "stand", "standing"),
    "running": ("runs", "run", "running"),
    "jumping": ("jumps", "jump", "jumping"),
    "sitting": ("sits", "sit", "sitting"),
    "flying": ("flies", "fly", "flying"),
    "sailing": ("sails", "sail", "sailing"),
    "parked": ("is parked", "are parked", "parked"),
}
PREPOSITIONS = {
    "next to": ("next to", "beside", "near"),
    "in front of": ("in front of",),
    "behind": ("behind",),
    "under": ("under", "below"),
    "above": ("above", "over"),
}
VERB_RELATIONS = {  # as in ACTION_WORDS
    "holding": ("holds", "hold", "holding"),
    "flying": ("flies", "fly", "flying"),
    "riding": ("rides", "ride", "riding"),
    "playing with": ("plays with", "play with", "playing with"),
}
INVERSE_RELATIONS = {
    "next to": "next to",
    "in front of": "behind",
    "behind": "in front of",
    "under": "above",
    "above": "under",
}
PLACE_WORDS = {  # place: the words that name it
    "park": ("park",),
    "beach": ("beach", "sea"),
    "street": ("street", "road"),
    "mountain": ("mountains", "mountain"),
    "lake": ("lake",),
    "desert": ("desert",),
    "field": ("field",),
}
WEATHER_WORDS = {
    "sunny": ("sunny", "sunshine", "sun"),
    "cloudy": ("cloudy", "clouds"),
    "rainy": ("rainy", "rain"),
    "snowy": ("snowy", "snow"),
    "night": ("night", "moon"),
}

# How the captions put places and weather into phrases, with the words above.
PLACE_PHRASES = {
    "park": ("in the park", "in a park"),
    "beach": ("on the beach", "at the beach"),
    "street": ("on the street", "on the road", "in the street"),
    "mountain": ("in the mountains", "near a mountain"),
    "lake": ("by the lake", "near a lake"),
    "desert": ("in the desert", "in a desert"),
    "field": ("in a field", "in the field"),
}
WATER_PHRASES = {"beach": ("on the sea", "near the beach"), "lake": ("on the lake", "on a lake")}
WEATHER_PHRASES = {
    "sunny": ("on a sunny day", "in the sunshine", "in the sun"),
    "cloudy": ("on a cloudy day", "under the clouds"),
    "rainy": ("on a rainy day", "in the rain"),
    "snowy": ("on a snowy day", "in the snow"),
    "night": ("at night", "under the moon"),
}

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

    Raises:
        InputError: for a name, colour, place or relation that cannot be drawn; the message lists what can.

    Example:
        >>> scene = Scene("beach", "sunny", (SceneObject("dog", "brown", 2, "running"),))
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


def draw_scene(scene: Scene) -> Image.Image:
    """Draw a scene: an RGB `PIL.Image` of 224×224 pixels, the same pixels for the same scene.

    Example:
        >>> draw_scene(generate_scene(0)).mode
        'RGB'
    """
    return render(scene)[0]


def locate_objects(scene: Scene) -> list[list[list[int]]]:
    """Where the objects of a scene are drawn.

    Returns:
        For each of `scene.objects`: a list of boxes [left, top, right, bottom] in pixels of the 224×224 picture, one
        for every single one (two dogs: two boxes).

    Example:
        >>> scene = Scene("beach", "sunny", (SceneObject("dog", "brown", 2, "running"),))
        >>> [len(boxes) for boxes in locate_objects(scene)]
        [2]
    """
    return render(scene)[1]


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


def draw_dataset(folder: AnyPath, num_scenes: int = 800, seed: int = 0) -> Path:
    """Draw the dataset: pictures, captions, splits and facts.

    A folder that is complete is left as it is; one that a killed run left half-way is completed; one that was drawn
    with another number, seed or version of the drawing code is drawn anew.

    Args:
        folder: str or `Path` to draw into:
            `Images/scene_0001.jpg` and so on, 224×224 RGB;
            `captions.csv` with the columns image, caption, split, one row a caption, five a picture;
            `facts.json`, {image file name: `Scene.facts`};
            `drawn_with.json`, what the folder was drawn with.
        num_scenes: int, at least 3. Of the scenes 10 % (one at least) are for "val", as many for "test".
        seed: int. The same seed gives the same captions, facts and pixels.

    Returns:
        `Path` of the folder.

    Raises:
        InputError: when `num_scenes` is too small, or the folder holds another dataset or is a file.

    Example:
        >>> import tempfile
        >>> folder = draw_dataset(Path(tempfile.mkdtemp()) / "scenes", num_scenes=3)
        >>> sorted(path.name for path in folder.iterdir())
        ['Images', 'captions.csv', 'drawn_with.json', 'facts.json']
    """
    folder = Path(folder)
    if not isinstance(num_scenes, int) or num_scenes < 3:
        raise InputError(f"num_scenes is {num_scenes!r}; give 3 or more, so that every split has a scene")
    names = [f"scene_{number:04d}.jpg" for number in range(1, num_scenes + 1)]
    made_with = {"drawn_scenes": num_scenes, "seed": seed, "drawing_version": DRAWING_VERSION}
    _start_over_unless(folder, made_with)
    paths = [folder / "Images" / name for name in names]
    results = [folder / "captions.csv", folder / "facts.json"]
    if all(path.is_file() for path in paths + results):
        return folder
    scenes = [generate_scene(f"{seed} {name}") for name in names]
    for path, scene in tqdm(list(zip(paths, scenes, strict=True)), desc="Drawing scenes", unit="scene"):
        if not path.is_file():
            with atomic_write(path) as temporary:
                draw_scene(scene).save(temporary, "JPEG", quality=92, subsampling=0)
    write_json(folder / "facts.json", {name: scene.facts for name, scene in zip(names, scenes, strict=True)})
    write_text(folder / "captions.csv", _captions_csv(names, scenes, seed))
    return folder


def _start_over_unless(folder: Path, made_with: dict[str, int]) -> None:
    """Empty a folder that was drawn with other settings than `made_with`, and record these."""
    record = folder / "drawn_with.json"
    if record.is_file():
        if read_json(record) == made_with:
            return
        for path in [folder / "captions.csv", folder / "facts.json", *folder.glob("Images/scene_*.jpg")]:
            path.unlink(missing_ok=True)
    elif folder.exists() and (
        not folder.is_dir() or (folder / "captions.csv").exists() or (folder / "Images").exists()
    ):
        raise InputError(f"{folder} holds something else; give a new folder for the drawn dataset")
    write_json(record, made_with)


def _captions_csv(names: Sequence[str], scenes: Sequence[Scene], seed: int) -> str:
    share = max(1, len(names) // 10)
    order = random.Random(f"{seed} splits").sample(names, len(names))
    splits = dict.fromkeys(order, "train") | dict.fromkeys(order[:share], "val")
    splits |= dict.fromkeys(order[share : 2 * share], "test")
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("image", "caption", "split"))
    for name, scene in zip(names, scenes, strict=True):
        writer.writerows((name, caption, splits[name]) for caption in describe_scene(scene))
    return table.getvalue()
