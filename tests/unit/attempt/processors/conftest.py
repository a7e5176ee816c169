from __future__ import annotations

import pytest

from tests.unit.attempt.processors.fakes import FakeModel, KeptSteps


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()


@pytest.fixture
def checkpoint() -> KeptSteps:
    return KeptSteps()
