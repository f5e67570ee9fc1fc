"""The real penguins are read from their package, without loading what the package would."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from collections import Counter

from local.installing import ROOT
from local.penguins import COLUMNS, as_csv, penguins


def test_every_bird_is_there_with_what_was_not_measured() -> None:
    birds = penguins()
    assert Counter(bird["species"] for bird in birds) == {"Adelie": 152, "Gentoo": 124, "Chinstrap": 68}
    assert all(tuple(bird) == COLUMNS for bird in birds)
    assert sum(bird["bill_length_mm"] == "NA" for bird in birds) == 2
    assert sum(bird["sex"] == "NA" for bird in birds) == 11


def test_a_file_holds_the_columns_that_are_asked_for() -> None:
    birds = penguins()[:3]
    text = as_csv(birds, ("island", "body_mass_g"))
    assert list(csv.DictReader(io.StringIO(text))) == [
        {"island": bird["island"], "body_mass_g": bird["body_mass_g"]} for bird in birds
    ]
    assert list(csv.DictReader(io.StringIO(as_csv(birds)))) == birds


def test_pandas_is_not_loaded_for_it() -> None:
    code = "import sys; from local.penguins import penguins; penguins(); sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0
