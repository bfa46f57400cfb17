"""A pen that draws one object with Pillow: soft shapes, limbs and light, in units of the object's height."""

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

Colour: TypeAlias = tuple[int, ...]
"""Red, green and blue, 0-255."""
Point: TypeAlias = tuple[float, float]
Points: TypeAlias = Sequence[Sequence[float]] | NDArray[np.float64]
"""(x, y) one after the other."""
PALETTE = {
    "red": (218, 40, 44),
    "orange": (243, 138, 34),
    "yellow": (252, 212, 46),
    "green": (38, 160, 88),
    "blue": (36, 100, 220),
    "purple": (142, 70, 188),
    "brown": (136, 84, 44),
    "black": (46, 44, 52),
    "grey": (142, 146, 154),
    "white": (248, 248, 244),
}
DARK = (40, 36, 44)
RIM = 4  # pixels by which the soft dark rim of an object is wider than the object


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The colour `share` of the way from `first` to `second`."""
    return tuple(round(a + (b - a) * share) for a, b in zip(first, second, strict=True))


def smooth(points: Points, closed: bool) -> NDArray[np.float64]:
    """A Catmull-Rom curve through `points`: float `(num_points, 2)` to `(8 * num_segments, 2)`."""
    points = np.asarray(points, float)
    if closed:
        before, start, end, after = (np.roll(points, shift, axis=0) for shift in (1, 0, -1, -2))
    else:
        padded = np.vstack([points[:1], points, points[-1:]])
        before, start, end, after = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = np.linspace(0, 1, 8)[:, None, None]
    curve = (
        2 * start
        + (end - before) * t
        + (2 * before - 5 * start + 4 * end - after) * t**2
        + (3 * start - before - 3 * end + after) * t**3
    ) / 2  # (8, num_segments, 2)
    return curve.transpose(1, 0, 2).reshape(-1, 2)


class Pen:
    """Draws one object on a transparent layer of its own, in units of the object's height."""

    def __init__(self, height: float, aspect: float, flip: bool = False, angle: float = 0.0) -> None:
        self.scale, self.sign = height, -1 if flip else 1
        self.cos, self.sin = math.cos(angle), math.sin(angle)
        self.origin = np.array([(aspect / 2 + 0.45) * height, 1.35 * height])
        self.layer = Image.new("RGBA", (int(2 * self.origin[0]), int(1.6 * height)))
        self.draw = ImageDraw.Draw(self.layer)

    def _pixels(self, points: Points) -> list[tuple[float, ...]]:
        x, y = np.asarray(points, float).T
        x, y = x * self.cos - (y - 0.4) * self.sin, x * self.sin + (y - 0.4) * self.cos + 0.4
        return [tuple(p) for p in (self.origin + np.stack([self.sign * x, -y], 1) * self.scale).tolist()]

    def shape(self, points: Points, fill: Colour) -> None:
        """A polygon with straight sides."""
        self.draw.polygon(self._pixels(points), fill=fill)

    def blob(self, points: Points, fill: Colour) -> None:
        """A soft closed shape through the points."""
        self.shape(smooth(points, closed=True), fill)

    def oval(self, x: float, y: float, radius_x: float, radius_y: float, fill: Colour, tilt: float = 0.0) -> None:
        """An ellipse around (x, y), turned by `tilt` radians."""
        angle = np.linspace(0, 2 * math.pi, 40, endpoint=False)
        across, up = radius_x * np.cos(angle), radius_y * np.sin(angle)
        cos, sin = math.cos(tilt), math.sin(tilt)
        self.shape(np.stack([x + across * cos - up * sin, y + across * sin + up * cos], 1), fill)

    def limb(self, points: Points, width: float, fill: Colour) -> None:
        """A soft thick line through the points, with round ends."""
        curve = smooth(points, closed=False)
        self.draw.line(self._pixels(curve), fill=fill, width=max(1, round(width * self.scale)), joint="curve")
        for x, y in (curve[0], curve[-1]):
            self.oval(x, y, width / 2, width / 2, fill)

    def ring(self, x: float, y: float, radius: float, width: float, fill: Colour) -> None:
        """A circle's outline."""
        angle = np.linspace(0, 2 * math.pi, 40)
        points = self._pixels(np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1))
        self.draw.line(points, fill=fill, width=max(1, round(width * self.scale)), joint="curve")

    def finish(self, light: Sequence[float]) -> Image.Image:
        """The layer with soft light from the upper left; `light` tints it (the colour of white at that hour).

        What is empty around the object is cut off first, and `origin` moves with it.
        """
        reach = max(2, round(0.035 * self.scale))
        left, top, right, bottom = self.layer.getbbox() or (0, 0, 1, 1)
        room = max(reach, RIM)
        layer = self.layer.crop((left - room, top - room, right + room, bottom + room))
        self.origin = self.origin - (left - room, top - room)
        alpha = layer.getchannel("A")
        soft = ImageChops.offset(alpha, reach, reach).filter(ImageFilter.BoxBlur(reach))
        tones = [soft.point([round(c * (0.74 + 0.26 * v / 255)) for v in range(256)]) for c in light]
        shaded = ImageChops.multiply(layer.convert("RGB"), Image.merge("RGB", tones))
        shaded.putalpha(alpha)
        return shaded
