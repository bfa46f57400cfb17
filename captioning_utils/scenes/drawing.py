"""The people, animals and things of the drawn dataset, drawn with Pillow only.

Each is drawn by one short function with a `Pen`, in units of its own height: x to the right, y upwards, the ground
at y = 0, facing right. `scenes.scenery` puts them into a picture.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from captioning_utils.scenes.pen import DARK, PALETTE, Colour, Pen, Point, mix

SKINS = ((247, 208, 178), (226, 174, 134), (176, 120, 84), (120, 78, 54))
HAIRS = ((52, 36, 28), (110, 66, 34), (222, 178, 92), (168, 74, 34))
TROUSERS = ((52, 62, 96), (84, 74, 66), (70, 72, 80))


# People: head is the radius of the head, so that children have large heads and adults long legs.
def body_of(head: float) -> tuple[float, float, float]:
    """Half the shoulders' width, the shoulders' height and the hips' height."""
    chin = 1 - 2 * head
    return 0.07 + head * 0.25, chin - 0.035, chin * 0.5


def hand_of(name: str) -> tuple[float, float]:
    """Where the raised hand of a person is, in units of the person's height."""
    width, shoulder, _ = body_of(PEOPLE[name]["head"])
    return width + 0.13, shoulder + 0.10


def _legs(pose: str, hip: float) -> list[list[Point]]:
    return {
        "running": [
            [(-0.02, hip), (-0.07, hip * 0.55), (-0.22, hip * 0.42)],
            [(0.02, hip), (0.15, hip * 0.72), (0.17, 0.03)],
        ],
        "jumping": [
            [(-0.05, hip), (-0.15, hip * 0.65), (-0.17, 0.08)],
            [(0.05, hip), (0.15, hip * 0.65), (0.10, 0.05)],
        ],
        "riding": [[(0.0, hip), (0.17, hip * 0.85), (0.13, hip * 0.2)]],
    }.get(pose, [[(-0.055, hip), (-0.06, 0.02)], [(0.055, hip), (0.06, 0.02)]])


def _arms(pose: str, width: float, shoulder: float) -> list[list[Point]]:
    down = [(width, shoulder), (width + 0.05, shoulder - 0.12), (width + 0.04, shoulder - 0.23)]
    left_down = [(-x, y) for x, y in down]
    up = [(width, shoulder), (width + 0.13, shoulder + 0.05), (width + 0.19, shoulder + 0.22)]
    return {
        "running": [
            [(-width, shoulder), (-width - 0.08, shoulder - 0.1), (-width - 0.13, shoulder - 0.02)],
            [(width, shoulder), (width + 0.05, shoulder - 0.13), (width + 0.15, shoulder - 0.07)],
        ],
        "jumping": [[(-x, y) for x, y in up], up],
        "riding": [[(width - 0.04, shoulder), (width + 0.07, shoulder - 0.13), (width + 0.19, shoulder - 0.12)]],
        "holding": [left_down, [(width, shoulder), (width + 0.09, shoulder - 0.02), (width + 0.13, shoulder + 0.1)]],
    }.get(pose, [left_down, down])


def _person(pen: Pen, colour: Colour, pose: str, rng: random.Random, head: float, dress: bool, style: str) -> None:
    width, shoulder, hip = body_of(head)
    skin, hair = rng.choice(SKINS), rng.choice(HAIRS)
    trousers = rng.choice(TROUSERS)
    top = 1 - head  # the head's centre
    if style == "long":
        pen.blob([(-head * 1.15, top), (0, 1.01), (head * 1.15, top), (head * 1.2, shoulder - 0.1), (0, shoulder),
                  (-head * 1.2, shoulder - 0.1)], hair)  # fmt: skip
    if style == "pigtails":
        for side in (-1, 1):
            pen.oval(side * head * 1.35, top - 0.01, head * 0.42, head * 0.7, hair, tilt=side * 0.4)
    for leg in _legs(pose, hip):
        pen.limb(leg, 0.085, skin if dress else trousers)
        foot_x, foot_y = leg[-1]
        pen.oval(foot_x + 0.025, foot_y, 0.065, 0.032, DARK)
    if dress:
        flare = width * 1.9
        pen.blob([(-width, shoulder), (0, shoulder + 0.03), (width, shoulder), (width * 1.1, hip),
                  (flare, hip * 0.66), (0, hip * 0.58), (-flare, hip * 0.66), (-width * 1.1, hip)], colour)  # fmt: skip
    else:
        pen.blob([(-width, shoulder), (0, shoulder + 0.035), (width, shoulder), (width, hip - 0.04),
                  (0, hip - 0.06), (-width, hip - 0.04)], colour)  # fmt: skip
    for arm in _arms(pose, width, shoulder):
        pen.limb(arm, 0.07, mix(colour, DARK, 0.12))
        pen.oval(*arm[-1], 0.042, 0.042, skin)
    _head(pen, head, top, skin, hair, style)


def _head(pen: Pen, head: float, top: float, skin: Colour, hair: Colour, style: str) -> None:
    pen.oval(0, top - head * 0.95, head * 0.35, head * 0.3, skin)
    pen.oval(0, top, head, head * 0.98, skin)
    if style == "beard":
        pen.blob([(-head, top), (-head * 0.5, top - head * 0.35), (head * 0.5, top - head * 0.35), (head, top),
                  (head * 0.75, top - head * 0.85), (0, top - head * 1.2), (-head * 0.75, top - head * 0.85)],
                 hair)  # fmt: skip
    fringe = 0.25 if style == "long" else 0.4
    pen.blob([(-head * 1.06, top + head * 0.1), (-head * 0.8, top + head * 0.9), (0, top + head * 1.12),
              (head * 0.85, top + head * 0.85), (head * 1.06, top + head * 0.1), (head * 0.6, top + head * fringe),
              (-head * 0.3, top + head * 0.6)], hair)  # fmt: skip
    for x in (-0.25, 0.45):
        pen.oval(head * x, top - head * 0.05, head * 0.11, head * 0.14, DARK)
    mouth = [(-head * 0.15, top - head * 0.5), (head * 0.1, top - head * 0.6), (head * 0.38, top - head * 0.5)]
    pen.limb(mouth, head * 0.11, (176, 62, 58))


PEOPLE: dict[str, dict[str, Any]] = {
    "man": {"head": 0.115, "dress": False, "style": "beard"},
    "woman": {"head": 0.118, "dress": True, "style": "long"},
    "boy": {"head": 0.17, "dress": False, "style": "short"},
    "girl": {"head": 0.17, "dress": True, "style": "pigtails"},
}


# Animals.
def _four_legs(
    pen: Pen, hips: tuple[float, float], height: float, pose: str, width: float, near: Colour, far: Colour
) -> None:
    """Legs under `hips` = (rear x, front x), the far pair darker; `height` is where they leave the body."""
    reach = 0.24 if pose in ("running", "jumping") else 0.02
    rear, front = hips
    for x, out, fill in (
        (rear + 0.1, -reach * 0.5, far), (front - 0.1, reach * 0.5, far),
        (rear, -reach, near), (front, reach, near),
    ):  # fmt: skip
        lift = 0.1 if reach > 0.1 else 0.0
        pen.limb([(x, height), (x + out * 0.4, height * 0.55), (x + out, 0.03 + lift)], width, fill)


def _dog(pen: Pen, colour: Colour, pose: str, rng: random.Random) -> None:
    far, ear = mix(colour, DARK, 0.3), mix(colour, DARK, 0.45)
    if pose == "sitting":
        pen.limb([(-0.35, 0.1), (-0.52, 0.16), (-0.56, 0.36)], 0.09, colour)
        pen.blob([(-0.42, 0.05), (-0.36, 0.4), (-0.02, 0.74), (0.2, 0.62), (0.16, 0.2), (0.05, 0.02)], colour)
        pen.oval(-0.2, 0.16, 0.22, 0.16, mix(colour, DARK, 0.1))
        pen.oval(0.0, 0.04, 0.17, 0.05, colour)
        for x, fill in ((0.2, far), (0.11, colour)):
            pen.limb([(x, 0.5), (x + 0.03, 0.2), (x + 0.05, 0.04)], 0.1, fill)
        x, y = 0.2, 0.82
    else:
        pen.limb([(-0.5, 0.55), (-0.66, 0.7), (-0.68, 0.88)], 0.09, colour)
        _four_legs(pen, (-0.4, 0.36), 0.4, pose, 0.12, colour, far)
        pen.blob([(-0.56, 0.56), (-0.3, 0.68), (0.2, 0.68), (0.5, 0.72), (0.46, 0.36), (0.1, 0.3), (-0.46, 0.32)],
                 colour)  # fmt: skip
        x, y = 0.55, 0.82
    pen.blob([(x - 0.2, y - 0.2), (x - 0.18, y + 0.12), (x, y + 0.18), (x + 0.17, y + 0.06), (x + 0.36, y - 0.02),
              (x + 0.37, y - 0.13), (x + 0.1, y - 0.2)], colour)  # fmt: skip
    pen.oval(x + 0.37, y - 0.03, 0.055, 0.05, DARK)
    pen.oval(x + 0.12, y + 0.05, 0.035, 0.04, (250, 250, 250))
    pen.oval(x + 0.13, y + 0.05, 0.024, 0.03, (16, 14, 16))
    pen.blob([(x - 0.1, y + 0.15), (x - 0.2, y + 0.08), (x - 0.22, y - 0.18), (x - 0.08, y - 0.2)], ear)
    pen.limb([(x - 0.18, y - 0.22), (x - 0.05, y - 0.27), (x + 0.06, y - 0.23)], 0.06, (224, 60, 60))


def _cat(pen: Pen, colour: Colour, pose: str, rng: random.Random) -> None:
    far, stripe = mix(colour, DARK, 0.3), mix(colour, DARK, 0.35)
    if pose == "sitting":
        pen.limb([(-0.2, 0.08), (-0.5, 0.1), (-0.56, 0.36), (-0.44, 0.5)], 0.09, stripe)
        pen.blob([(-0.34, 0.04), (-0.3, 0.36), (-0.14, 0.6), (0.14, 0.6), (0.3, 0.36), (0.34, 0.04)], colour)
        for x in (-0.1, 0.1):
            pen.limb([(x, 0.36), (x, 0.05)], 0.12, mix(colour, (255, 255, 255), 0.12))
        x, y = 0.0, 0.74
    else:
        pen.limb([(-0.45, 0.5), (-0.66, 0.6), (-0.62, 0.86), (-0.72, 0.98)], 0.085, stripe)
        _four_legs(pen, (-0.38, 0.3), 0.36, pose, 0.11, colour, far)
        pen.blob([(-0.52, 0.48), (-0.2, 0.6), (0.3, 0.58), (0.44, 0.42), (0.1, 0.26), (-0.46, 0.28)], colour)
        for x in (-0.3, -0.15, 0.0):
            pen.limb([(x, 0.58), (x + 0.02, 0.44)], 0.04, stripe)
        x, y = 0.46, 0.68
    for side in (-1, 1):
        pen.shape([(x + side * 0.27, y + 0.02), (x + side * 0.25, y + 0.33), (x + side * 0.06, y + 0.17)], colour)
        pen.shape([(x + side * 0.22, y + 0.1), (x + side * 0.22, y + 0.26), (x + side * 0.11, y + 0.16)],
                  (240, 168, 164))  # fmt: skip
    pen.oval(x, y, 0.28, 0.22, colour)
    for side in (-1, 1):
        pen.oval(x + side * 0.11, y + 0.03, 0.058, 0.062, (196, 224, 92))
        pen.oval(x + side * 0.11, y + 0.03, 0.022, 0.056, (16, 14, 16))
        for rise in (0.0, 0.06):
            whisker = [(x + side * 0.12, y - 0.08), (x + side * 0.36, y - 0.1 + rise)]
            pen.limb(whisker, 0.014, (250, 250, 250) if sum(colour) < 300 else DARK)
    pen.shape([(x - 0.04, y - 0.04), (x + 0.04, y - 0.04), (x, y - 0.09)], (236, 120, 130))


def _bird(pen: Pen, colour: Colour, pose: str, rng: random.Random) -> None:
    wing = mix(colour, DARK, 0.25)
    beat = rng.uniform(-0.12, 0.12)
    pen.blob([(0.0, 0.45), (0.1, 0.85 + beat), (-0.2, 1.05 + beat), (-0.42, 0.95 + beat), (-0.25, 0.5)],
             mix(colour, DARK, 0.4))  # fmt: skip
    pen.shape([(-0.45, 0.34), (-0.95, 0.5), (-0.9, 0.28), (-0.98, 0.12)], wing)
    pen.blob([(-0.62, 0.34), (-0.2, 0.52), (0.3, 0.6), (0.55, 0.5), (0.5, 0.26), (0.1, 0.08), (-0.35, 0.16)], colour)
    pen.blob([(-0.05, 0.2), (0.3, 0.28), (0.15, 0.1)], mix(colour, (255, 255, 255), 0.7))
    pen.oval(0.52, 0.5, 0.22, 0.2, colour)
    pen.shape([(0.7, 0.56), (0.98, 0.46), (0.7, 0.4)], (255, 150, 30))
    pen.oval(0.58, 0.56, 0.05, 0.055, (255, 255, 255))
    pen.oval(0.595, 0.56, 0.03, 0.036, (16, 14, 16))
    pen.blob([(0.25, 0.42), (0.0, 0.7), (-0.4, 0.98 + beat), (-0.75, 0.95 + beat), (-0.6, 0.6), (-0.2, 0.36)], wing)


def _horse(pen: Pen, colour: Colour, pose: str, rng: random.Random) -> None:
    far, hair = mix(colour, DARK, 0.3), mix(colour, DARK, 0.75) if sum(colour) > 300 else (92, 88, 96)
    pen.limb([(-0.5, 0.62), (-0.68, 0.56), (-0.7, 0.28)], 0.11, hair)
    _four_legs(pen, (-0.4, 0.3), 0.45, pose, 0.1, colour, far)
    pen.blob([(-0.55, 0.58), (-0.4, 0.69), (0.0, 0.64), (0.3, 0.7), (0.44, 0.52), (0.3, 0.36), (-0.05, 0.35),
              (-0.48, 0.38)], colour)  # fmt: skip
    pen.blob([(0.16, 0.62), (0.34, 0.88), (0.46, 1.0), (0.6, 0.96), (0.84, 0.76), (0.8, 0.66), (0.62, 0.72),
              (0.52, 0.74), (0.44, 0.5)], colour)  # fmt: skip
    pen.shape([(0.42, 0.94), (0.46, 1.1), (0.54, 0.96)], colour)
    pen.blob([(0.44, 1.02), (0.3, 0.95), (0.1, 0.68), (0.2, 0.62), (0.34, 0.8)], hair)
    pen.oval(0.58, 0.87, 0.028, 0.032, (16, 14, 16))
    pen.oval(0.8, 0.71, 0.05, 0.055, far)


# Things.
def _ball(pen: Pen, colour: Colour, pose: str, rng: random.Random) -> None:
    pen.oval(0, 0.5, 0.5, 0.5, colour)
    for rise in (0.32, -0.32):
        band = [(-0.36, 0.5 + rise), (0, 0.5 + rise * 0.6), (0.36, 0.5 + rise)]
        pen.limb(band, 0.12, (252, 252, 250))


def _kite(pen: Pen, colour: Colour, pose: str, rng: random.Random) -> None:
    light, dark = mix(colour, (255, 255, 255), 0.3), mix(colour, DARK, 0.2)
    pen.limb([(0, 0.3), (-0.12, 0.18), (0.08, 0.08), (-0.06, 0.0)], 0.025, (250, 250, 250))
    for x, y in ((-0.1, 0.18), (0.05, 0.08)):
        pen.shape([(x - 0.07, y + 0.04), (x + 0.07, y - 0.04), (x + 0.07, y + 0.04), (x - 0.07, y - 0.04)], colour)
    top, right, bottom, left, middle = (0, 1), (0.34, 0.7), (0, 0.28), (-0.34, 0.7), (0, 0.7)
    for corners, fill in (((top, right, middle), colour), ((right, bottom, middle), dark),
                          ((bottom, left, middle), colour), ((left, top, middle), light)):  # fmt: skip
        pen.shape(corners, fill)


def _balloon(pen: Pen, colour: Colour, pose: str, rng: random.Random) -> None:
    pen.blob([(0, 0.2), (-0.3, 0.5), (-0.28, 0.84), (0, 1.0), (0.28, 0.84), (0.3, 0.5)], colour)
    pen.shape([(0, 0.22), (-0.07, 0.12), (0.07, 0.12)], colour)
    pen.oval(-0.12, 0.76, 0.06, 0.1, mix(colour, (255, 255, 255), 0.75), tilt=-0.4)


def _umbrella(pen: Pen, colour: Colour, pose: str, rng: random.Random) -> None:
    pen.limb([(0, 0.02), (0, 0.95)], 0.035, DARK)
    edge = [(x, 0.52 + (0.05 if index % 2 else 0.0)) for index, x in enumerate(np.linspace(0.72, -0.72, 9))]
    angle = np.linspace(math.pi, 0, 20)
    dome = [(0.72 * math.cos(a), 0.52 + 0.44 * math.sin(a)) for a in angle]
    pen.shape(dome + edge, colour)
    for half in (0.24, 0.5):
        arc = [(half * 0.72 * math.cos(a) * 1.4, 0.55 + 0.41 * math.sin(a)) for a in angle]
        pen.limb(arc, 0.018, mix(colour, DARK, 0.3))
    pen.limb([(0, 0.95), (0, 1.02)], 0.04, DARK)


def _bicycle(pen: Pen, colour: Colour, pose: str, rng: random.Random) -> None:
    rear, front, crank, seat, head = (-0.58, 0.34), (0.58, 0.34), (-0.06, 0.32), (-0.2, 0.8), (0.42, 0.84)
    for x, y in (rear, front):
        pen.ring(x, y, 0.31, 0.07, DARK)
        pen.ring(x, y, 0.27, 0.025, (214, 216, 220))
        for turn in range(4):
            across, up = 0.27 * math.cos(turn * math.pi / 4), 0.27 * math.sin(turn * math.pi / 4)
            pen.limb([(x - across, y - up), (x + across, y + up)], 0.012, (214, 216, 220))
    for start, end in ((rear, crank), (crank, seat), (rear, seat), (seat, head), (crank, head), (head, front)):
        pen.limb([start, end], 0.075, colour)
    pen.limb([seat, (-0.22, 0.9)], 0.05, colour)
    pen.oval(-0.22, 0.92, 0.15, 0.045, DARK)
    pen.limb([head, (0.4, 1.0), (0.28, 1.02)], 0.055, DARK)


def _car(pen: Pen, colour: Colour, pose: str, rng: random.Random) -> None:
    pen.blob([(-0.6, 0.5), (-0.42, 0.95), (0.0, 1.0), (0.3, 0.94), (0.6, 0.5)], colour)
    glass = (190, 224, 242)
    pen.shape([(-0.46, 0.56), (-0.34, 0.86), (-0.04, 0.9), (-0.04, 0.56)], glass)
    pen.shape([(0.04, 0.56), (0.04, 0.9), (0.24, 0.86), (0.46, 0.56)], glass)
    pen.blob([(-1.08, 0.22), (-1.08, 0.46), (-0.9, 0.58), (0.6, 0.58), (1.0, 0.5), (1.1, 0.34), (1.06, 0.2), (0, 0.17)],
             colour)  # fmt: skip
    pen.limb([(-1.02, 0.36), (1.04, 0.36)], 0.03, mix(colour, DARK, 0.3))
    for x in (-0.6, 0.6):
        pen.oval(x, 0.2, 0.23, 0.23, DARK)
        pen.oval(x, 0.2, 0.11, 0.11, (206, 208, 212))
    pen.oval(1.02, 0.44, 0.07, 0.06, (255, 240, 160))
    pen.oval(-1.03, 0.44, 0.05, 0.06, (240, 60, 50) if colour != PALETTE["red"] else (255, 190, 90))


def _boat(pen: Pen, colour: Colour, pose: str, rng: random.Random) -> None:
    pen.limb([(0, 0.2), (0, 1.0)], 0.035, (112, 76, 46))
    pen.blob([(0.04, 0.3), (0.05, 0.92), (0.3, 0.6), (0.5, 0.31)], (252, 250, 242))
    pen.blob([(-0.05, 0.3), (-0.04, 0.88), (-0.24, 0.56), (-0.4, 0.31)], colour)
    pen.blob([(-0.56, 0.25), (0, 0.22), (0.62, 0.27), (0.42, 0.03), (0, 0.0), (-0.42, 0.03)], colour)
    pen.limb([(-0.5, 0.2), (0, 0.17), (0.54, 0.21)], 0.03, mix(colour, (255, 255, 255), 0.7))


def _house(pen: Pen, colour: Colour, weather: str, rng: random.Random) -> None:
    roof = (84, 74, 86) if weather != "snowy" else (240, 244, 250)
    pen.shape([(0.22, 0.7), (0.22, 1.0), (0.34, 1.0), (0.34, 0.7)], (150, 92, 76))
    pen.shape([(-0.46, 0), (-0.46, 0.56), (0.46, 0.56), (0.46, 0)], colour)
    pen.shape([(-0.58, 0.54), (-0.3, 0.94), (0.3, 0.94), (0.58, 0.54)], roof)
    frame = (252, 250, 244) if colour != PALETTE["white"] else (90, 120, 150)
    pane = (255, 222, 120) if weather == "night" else (150, 200, 232)
    for x in (-0.28, 0.28):
        pen.shape([(x - 0.12, 0.18), (x - 0.12, 0.44), (x + 0.12, 0.44), (x + 0.12, 0.18)], frame)
        pen.shape([(x - 0.09, 0.21), (x - 0.09, 0.41), (x + 0.09, 0.41), (x + 0.09, 0.21)], pane)
        pen.limb([(x, 0.21), (x, 0.41)], 0.02, frame)
    pen.shape([(-0.09, 0), (-0.09, 0.34), (0.09, 0.34), (0.09, 0)], (112, 70, 44))
    pen.oval(0.05, 0.16, 0.014, 0.014, (240, 210, 120))


def _tree(pen: Pen, colour: Colour, weather: str, rng: random.Random) -> None:
    bark = (116, 78, 48)
    pen.blob([(-0.08, 0.0), (-0.05, 0.3), (-0.06, 0.55), (0.06, 0.55), (0.05, 0.3), (0.08, 0.0)], bark)
    pen.limb([(0, 0.34), (0.14, 0.52)], 0.045, bark)
    leaves = (66, 138, 62)
    puffs = (
        (-0.27, 0.58, 0.19),
        (0.27, 0.57, 0.19),
        (0, 0.55, 0.2),
        (-0.16, 0.74, 0.2),
        (0.17, 0.75, 0.19),
        (0, 0.84, 0.16),
    )
    for index, (x, y, radius) in enumerate(puffs):
        x, y = x + rng.uniform(-0.02, 0.02), y + rng.uniform(-0.02, 0.0)
        pen.oval(x, y, radius, radius * 0.92, mix(leaves, (140, 196, 84), index * 0.07))
        if weather == "snowy":
            pen.oval(x, y + radius * 0.5, radius * 0.75, radius * 0.36, (246, 249, 253))
    if weather != "snowy":
        for _ in range(14):
            x, y = rng.uniform(-0.32, 0.3), rng.uniform(0.52, 0.88)
            pen.oval(x, y, 0.035, 0.022, mix(leaves, (190, 226, 120), rng.uniform(0.3, 0.7)), tilt=0.5)


@dataclass(frozen=True)
class Look:
    """How to draw a kind of object: its height in the picture (share of the side), width per height, function."""

    height: float
    aspect: float
    draw: Callable[[Pen, Any, str, random.Random], None]


LOOKS = {
    **{
        name: Look(height, 0.5, partial(_person, **PEOPLE[name]))
        for name, height in {"man": 0.58, "woman": 0.56, "boy": 0.46, "girl": 0.45}.items()
    },
    "dog": Look(0.34, 1.7, _dog),
    "cat": Look(0.35, 1.3, _cat),
    "bird": Look(0.22, 2.05, _bird),
    "horse": Look(0.46, 1.6, _horse),
    "ball": Look(0.16, 1.0, _ball),
    "kite": Look(0.28, 0.75, _kite),
    "balloon": Look(0.25, 0.7, _balloon),
    "umbrella": Look(0.31, 1.5, _umbrella),
    "bicycle": Look(0.31, 1.8, _bicycle),
    "car": Look(0.27, 2.25, _car),
    "boat": Look(0.42, 1.2, _boat),
    "house": Look(0.46, 1.2, _house),
    "tree": Look(0.62, 0.95, _tree),
}
