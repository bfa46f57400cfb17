"""Truth on drawn scenes: how many claims of a captioner are right, kind by kind, and what it takes for what."""

import collections
from collections.abc import Mapping
from typing import Any

from captioning_utils.base.errors import InputError
from captioning_utils.base.files import read_json
from captioning_utils.base.types import AnyPath
from captioning_utils.scenes.truth import KINDS_OF_CLAIM, Claim, compute_truth

NOTHING = "nothing"  # what is true in the place of an object that is not there


def load_facts(path: AnyPath) -> dict[str, dict[str, Any]]:
    """The facts of drawn scenes.

    Args:
        path: str or `Path` of a `facts.json`.

    Returns:
        dict of image_id to facts, as `captioning_utils.scenes.Scene.facts`; empty where there is no such file.

    Raises:
        InputError: where the file holds something else.

    Example:
        >>> load_facts("nowhere/facts.json")
        {}
    """
    try:
        facts = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    if not isinstance(facts, dict) or not all(map(_is_facts, facts.values())):
        raise InputError(f"{path} does not hold the facts of drawn scenes; rename it, or draw the dataset again")
    return facts


def _is_facts(value: object) -> bool:
    kinds: dict[str, Any] = {"objects": list, "relation": (list, type(None)), "place": str, "weather": str}
    if not isinstance(value, dict) or not all(isinstance(value.get(key, 0), kind) for key, kind in kinds.items()):
        return False
    kinds = {"name": str, "colour": (str, type(None)), "count": int, "action": (str, type(None))}
    return all(
        isinstance(thing, dict) and all(isinstance(thing.get(key, ()), kind) for key, kind in kinds.items())
        for thing in value["objects"]
    ) and all(isinstance(name, str) for name in value["relation"] or ())


def summarize_truth(captions: Mapping[str, str], facts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """How many claims of captions about drawn scenes are right, kind by kind.

    Args:
        captions: dict `{image_id: str}`.
        facts: dict `{image_id: facts}`; photos without facts are left out.

    Returns:
        dict, empty where no photo has facts, ready for JSON: `num_captions`; `without_mistake_share` of captions
        that make a claim and none that is wrong; and `kinds`, which holds for each of `truth.KINDS_OF_CLAIM`:
        `claims` (how many), `right_share` of them (None without a claim), `captions_share` of captions that make
        such a claim, and `confusion`, `{true: {claimed: count}}`, with "nothing" for what is not there at all.

    Example:
        >>> from captioning_utils.scenes.scene import Scene, SceneObject
        >>> scene = Scene("park", "sunny", (SceneObject("dog", "brown", 1, "sitting"), SceneObject("tree")), "under")
        >>> summary = summarize_truth({1: "a black dog under a tree", 2: "a dog"}, {1: scene.facts, 2: scene.facts})
        >>> summary["without_mistake_share"], summary["kinds"]["colours"]["confusion"]
        (0.5, {'brown': {'black': 1}})
    """
    judged = [compute_truth(caption, facts[image_id]) for image_id, caption in captions.items() if image_id in facts]
    if not judged:
        return {}
    made = [[claim for kind in KINDS_OF_CLAIM for claim in claims[kind]] for claims in judged]
    return {
        "num_captions": len(judged),
        "without_mistake_share": sum(bool(each) and all(claim.right for claim in each) for each in made) / len(judged),
        "kinds": {kind: _summarize_kind([claims[kind] for claims in judged]) for kind in KINDS_OF_CLAIM},
    }


def _summarize_kind(claims_of_captions: list[list[Claim]]) -> dict[str, Any]:
    claims = [claim for claims in claims_of_captions for claim in claims]
    confusion: dict[str, collections.Counter[str]] = {}
    for claim in claims:
        # "several" and the words for more than one kind are right without being equal to the fact
        truth = claim.said if claim.right else NOTHING if claim.truth is None else claim.truth
        confusion.setdefault(str(truth), collections.Counter())[str(claim.said)] += 1
    return {
        "claims": len(claims),
        "right_share": sum(claim.right for claim in claims) / len(claims) if claims else None,
        "captions_share": sum(map(bool, claims_of_captions)) / len(claims_of_captions),
        "confusion": {truth: dict(sorted(said.items())) for truth, said in sorted(confusion.items())},
    }
