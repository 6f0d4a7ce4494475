"""Faces with landmarks, turned as a test wants them."""

from __future__ import annotations

import cmath
import math

from mtl_model.records import Face

Points = tuple[tuple[float, float], ...]
FRONTAL: Points = ((-10.0, -8.0), (10.0, -8.0), (0.0, 2.0), (-7.0, 12.0), (7.0, 12.0))
ASIDE: Points = ((4.0, -8.0), (10.0, -8.0), (14.0, 2.0), (5.0, 12.0), (9.0, 12.0))


def turned_face(degrees: float, landmarks: Points = FRONTAL) -> Face:
    """A face around (100, 100) whose landmarks are turned clockwise about that point; its box stays."""
    turn = cmath.exp(1j * math.radians(degrees))
    points = [complex(x, y) * turn + (100 + 100j) for x, y in landmarks]
    return Face((80.0, 75.0, 120.0, 125.0), 0.9, tuple((point.real, point.imag) for point in points))
