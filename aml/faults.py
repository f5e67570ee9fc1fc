"""Faults as they happen to meters, injected into clean rows: how a detector without labels is measured.

Sizes are drawn relative to the series' own `high` (the 95th percentile of its absolute values), so that the same faults
suit a home and a plant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from aml.rows import Floats


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Attributes:
        longest: it lasts at least `shortest` and at most `longest` rows.
        apply: (clean values of the faulty rows, the series' high, random numbers) -> the faulty values.
    """

    name: str
    shortest: int
    longest: int
    apply: Callable[[Floats, float, Generator], Floats]


def _spike(clean: Floats, high: float, random: Generator) -> Floats:
    return clean + high * random.uniform(2.0, 5.0)


def _dip(clean: Floats, high: float, random: Generator) -> Floats:
    return clean * random.uniform(0.0, 0.2)


def _negative(clean: Floats, high: float, random: Generator) -> Floats:
    return -np.abs(clean) - high * random.uniform(0.1, 1.0)


def _zero_run(clean: Floats, high: float, random: Generator) -> Floats:
    return np.zeros(len(clean))


def _stuck_value(clean: Floats, high: float, random: Generator) -> Floats:
    return np.full(len(clean), clean[0])


def _level_shift(clean: Floats, high: float, random: Generator) -> Floats:
    return clean * random.uniform(1.5, 3.0)


def _leak(clean: Floats, high: float, random: Generator) -> Floats:
    return clean + high * random.uniform(0.2, 0.5)


FAULTS = (
    Fault("spike", 1, 1, _spike),
    Fault("dip", 1, 3, _dip),
    Fault("negative", 1, 3, _negative),
    Fault("zero_run", 6, 24, _zero_run),
    Fault("stuck_value", 12, 48, _stuck_value),
    Fault("level_shift", 24, 48, _level_shift),
    Fault("leak", 24, 72, _leak),
)
