"""What is behind the objects of a drawn scene: sky, place and weather.

Everything is drawn three times too large and shrunk, which smooths every edge. Lengths are shares of the picture's
side, x to the right, y downwards from the top.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from captioning_utils.scenes.pen import Colour, mix

Ridge: TypeAlias = Sequence[tuple[float, float]]
"""(x, y) one after the other, as shares of the picture's side."""
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
        points = scaled(ridge)
        highest, lowest = int(min(y for _, y in points)), round(floor * CANVAS_SIZE)
        mask = Image.new("L", (CANVAS_SIZE, lowest - highest))
        outline = [*points, (points[-1][0], lowest), (points[0][0], lowest)]
        ImageDraw.Draw(mask).polygon([(x, y - highest) for x, y in outline], fill=255)
        colours = self.gradient(self.tint(top, snow), self.tint(bottom, snow), mask.height)
        self.canvas.paste(colours, (0, highest), mask)

    def shape(self, points: Ridge, colour: Colour, snow: float = 0.5) -> None:
        self.draw.polygon(scaled(points), fill=self.tint(colour, snow))

    def dot(self, x: float, y: float, radius_x: float, radius_y: float, colour: Colour, snow: float = 0.5) -> None:
        box = scaled([(x - radius_x, y - radius_y), (x + radius_x, y + radius_y)])
        self.draw.ellipse(box, fill=self.tint(colour, snow))

    def stroke(self, points: Ridge, width: float, colour: Colour, snow: float = 0.5) -> None:
        self.draw.line(scaled(points), self.tint(colour, snow), max(1, round(width * CANVAS_SIZE)), joint="curve")

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


def scaled(points: Ridge) -> list[tuple[float, float]]:
    return [(x * CANVAS_SIZE, y * CANVAS_SIZE) for x, y in points]


def sky(back: Backdrop, rng: random.Random) -> None:
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
            box = scaled([(x, y), (x + 0.02, y + 0.028)])
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


def falling(back: Backdrop, rng: random.Random) -> None:
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
