"""The pictures of the drawn dataset: sky, place and weather, and where the people, animals and things stand in them.

Everything is drawn three times too large and shrunk, which smooths every edge. Lengths are shares of the picture's
side, x to the right, y downwards from the top.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from captioning_utils.scenes.drawing import LOOKS, PALETTE, PEOPLE, RIM, Colour, Pen, body_of, hand_of, mix, smooth

if TYPE_CHECKING:
    from captioning_utils.scenes.scene import Scene, SceneObject


Ridge: TypeAlias = Sequence[tuple[float, float]]
"""(x, y) one after the other, as shares of the picture's side."""
Member: TypeAlias = "tuple[int, SceneObject]"
"""An object of a scene and its place among them."""
DRAWING_VERSION = 1
"""Raise it with every change that moves a pixel, so that datasets drawn before are drawn anew."""
PICTURE_SIZE = 224
SUPERSAMPLING = 3
CANVAS_SIZE = PICTURE_SIZE * SUPERSAMPLING
WHITE = (252, 252, 252)
SKIES = {  # colours at the top and at the horizon
    "sunny": ((70, 156, 236), (206, 234, 250)),
    "cloudy": ((160, 170, 182), (216, 220, 224)),
    "rainy": ((88, 100, 118), (158, 168, 180)),
    "snowy": ((178, 190, 206), (230, 236, 244)),
    "night": ((10, 14, 44), (52, 62, 112)),
}
LIGHTS = {  # what white looks like
    "sunny": (255, 254, 250),
    "cloudy": (240, 241, 244),
    "rainy": (224, 228, 236),
    "snowy": (250, 251, 255),
    "night": (206, 210, 236),
}
TINTS = {  # what the land's colours turn to, and how far
    "sunny": (WHITE, 0.0),
    "cloudy": ((150, 154, 160), 0.2),
    "rainy": ((70, 80, 96), 0.35),
    "night": ((20, 26, 66), 0.52),
}
SNOW = (244, 248, 254)


class Backdrop:
    """The canvas behind the objects; its methods take colours as on a clear day and draw them as in its weather."""

    def __init__(self, weather: str, rng: random.Random) -> None:
        self.weather, self.rng = weather, rng
        self.canvas = Image.new("RGB", (CANVAS_SIZE, CANVAS_SIZE))
        self.draw = ImageDraw.Draw(self.canvas)

    def tint(self, colour: Colour, snow: float) -> Colour:
        """The colour in this weather; `snow` is the share of the surface that snow covers."""
        return mix(colour, *((SNOW, snow) if self.weather == "snowy" else TINTS[self.weather]))

    def gradient(self, top: Colour, bottom: Colour, height: int) -> Image.Image:
        column = np.linspace(top, bottom, max(2, height))[:, None].round().astype(np.uint8)
        return Image.fromarray(column).resize((CANVAS_SIZE, height), Image.Resampling.NEAREST)

    def land(self, ridge: Ridge, top: Colour, bottom: Colour, floor: float = 1.0, snow: float = 0.9) -> None:
        """Fill from the line `ridge` = [(x, y), ...] down to y = `floor`, from the colour `top` to `bottom`."""
        points = _scaled(ridge)
        highest, lowest = int(min(y for _, y in points)), round(floor * CANVAS_SIZE)
        mask = Image.new("L", (CANVAS_SIZE, lowest - highest))
        outline = [*points, (points[-1][0], lowest), (points[0][0], lowest)]
        ImageDraw.Draw(mask).polygon([(x, y - highest) for x, y in outline], fill=255)
        colours = self.gradient(self.tint(top, snow), self.tint(bottom, snow), mask.height)
        self.canvas.paste(colours, (0, highest), mask)

    def shape(self, points: Ridge, colour: Colour, snow: float = 0.5) -> None:
        self.draw.polygon(_scaled(points), fill=self.tint(colour, snow))

    def dot(self, x: float, y: float, radius_x: float, radius_y: float, colour: Colour, snow: float = 0.5) -> None:
        box = _scaled([(x - radius_x, y - radius_y), (x + radius_x, y + radius_y)])
        self.draw.ellipse(box, fill=self.tint(colour, snow))

    def stroke(self, points: Ridge, width: float, colour: Colour, snow: float = 0.5) -> None:
        self.draw.line(_scaled(points), self.tint(colour, snow), max(1, round(width * CANVAS_SIZE)), joint="curve")

    def glow(self, x: float, y: float, radius: float, colour: Colour, strength: int) -> None:
        """A soft light, or a puff of cloud, in just this colour."""
        side = round(4 * radius * CANVAS_SIZE)
        mask = Image.new("L", (side, side))
        ImageDraw.Draw(mask).ellipse([side * 0.25, side * 0.25, side * 0.75, side * 0.75], fill=strength)
        mask = mask.filter(ImageFilter.BoxBlur(side * 0.1))
        self.canvas.paste(colour, (round(x * CANVAS_SIZE - side / 2), round(y * CANVAS_SIZE - side / 2)), mask)

    def waves(self, y: float, swing: float, bumps: float) -> list[tuple[float, float]]:
        """A gently rolling ridge around height y."""
        phase = self.rng.uniform(0, 2 * math.pi)
        return [(x, y + swing * math.sin(phase + bumps * 2 * math.pi * x)) for x in np.linspace(0, 1, 60)]


def _scaled(points: Ridge) -> list[tuple[float, float]]:
    return [(x * CANVAS_SIZE, y * CANVAS_SIZE) for x, y in points]


def _sky(back: Backdrop, rng: random.Random) -> None:
    back.canvas.paste(back.gradient(*SKIES[back.weather], CANVAS_SIZE))
    side = rng.choice((0.14, 0.86))
    if back.weather == "sunny":
        back.glow(side, 0.13, 0.13, (255, 246, 196), 190)
        back.glow(side, 0.13, 0.06, (255, 224, 76), 255)
    elif back.weather == "night":
        for _ in range(36):
            back.glow(rng.random(), rng.uniform(0, 0.5), rng.uniform(0.002, 0.004), (255, 250, 220), 255)
        back.glow(side, 0.13, 0.09, (190, 200, 240), 90)
        for x, y, radius, colour in ((0, 0, 0.055, (250, 244, 206)), (-0.02, 0.01, 0.011, (222, 214, 176)),
                                     (0.018, -0.015, 0.014, (222, 214, 176))):  # fmt: skip
            back.glow(side + x, 0.13 + y, radius, colour, 255)
    else:
        share = {"cloudy": 0.75, "rainy": 0.12, "snowy": 0.5}[back.weather]
        for index in range(4):
            x, y = 0.1 + 0.27 * index + rng.uniform(-0.06, 0.06), rng.uniform(0.08, 0.24)
            _cloud(back, x, y, mix(SKIES[back.weather][0], (255, 255, 255), share), rng)


def _cloud(back: Backdrop, x: float, y: float, colour: Colour, rng: random.Random) -> None:
    for across, rise, radius in ((-0.09, 0.01, 0.05), (0.0, -0.015, 0.07), (0.09, 0.005, 0.055)):
        back.glow(x + across, y + 0.02, radius, mix(colour, (60, 70, 90), 0.25), 190)
        back.glow(x + across, y + rise, radius * rng.uniform(0.9, 1.1), colour, 235)


def _park(back: Backdrop, rng: random.Random) -> None:
    for index in range(9):
        bush = mix((62, 122, 66), (20, 40, 30), (index % 3) * 0.08)
        back.dot(index / 8, 0.55, 0.09, rng.uniform(0.06, 0.1), bush, snow=0.6)
    back.land(back.waves(0.57, 0.008, 2.0), (112, 182, 78), (78, 150, 62))
    side, steps = rng.choice((-1, 1)), np.linspace(0, 1, 30)
    middle = [(0.5 + side * 0.3 * math.sin(t * 3) * (0.4 + t), 0.57 + 0.45 * t * t) for t in steps]
    halves = [[(x + s * (0.015 + 0.11 * t), y) for t, (x, y) in zip(steps, middle, strict=True)] for s in (-1, 1)]
    back.shape(halves[0] + halves[1][::-1], (226, 204, 160), snow=0.6)
    for _ in range(22 if back.weather != "snowy" else 0):
        petal = rng.choice(((250, 120, 150), (255, 240, 240), (180, 120, 220)))
        back.dot(rng.random(), rng.uniform(0.62, 0.99), 0.008, 0.007, petal)


def _beach(back: Backdrop, rng: random.Random) -> None:
    back.land([(0, 0.46), (1, 0.46)], (24, 110, 176), (72, 190, 206), floor=0.76)
    for index in range(12):
        x, y = rng.uniform(0, 0.9), 0.51 + 0.05 * (index % 3)
        back.stroke([(x, y), (x + 0.05, y - 0.004), (x + 0.1, y)], 0.006, (170, 222, 238))
    shore = back.waves(0.67, 0.015, 1.3)
    back.land([(x, y - 0.02) for x, y in shore], WHITE, WHITE, floor=0.8)
    back.land(shore, (244, 218, 158), (226, 190, 124))
    for _ in range(60):
        back.dot(rng.random(), rng.uniform(0.71, 1), 0.003, 0.002, (198, 160, 100))


def _street(back: Backdrop, rng: random.Random) -> None:
    left = -0.03
    while left < 1:
        width, top = rng.uniform(0.11, 0.19), rng.uniform(0.2, 0.4)
        wall = rng.choice(((176, 152, 140), (150, 158, 172), (196, 178, 152), (134, 126, 138)))
        back.land([(left, top), (left + width, top)], wall, mix(wall, (60, 60, 70), 0.2), floor=0.62, snow=0.3)
        _windows(back, left, width, top, mix(wall, (60, 84, 116), 0.55), rng)
        left += width + 0.006
    back.land([(0, 0.62), (1, 0.62)], (196, 192, 186), (170, 168, 164), floor=0.7)
    back.land([(0, 0.69), (1, 0.69)], (104, 106, 112), (78, 80, 88), snow=0.55)
    for x in np.arange(rng.uniform(-0.15, 0), 1, 0.24):
        back.stroke([(x, 0.955), (x + 0.13, 0.955)], 0.016, (246, 246, 236))


def _windows(back: Backdrop, left: float, width: float, top: float, pane: Colour, rng: random.Random) -> None:
    for y in np.arange(top + 0.035, 0.56, 0.055):
        for x in np.arange(left + 0.02, left + width - 0.025, 0.04):
            lit = back.weather == "night" and rng.random() < 0.5
            box = _scaled([(x, y), (x + 0.02, y + 0.028)])
            back.draw.rectangle(box, fill=(255, 216, 116) if lit else back.tint(pane, 0.3))


def _mountain(back: Backdrop, rng: random.Random) -> None:
    rock, peaks = (112, 120, 142), ((0.12, 0.24, 0.4), (0.88, 0.28, 0.36), (0.5, 0.16, 0.44))
    for x, top, wide in peaks:
        x += rng.uniform(-0.08, 0.08)
        ridge = [(x - wide, 0.66), (x, top), (x + wide, 0.66)]
        back.land(ridge, mix(rock, WHITE, 0.1), mix(rock, (70, 90, 90), 0.3), floor=0.67, snow=0.35)
        edge = ((0.13, 0), (0.07, 0.02), (0.04, -0.01), (0, 0.06), (-0.05, -0.01), (-0.07, 0.03), (-0.13, 0))
        steep = (0.66 - top) / wide
        back.shape([(x, top)] + [(x + dx, top + abs(dx) * steep + dy) for dx, dy in edge], WHITE)
    back.land(back.waves(0.64, 0.015, 1.2), (136, 172, 96), (98, 140, 78))
    for _ in range(9):
        size = rng.uniform(0.008, 0.02)
        back.dot(rng.random(), rng.uniform(0.68, 0.99), size, size * 0.6, (146, 146, 146), snow=0.4)


def _lake(back: Backdrop, rng: random.Random) -> None:
    back.land(back.waves(0.43, 0.03, 1.4), (104, 150, 110), (72, 122, 96), floor=0.55, snow=0.7)
    back.land([(0, 0.49), (1, 0.49)], (126, 194, 226), (34, 110, 178), snow=0.25)
    for _ in range(16):
        x, y = rng.uniform(-0.05, 0.95), rng.uniform(0.52, 0.76)
        back.stroke([(x, y), (x + rng.uniform(0.05, 0.16), y)], 0.005, (178, 220, 240))
    back.land(back.waves(0.79, 0.012, 1.1), (126, 176, 86), (92, 146, 66))
    for index in range(14):
        x, lean = rng.uniform(0, 0.14) + 0.86 * (index % 2), rng.uniform(-0.02, 0.02)
        back.stroke([(x, 0.84), (x + lean, rng.uniform(0.69, 0.76))], 0.007, (70, 120, 60), snow=0.3)


def _desert(back: Backdrop, rng: random.Random) -> None:
    back.land(back.waves(0.55, 0.03, 1.0), (236, 178, 104), (222, 156, 86))
    back.land(back.waves(0.64, 0.025, 1.3), (244, 194, 120), (226, 164, 92))
    back.land(back.waves(0.76, 0.02, 0.9), (240, 186, 108), (214, 150, 80))
    for x, y, size in ((rng.uniform(0.04, 0.2), 0.68, 0.16), (rng.uniform(0.8, 0.96), 0.64, 0.13)):
        back.stroke([(x, y), (x, y - size)], size * 0.2, (66, 132, 82))
        back.dot(x, y - size, size * 0.1, size * 0.1, (66, 132, 82))
        for side, rise in ((-1, 0.4), (1, 0.55)):
            elbow_x, elbow_y = x + side * size * 0.28, y - size * rise
            arm = [(x, elbow_y), (elbow_x, elbow_y), (elbow_x, elbow_y - size * 0.3)]
            back.stroke(arm, size * 0.15, (66, 132, 82))


def _field(back: Backdrop, rng: random.Random) -> None:
    back.land(back.waves(0.52, 0.02, 1.2), (140, 172, 96), (126, 158, 84))
    back.land([(0, 0.58), (1, 0.58)], (236, 204, 92), (206, 158, 54), snow=0.82)
    for index in range(-14, 15):
        back.stroke([(0.5 + index * 0.022, 0.585), (0.5 + index * 0.13, 1.0)], 0.008, (188, 144, 48), snow=0.7)
    posts = [[(index / 8, 0.53), (index / 8, 0.615)] for index in range(9)]
    rails: list[Ridge] = [[(0, 0.55), (1, 0.55)], [(0, 0.585), (1, 0.585)]]
    for beam in [*posts, *rails]:
        back.stroke(beam, 0.011, (126, 92, 60), snow=0.3)


PLACES = {
    "park": _park,
    "beach": _beach,
    "street": _street,
    "mountain": _mountain,
    "lake": _lake,
    "desert": _desert,
    "field": _field,
}


def _falling(back: Backdrop, rng: random.Random) -> None:
    """Rain or snow in front of everything."""
    layer = Image.new("L", back.canvas.size)
    draw, rain = ImageDraw.Draw(layer), back.weather == "rainy"
    for _ in range(100):
        x, y = rng.uniform(0, CANVAS_SIZE), rng.uniform(0, CANVAS_SIZE)
        if rain:
            length = rng.uniform(22, 46)
            draw.line([(x, y), (x - length * 0.3, y + length)], fill=rng.randint(90, 170), width=3)
        else:
            radius = rng.uniform(2.5, 6.5)
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=rng.randint(170, 245))
    back.canvas.paste((226, 234, 246) if rain else (255, 255, 255), mask=layer)


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
    back.draw.line(_scaled(points.tolist()), fill=(250, 250, 250), width=4, joint="curve")


def render(scene: Scene) -> tuple[Image.Image, list[list[list[int]]]]:
    """Draw a scene.

    Args:
        scene: a `captioning_utils.scenes.Scene`.

    Returns:
        picture: RGB `PIL.Image`, 224×224.
        boxes: one list an object of the scene, each with one [left, top, right, bottom] in pixels for every single
            one that is drawn (two dogs: two boxes).
    """
    rng = random.Random(f"{scene.seed} picture")
    back = Backdrop(scene.weather, rng)
    _sky(back, rng)
    PLACES[scene.place](back, rng)
    items = _arrange(scene, rng)
    boxes: list[list[list[int]]] = [[] for _ in scene.objects]
    if items[0].name in ("kite", "balloon"):
        _string(back, *items)
    for item in items:
        boxes[item.index].append(_put(back.canvas, item, scene, rng))
    if scene.weather in ("rainy", "snowy"):
        _falling(back, rng)
    return back.canvas.reduce(SUPERSAMPLING), boxes
