"""Made-up crimes in the shape of Chicago's public file (data set `dqcy-ctma`): its columns, codes and flaws.

What holds of the real file holds here: the IUCR code determines type, description and FBI code; a beat lies in one
district; IUCR codes, beats and districts keep their leading zeros; some rows have no coordinates, a few no ward or no
place; the frequent codes are thousands of times as frequent as the rare ones. Always the same for the same arguments.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.random import Generator
from numpy.typing import NDArray

from local.iucr import Offence, offences

COLUMNS = (
    *("id", "case_number", "date", "block", "iucr", "primary_type", "description", "location_description", "arrest"),
    *("domestic", "beat", "district", "ward", "community_area", "fbi_code", "x_coordinate", "y_coordinate", "year"),
    *("updated_on", "latitude", "longitude", "location"),
)
_BATCH = 65_536
START = datetime(2024, 1, 1)  # noqa: DTZ001 - the city writes local wall-clock time

_DISTRICTS = (*range(1, 13), *range(14, 21), 22, 24, 25)
_BEATS = tuple(district * 100 + part for district in _DISTRICTS for part in (11, 12, 13, 22, 23, 32, 33))
_WARDS, _AREAS = 50, 77
_SOUTH, _NORTH, _WEST, _EAST = 41.66, 42.01, -87.82, -87.54
_HOURS = (54, 34, 30, 26, 21, 19, 22, 28, 38, 43, 46, 48, 56, 50, 51, 53, 53, 55, 56, 55, 53, 51, 50, 46)
_STREETS = ("N CLARK ST", "N STATE ST", "S HALSTED ST", "S MICHIGAN AVE", "W MADISON ST", "W 63RD ST", "E 79TH ST")
_PLACES = {
    **{"STREET": 28, "APARTMENT": 19, "RESIDENCE": 12, "SIDEWALK": 6, "SMALL RETAIL STORE": 4, "RESTAURANT": 3},
    **{"PARKING LOT / GARAGE (NON RESIDENTIAL)": 4, "DEPARTMENT STORE": 3, "ALLEY": 3, "OTHER (SPECIFY)": 3},
    **{"COMMERCIAL / BUSINESS OFFICE": 2, "VEHICLE NON-COMMERCIAL": 2, "RESIDENCE - PORCH / HALLWAY": 2},
    **{"GROCERY FOOD STORE": 2, "SCHOOL - PUBLIC BUILDING": 1, "CTA TRAIN": 1, 'CTA "L" TRAIN': 1, "BAR OR TAVERN": 1},
}
_SHOPS = ("DEPARTMENT STORE", "SMALL RETAIL STORE", "GROCERY FOOD STORE")
_ARRESTED = {
    **dict.fromkeys(("NARCOTICS", "PROSTITUTION", "GAMBLING", "LIQUOR LAW VIOLATION"), 0.97),
    **{"INTERFERENCE WITH PUBLIC OFFICER": 0.94, "WEAPONS VIOLATION": 0.58, "CRIMINAL TRESPASS": 0.4},
    **{"HOMICIDE": 0.45, "BATTERY": 0.17, "ASSAULT": 0.11, "THEFT": 0.08, "MOTOR VEHICLE THEFT": 0.03},
}
_WITHOUT = {"coordinates": 0.01, "location_description": 0.004, "ward": 0.0005}


def crimes(rows: int, seed: int, start: datetime = START, days: int = 366) -> pa.Table:
    """So many crimes of a stretch of days, in order of time; every column is text, empty where the city has nothing."""
    chance = np.random.default_rng(seed)
    kinds = offences()
    kind = chance.choice(len(kinds), rows, p=[each.share for each in kinds])
    minutes = np.sort(_minutes(chance, rows, days))
    times = np.datetime64(start, "ms") + (minutes * 60_000).astype("timedelta64[ms]")
    beat = chance.integers(len(_BEATS), size=rows)
    first = int(chance.integers(13_300_000, 13_400_000))
    columns = {
        "id": _texts(first + np.arange(rows)),
        "case_number": _joined("JH", _texts(100_000 + (first + np.arange(rows)) % 900_000)),
        "date": _moments(times),
        "block": _picked([f"{n:03d}XX {street}" for n in range(1, 60) for street in _STREETS], chance, rows),
        "iucr": _of(kind, [each.iucr for each in kinds]),
        "primary_type": _of(kind, [each.type for each in kinds]),
        "description": _of(kind, [each.description for each in kinds]),
        "location_description": _without("location_description", _places(kind, kinds, chance), chance),
        "arrest": _flags(kind, [_ARRESTED.get(each.type, 0.1) for each in kinds], chance),
        "domestic": _flags(kind, [_domestic(each) for each in kinds], chance),
        "beat": _of(beat, [f"{number:04d}" for number in _BEATS]),
        "district": _of(beat, [f"{number // 100:03d}" for number in _BEATS]),
        "ward": _without("ward", _of(beat, _spread(_WARDS)), chance),
        "community_area": _of(beat, _spread(_AREAS)),
        "fbi_code": _of(kind, [each.fbi for each in kinds]),
        "year": _texts(times.astype("datetime64[Y]").astype(np.int64) + 1970),
        "updated_on": _moments(_eight_days_later(times)),
        **_coordinates(beat, chance),
    }
    return pa.table({name: columns[name] for name in COLUMNS})


def as_csv(table: pa.Table, columns: Sequence[str] = COLUMNS) -> bytes:
    """The file as the city's portal writes it: commas, a header, quotes where a comma needs them, UTF-8."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    for batch in table.select(list(columns)).to_batches(_BATCH):
        writer.writerows(zip(*(column.to_pylist() for column in batch.columns), strict=True))
    return file.getvalue().encode()


def _minutes(chance: Generator, rows: int, days: int) -> NDArray[np.int64]:
    hours = np.array(_HOURS) / sum(_HOURS)
    day, hour = chance.integers(days, size=rows), chance.choice(24, rows, p=hours)
    # what nobody knows better happened at the full hour
    minute = np.where(chance.random(rows) < 0.3, 0, chance.integers(60, size=rows))
    return np.asarray(day * 1440 + hour * 60 + minute, dtype=np.int64)


def _domestic(offence: Offence) -> float:
    if "DOMESTIC" in offence.description:
        return 1.0
    return {"BATTERY": 0.03, "ASSAULT": 0.25, "OTHER OFFENSE": 0.4, "OFFENSE INVOLVING CHILDREN": 0.5}.get(
        offence.type, 0.05
    )


def _places(kind: NDArray[np.int64], kinds: Sequence[Offence], chance: Generator) -> pa.Array:
    """Retail theft happens in shops, cars are stolen in streets, everything else anywhere."""
    names, weights = list(_PLACES), np.array(list(_PLACES.values()), dtype=float)
    place = chance.choice(len(names), len(kind), p=weights / weights.sum())
    shop = np.array([names.index(name) for name in _SHOPS])[chance.integers(len(_SHOPS), size=len(kind))]
    retail = np.array([each.description == "RETAIL THEFT" for each in kinds])[kind]
    street = np.array([each.type == "MOTOR VEHICLE THEFT" for each in kinds])[kind] & (chance.random(len(kind)) < 0.7)
    return _of(np.where(retail, shop, np.where(street, names.index("STREET"), place)), names)


def _coordinates(beat: NDArray[np.int64], chance: Generator) -> dict[str, pa.Array]:
    """Beats from south to north in a zigzag; x and y in feet, as the state's plane has them, as far as a line goes."""
    share = (beat + chance.random(len(beat))) / len(_BEATS)
    latitude = np.round(_SOUTH + (_NORTH - _SOUTH) * share, 9)
    longitude = np.round(_WEST + (_EAST - _WEST) * (beat % 7 + chance.random(len(beat))) / 7, 9)
    x, y = 1_176_000 + (longitude + 87.65) * 273_000, 1_900_000 + (latitude - 41.88) * 364_500
    lost = chance.random(len(beat)) < _WITHOUT["coordinates"]
    texts = {"latitude": _texts(latitude), "longitude": _texts(longitude)}
    texts |= {"x_coordinate": _texts(x.astype(np.int64)), "y_coordinate": _texts(y.astype(np.int64))}
    inside = pc.binary_join_element_wise(texts["latitude"], texts["longitude"], ", ")
    texts["location"] = pc.binary_join_element_wise("(", inside, ")", "")
    return {name: _blank(column, lost) for name, column in texts.items()}


def _spread(number: int) -> list[str]:
    """A number from 1 up for every beat, neighbours alike."""
    return [str(1 + position * number // len(_BEATS)) for position in range(len(_BEATS))]


def _of(codes: NDArray[np.int64], names: Sequence[str]) -> pa.Array:
    return pa.array(names).take(pa.array(codes))


def _picked(names: Sequence[str], chance: Generator, rows: int) -> pa.Array:
    return _of(chance.integers(len(names), size=rows), names)


def _flags(kind: NDArray[np.int64], shares: Sequence[float], chance: Generator) -> pa.Array:
    return _of((chance.random(len(kind)) < np.array(shares)[kind]).astype(np.int64), ["false", "true"])


def _without(name: str, column: pa.Array, chance: Generator) -> pa.Array:
    return _blank(column, chance.random(len(column)) < _WITHOUT[name])


def _blank(column: pa.Array, lost: NDArray[np.bool_]) -> pa.Array:
    return pc.if_else(pa.array(lost), "", column)


def _eight_days_later(times: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    return (times.astype("datetime64[D]") + np.timedelta64(8, "D")).astype("datetime64[ms]")


def _moments(times: NDArray[np.datetime64]) -> pa.Array:
    return pc.strftime(pa.array(times), "%Y-%m-%dT%H:%M:%S")


def _texts(numbers: NDArray[np.int64] | NDArray[np.float64]) -> pa.Array:
    return pa.array(numbers).cast(pa.string())


def _joined(prefix: str, column: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(prefix, column, "")
