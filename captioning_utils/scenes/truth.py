"""Whether a caption of a drawn scene is true: its claims, read with the word lists that scenes are worded with.

Word overlap hardly distinguishes "a red kite" from "a blue kite"; the facts of a drawn scene can.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from captioning_utils.base.errors import InputError
from captioning_utils.scenes.scene import SUBJECTS
from captioning_utils.scenes.words import (
    ACTION_WORDS,
    CLOTHES_WORDS,
    COLOUR_WORDS,
    COUNT_WORDS,
    INVERSE_RELATIONS,
    OBJECT_WORDS,
    PLACE_WORDS,
    PREPOSITIONS,
    VERB_RELATIONS,
    WEATHER_WORDS,
)

Token: TypeAlias = tuple[str, dict[str, Any]]  # words and their readings
Relation: TypeAlias = "tuple[int, _Mention, str, _Mention]"  # position, first mention, relation, second mention
KINDS_OF_CLAIM = ("objects", "colours", "counts", "actions", "relations", "place", "weather")
SEVERAL = "several"
"""The count that a plural without a number claims ("dogs run"): more than one."""
_BREAKS = {"with", "in", "on", "at", "by", "and", "while", "as", "of"}  # words that end "under the old ..."
_SCENERY = {"sky", "water", "grass", "sand", "ground", "leaves"}  # what a colour may describe without a claim


class Claim(NamedTuple):
    """One thing that a caption says.

    Attributes:
        said: str (int or "several" for counts), the claim: "dog", "brown", 2, "running", "dog under tree", "beach".
        right: bool, whether the picture's facts agree.
        truth: what is so instead, or as well: the fact of the same kind; None where there is none to compare with
            (the colour of a cat where there is no cat).
        about: str, the object that a colour, count or action is said of; "" for the others.
    """

    said: str | int
    right: bool
    truth: str | int | None
    about: str = ""


@dataclass
class _Mention:
    """An object as the caption puts it: the words' position, whom the noun may stand for, and what is said of it."""

    position: int
    names: tuple[str, ...]
    count: str | int
    colours: list[str] = field(default_factory=list)


def _lexicon() -> dict[tuple[str, ...], dict[str, Any]]:
    """Each phrase's readings: {("next", "to"): {"relation": "next to"}, ("child",): {"object": ("boy", "girl")}}."""
    lexicon: dict[tuple[str, ...], dict[str, Any]] = {}

    def add(phrases: Iterable[str], kind: str, value: Any) -> None:
        for phrase in phrases:
            lexicon.setdefault(tuple(phrase.split()), {})[kind] = value

    for name, nouns in OBJECT_WORDS.items():
        for noun in nouns:
            for form, count in zip(noun, (1, SEVERAL), strict=True):
                names = lexicon.get((form,), {}).get("object", ((),))[0]
                add([form], "object", ((*names, name), count))
    for kind, words in (("colour", COLOUR_WORDS), ("count", COUNT_WORDS), ("action", ACTION_WORDS),
                        ("relation", PREPOSITIONS), ("relation", VERB_RELATIONS),
                        ("place", PLACE_WORDS), ("weather", WEATHER_WORDS)):  # fmt: skip
        for value, phrases in words.items():
            add(phrases, kind, value)
    add([word for words in CLOTHES_WORDS.values() for word in words], "clothes", True)
    add(_SCENERY, "scenery", True)
    return lexicon


_LEXICON = _lexicon()
_LONGEST = max(map(len, _LEXICON))


def _read(caption: str) -> list[Token]:
    """The caption as a list of (words, readings), the longest known phrase first; unknown words have no readings."""
    words, tokens, start = re.findall(r"[a-z]+", caption.lower()), [], 0
    while start < len(words):
        for length in range(_LONGEST, 0, -1):
            phrase = tuple(words[start : start + length])
            if phrase in _LEXICON or length == 1:
                break
        tokens.append((" ".join(phrase), _LEXICON.get(phrase, {})))
        start += len(phrase)
    return tokens


def _find_mentions(tokens: list[Token]) -> list[_Mention]:
    """The objects that are mentioned, with the count before the noun and the colours before it or worn."""
    mentions: list[_Mention] = []
    colours: list[str] = []
    count, before = None, {}
    for position, (_, readings) in enumerate(tokens):
        if "object" in readings:
            names, number = readings["object"]
            mentions.append(_Mention(position, names, count if count and count > 1 else number, colours))
            colours, count = [], None
        elif "colour" in readings:
            colours.append(readings["colour"])
        elif "scenery" in readings or ("colour" in before and {"place", "weather"} & readings.keys()):
            colours, count = [], None  # a green park, a blue sky
        elif readings:  # what was worn before ends here: "a boy in red | runs", "a boy in a red | shirt"
            _dress(mentions, colours)
            colours, count = [], readings.get("count")
        before = readings
    _dress(mentions, colours)
    return mentions


def _dress(mentions: list[_Mention], colours: list[str]) -> None:
    if mentions:
        mentions[-1].colours.extend(colours)


def _find_relations(tokens: list[Token], mentions: list[_Mention]) -> list[Relation]:
    """List of (position, first mention, relation, second mention); "next to a tree, two dogs" reads dogs first."""
    found = []
    for position, (_, readings) in enumerate(tokens):
        second = _noun_after(position, tokens, mentions) if "relation" in readings else None
        if second:
            before = [mention for mention in mentions if mention.position < position]
            after = [mention for mention in mentions if mention.position > second.position]
            if before or after:
                found.append((position, (before[-1:] or after)[0], readings["relation"], second))
    return found


def _noun_after(position: int, tokens: list[Token], mentions: list[_Mention]) -> _Mention | None:
    """The object right after a preposition or verb, past articles, colours and unknown adjectives; or None."""
    for later, (words, readings) in enumerate(tokens[position + 1 :], position + 1):
        if "object" in readings:
            return next(mention for mention in mentions if mention.position == later)
        if words in _BREAKS or readings.keys() - {"colour", "count"}:
            return None
    return None


def _find_actions(
    tokens: list[Token], mentions: list[_Mention], relations: list[Relation]
) -> list[tuple[_Mention, str]]:
    """List of (mention, action): an action is said of the nearest one before it who can act, else of the next."""
    taken = {position for position, *_ in relations}
    objects = {second.position for *_, second in relations}
    actors = [mention for mention in mentions if SUBJECTS.keys() & set(mention.names)]
    found = []
    for position, (_, readings) in enumerate(tokens):
        if "action" in readings and position not in taken:
            before = [mention for mention in actors if mention.position < position]
            doing = [mention for mention in before if mention.position not in objects] or before
            actor = (doing[-1:] or actors)[:1]
            found += [(mention, readings["action"]) for mention in actor]
    return found


def compute_truth(caption: str, facts: Mapping[str, Any]) -> dict[str, list[Claim]]:
    """Judge every claim of a caption against a scene's facts.

    The reading is strict: a dog under a tree is not "next to" it. A word for several kinds ("child", "person") is
    right when one of them is there. A colour, count, action or relation of an object that is not there is wrong.
    What the word lists do not know makes no claim, so a caption of unknown words is neither true nor false.

    Args:
        caption: str, raw or cleaned, without start and end tags.
        facts: dict as `captioning_utils.scenes.Scene.facts` gives it and `facts.json` holds it.

    Returns:
        dict from each of `KINDS_OF_CLAIM` to the list of `Claim`s of that kind, in the caption's order.

    Raises:
        InputError: when the caption is not a str or the facts lack a key.

    Example:
        >>> from captioning_utils.scenes.scene import Scene, SceneObject
        >>> scene = Scene("park", "sunny", (SceneObject("dog", "brown", 2, "sitting"), SceneObject("tree")), "under")
        >>> claims = compute_truth("Two black dogs sit under a tree on the beach.", scene.facts)
        >>> [(claim.said, claim.right) for claim in claims["objects"]]
        [('dog', True), ('tree', True)]
        >>> claims["colours"]
        [Claim(said='black', right=False, truth='brown', about='dog')]
        >>> claims["place"]
        [Claim(said='beach', right=False, truth='park', about='')]
        >>> claims["relations"]
        [Claim(said='dog under tree', right=True, truth='dog under tree', about='')]
    """
    _check_input(caption, facts)
    tokens = _read(caption)
    mentions = _find_mentions(tokens)
    relations = _find_relations(tokens, mentions)
    actions = _find_actions(tokens, mentions, relations)
    things = facts["objects"]
    claims = {
        "objects": _judge_objects(mentions, things),
        "colours": [_judge(m, "colour", colour, things) for m in mentions for colour in m.colours],
        "counts": [_judge(m, "count", m.count, things) for m in mentions],
        "actions": [_judge(m, "action", action, things) for m, action in actions],
        "relations": [_judge_relation(*relation[1:], facts["relation"]) for relation in relations],
    }
    for kind in ("place", "weather"):
        said = [readings[kind] for _, readings in tokens if kind in readings]
        claims[kind] = [Claim(value, value == facts[kind], facts[kind]) for value in said]
    return claims


def list_mistakes(caption: str, facts: Mapping[str, Any]) -> list[str]:
    """What a caption says of a scene that is not so, in words.

    Example:
        >>> from captioning_utils.scenes import Scene, SceneObject
        >>> scene = Scene("park", "sunny", (SceneObject("dog", "brown", 2, "sitting"),))
        >>> list_mistakes("A black dog sits on the beach in the sun.", scene.facts)
        ['dog: brown, not black', 'dog: 2, not 1', 'park, not beach']
    """
    claims = compute_truth(caption, facts)
    if not all(claim.right for claim in claims["objects"]):
        claims["relations"] = []
    there = {"", *(thing["name"] for thing in facts["objects"])}
    every = [claim for of_a_kind in claims.values() for claim in of_a_kind]
    return [_correct(claim) for claim in every if not claim.right and claim.about in there]


def _correct(claim: Claim) -> str:
    """Such as "dog: brown, not black"; "dog: not sitting" and "no dog" where there is nothing to put in its place."""
    if not claim.about and claim.truth is None:
        return f"no {claim.said}"
    subject = f"{claim.about}: " if claim.about else ""
    truth = "" if claim.truth is None else f"{claim.truth}, "
    return f"{subject}{truth}not {claim.said}"


def _check_input(caption: str, facts: Mapping[str, Any]) -> None:
    if not isinstance(caption, str):
        raise InputError(f"the caption is {caption!r}; give a str")
    missing = {"objects", "relation", "place", "weather"} - set(facts)
    if missing:
        raise InputError(f"the facts lack {', '.join(sorted(missing))}; give a scene's facts, as in facts.json")


def _matches(mention: _Mention, things: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [thing for thing in things if thing["name"] in mention.names]


def _judge_objects(mentions: list[_Mention], things: list[dict[str, Any]]) -> list[Claim]:
    """A wrong object is set against one that the caption leaves out: where it says cat, there is a dog."""
    mentioned = {thing["name"] for mention in mentions for thing in _matches(mention, things)}
    left_out = [thing["name"] for thing in things if thing["name"] not in mentioned]
    claims = []
    for mention in mentions:
        found = _matches(mention, things)
        if found:
            claims.append(Claim(found[0]["name"], True, found[0]["name"]))
        else:
            claims.append(Claim(mention.names[0], False, left_out.pop(0) if left_out else None))
    return claims


def _judge(mention: _Mention, key: str, said: str | int, things: list[dict[str, Any]]) -> Claim:
    """The claim that the mentioned object has `said` as its colour, count or action."""
    found = _matches(mention, things)
    values = [thing[key] for thing in found]
    right = said in values or (said == SEVERAL and any(value > 1 for value in values))
    truth = said if said in values else values[0] if values else None
    return Claim(said, right, truth, found[0]["name"] if found else mention.names[0])


def _judge_relation(first: _Mention, relation: str, second: _Mention, truth: Sequence[str] | None) -> Claim:
    readings: list[tuple[str, str | None, str]] = [(a, relation, b) for a in first.names for b in second.names]
    readings += [(b, INVERSE_RELATIONS.get(relation), a) for a, _, b in readings]
    right = truth is not None and tuple(truth) in readings
    fact = " ".join(truth) if truth else None
    said = f"{first.names[0]} {relation} {second.names[0]}"
    return Claim(fact if fact and right else said, right, fact)
