"""A contract whose gate does not change when the gas dataset's figures are tuned."""

from __future__ import annotations

import pytest

from tests.functional.retraining.world import GAS


@pytest.fixture(autouse=True)
def _a_gate_with_bounds_and_a_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("making", "promotion", "verification", "events"):
        monkeypatch.setattr(f"shared.retraining.{module}.load_contract", {"gas": GAS}.__getitem__)
