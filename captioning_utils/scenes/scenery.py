"""The pictures of the drawn dataset: where the people, animals and things stand before their backdrop.

Lengths are shares of the picture's side, x to the right, y downwards from the top.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from captioning_utils.scenes.backdrops import CANVAS_SIZE, LIGHTS, PLACES, SUPERSAMPLING, Backdrop, falling, scaled, sky
from captioning_utils.scenes.drawing import LOOKS, PEOPLE, body_of, hand_of
from captioning_utils.scenes.pen import PALETTE, RIM, Pen, smooth

if TYPE_CHECKING:
    from captioning_utils.scenes.scene import Scene, SceneObject


Member: TypeAlias = "tuple[int, SceneObject]"
"""An object of a scene and its place among them."""
DRAWING_VERSION = 1
"""Raise it with every change that moves a pixel, so that datasets drawn before are drawn anew."""
# Where things stand: y is where an object touches the ground.
MARGIN, EDGE = 0.03, 6  # a share of the side, pixels of the canvas
SEATS = {"bicycle": (-0.2, 0.9), "horse": (-0.02, 0.62)}  # in units of the height of what is ridden


@dataclass(frozen=True)
class Item:
    """One drawn thing: which of the scene's objects it belongs to, how it looks, where it stands, how large it is."""

    index: int
    thing: SceneObject  # a SceneObject: name, colour, action
    x: float
    y: float
    height: float
    flip: bool = False
    pose: str | None = None  # where it is not the action
    airborne: bool = False  # no shadow on the ground

    @property
    def name(self) -> str:
        return self.thing.name

    @property
    def width(self) -> float:
        return self.height * LOOKS[self.name].aspect

    @property
    def ahead(self) -> int:
        """The direction it faces: 1 is right, -1 is left."""
        return -1 if self.flip else 1


def _row(
    groups: Sequence[Member], y: float, rng: random.Random, centre: float | None = None, size: float = 1.0
) -> list[Item]:
    """Stand the objects of `groups` = [(index, object), ...] side by side, made smaller where they would not fit."""
    singles = [(index, thing) for index, thing in groups for _ in range(thing.count)]
    heights = [size * LOOKS[thing.name].height * rng.uniform(0.94, 1.06) for _, thing in singles]
    widths = [height * LOOKS[thing.name].aspect for height, (_, thing) in zip(heights, singles, strict=True)]
    gaps, room = 0.035 * (len(singles) - 1), 1 - 2 * MARGIN
    shrink = min(1.0, (room - gaps) / sum(widths))
    total = sum(widths) * shrink + gaps
    spare = room - total
    left = MARGIN + (rng.uniform(0, spare) if centre is None else min(max(centre - total / 2 - MARGIN, 0), spare))
    flip, items = rng.random() < 0.5, []
    for (index, thing), height, width in zip(singles, heights, widths, strict=True):
        middle = left + width * shrink / 2
        items.append(Item(index, thing, middle, y + rng.uniform(-0.012, 0.012), height * shrink, flip))
        left += width * shrink + 0.035
    return items


def _side_by_side(main: Member, other: Member, y: float, back_y: float, rng: random.Random) -> list[Item]:
    """Next to: one row, in either order, both facing the other."""
    other_first = rng.random() < 0.5
    items = _row([other, main] if other_first else [main, other], y, rng)
    return [replace(item, flip=(item.index == 0) == other_first) for item in items]


def _in_front(main: Member, other: Member, y: float, back_y: float, rng: random.Random) -> list[Item]:
    back = _row([other], back_y, rng, rng.uniform(0.4, 0.6), size=1.1)
    return back + _row([main], y, rng, back[0].x + rng.uniform(-0.14, 0.14), size=0.85)


def _under(main: Member, other: Member, y: float, back_y: float, rng: random.Random) -> list[Item]:
    tree = _row([other], y - 0.06, rng, rng.uniform(0.4, 0.6), size=1.28)
    beside = rng.choice((-0.13, 0.13)) if main[1].count == 1 else 0.0
    return tree + _row([main], y, rng, tree[0].x + beside, size=0.85)


def _above(main: Member, other: Member, y: float, back_y: float, rng: random.Random) -> list[Item]:
    still = other[1].name in ("house", "tree")
    base = _row([other], back_y if still else y, rng, rng.uniform(0.35, 0.65), size=0.85)
    top = base[0].y - base[0].height
    return base + _row([main], top - rng.uniform(0.04, 0.08), rng, base[0].x)


def _holding(main: Member, other: Member, y: float, back_y: float, rng: random.Random) -> list[Item]:
    person = replace(_row([main], y, rng, rng.uniform(0.35, 0.65))[0], pose="holding")
    hand_x, hand_y = _hand(person)
    rise = 0.13 if other[1].name == "balloon" else -0.01
    held = Item(*other, hand_x, hand_y - rise, LOOKS[other[1].name].height, airborne=True)
    return [held, person]


def _flying(main: Member, other: Member, y: float, back_y: float, rng: random.Random) -> list[Item]:
    side = rng.choice((-1, 1))
    person = _row([main], y, rng, 0.5 - side * rng.uniform(0.15, 0.25))[0]
    person = replace(person, flip=side < 0, pose="holding")
    kite = Item(*other, 0.5 + side * rng.uniform(0.15, 0.3), rng.uniform(0.34, 0.4), 0.28, side < 0, airborne=True)
    return [kite, person]


def _riding(main: Member, other: Member, y: float, back_y: float, rng: random.Random) -> list[Item]:
    vehicle = _row([other], y, rng, rng.uniform(0.4, 0.6), size=1.1)[0]
    seat_x, seat_y = SEATS[vehicle.name]
    height = LOOKS[main[1].name].height * 0.9
    hip = body_of(PEOPLE[main[1].name]["head"])[2]
    x = vehicle.x + vehicle.ahead * seat_x * vehicle.height
    y = vehicle.y - seat_y * vehicle.height + hip * height
    return [vehicle, Item(*main, x, y, height, vehicle.flip, pose="riding", airborne=True)]


ARRANGEMENTS = {
    "next to": _side_by_side,
    "playing with": _side_by_side,
    "in front of": _in_front,
    "under": _under,
    "above": _above,
    "holding": _holding,
    "flying": _flying,
    "riding": _riding,
}


def _arrange(scene: Scene, rng: random.Random) -> list[Item]:
    """The scene's items, from back to front."""
    main, *others = enumerate(scene.objects)
    y = rng.uniform(0.9, 0.95)
    if "boat" in {thing.name for thing in scene.objects}:
        y = 0.71 if scene.place == "lake" else 0.65  # on the water
    if others and scene.relation:
        back_y = 0.72 if scene.place == "street" else y - 0.14  # on the pavement
        return ARRANGEMENTS[scene.relation](main, others[0], y, back_y, rng)
    return _row([main], rng.uniform(0.3, 0.45) if main[1].name == "bird" else y, rng)


def _hand(person: Item) -> tuple[float, float]:
    """Where the raised hand is in the picture."""
    across, up = hand_of(person.name)
    return person.x + person.ahead * across * person.height, person.y - up * person.height


def _shadow(canvas: Image.Image, item: Item) -> None:
    width, depth = round(item.width * 0.58 * CANVAS_SIZE), round(0.035 * CANVAS_SIZE)
    mask = Image.new("L", (width * 2, depth * 4))
    ImageDraw.Draw(mask).ellipse([width * 0.4, depth, width * 1.6, depth * 3], fill=96)
    corner = (round(item.x * CANVAS_SIZE) - width, round(item.y * CANVAS_SIZE) - 2 * depth)
    canvas.paste((24, 28, 48), corner, mask.filter(ImageFilter.BoxBlur(depth * 0.5)))


def _put(canvas: Image.Image, item: Item, scene: Scene, rng: random.Random) -> list[int]:
    """Draw one item; gives its box [left, top, right, bottom] in pixels of the finished picture."""
    look, pose = LOOKS[item.name], item.pose or item.thing.action or scene.weather
    jumping = pose == "jumping"
    pen = Pen(item.height * CANVAS_SIZE, look.aspect, item.flip, 0.3 if jumping and item.name == "dog" else 0.0)
    look.draw(pen, PALETTE.get(item.thing.colour or ""), pose, rng)
    shade = rng.uniform(0.92, 1.0)
    layer = pen.finish([channel * shade for channel in LIGHTS[scene.weather]])
    mask = layer.getchannel("A")
    lift = 0.3 * item.height if jumping else 0.0
    corner = np.round(np.array([item.x, item.y - lift]) * CANVAS_SIZE - pen.origin).astype(int)
    box = cast("tuple[int, ...]", mask.getbbox())  # None only where nothing is drawn
    start, end = np.reshape(box, (2, 2)) + corner
    nudge = np.maximum(EDGE - start, 0) - np.maximum(end - (CANVAS_SIZE - EDGE), 0)  # back into the picture
    corner = tuple((corner + nudge).tolist())
    if not item.airborne and item.name != "bird":
        _shadow(canvas, item)
    rim = mask.filter(ImageFilter.BoxBlur(RIM)).point([v * 0.5 for v in range(256)])
    canvas.paste((30, 32, 50), corner, rim)  # a soft dark rim, so that a white dog shows on snow
    canvas.paste(layer, corner, mask)
    return [round(float(edge) / SUPERSAMPLING) for edge in (*(start + nudge), *(end + nudge))]


def _string(back: Backdrop, held: Item, person: Item) -> None:
    """The string between a hand and the kite or balloon it holds."""
    knot = {"kite": 0.28, "balloon": 0.12}[held.name] * held.height
    (start_x, start_y), (end_x, end_y) = _hand(person), (held.x, held.y - knot)
    middle = ((start_x + end_x) / 2, (start_y + end_y) / 2 + 0.01)
    points = smooth([(start_x, start_y), middle, (end_x, end_y)], closed=False)
    back.draw.line(scaled(points.tolist()), fill=(250, 250, 250), width=4, joint="curve")


def render(scene: Scene) -> tuple[Image.Image, list[list[list[int]]]]:
    """Draw a scene."""
    rng = random.Random(f"{scene.seed} picture")
    back = Backdrop(scene.weather, rng)
    sky(back, rng)
    PLACES[scene.place](back, rng)
    items = _arrange(scene, rng)
    boxes: list[list[list[int]]] = [[] for _ in scene.objects]
    if items[0].name in ("kite", "balloon"):
        _string(back, *items)
    for item in items:
        boxes[item.index].append(_put(back.canvas, item, scene, rng))
    if scene.weather in ("rainy", "snowy"):
        falling(back, rng)
    return back.canvas.reduce(SUPERSAMPLING), boxes
