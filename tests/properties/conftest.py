"""How many inputs are tried: some in the suite, the same each time; with --hypothesis-profile=thorough 10,000 others.

The recorded run is python -m pytest tests/properties --numprocesses=0 --hypothesis-profile=thorough.
"""

import pytest
from hypothesis import HealthCheck, settings

from tests.properties import cases

_COMMON = {"database": None, "deadline": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("fast", max_examples=20, derandomize=True, **_COMMON)
settings.register_profile("thorough", max_examples=400, print_blob=True, **_COMMON)
settings.load_profile("fast")  # which --hypothesis-profile, if any, replaces before tests are collected


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder that all inputs of a file's tests are written to, one after the other."""
    return tmp_path_factory.mktemp("inputs")


def pytest_terminal_summary(terminalreporter):
    if not cases.COUNTS or settings().max_examples < 400:
        return
    terminalreporter.section("inputs tried")
    terminalreporter.line(f"{'kind':<28}{'cases':>8}{'refused':>9}{'seconds':>9}{'slowest':>9}")
    for kind, count in cases.COUNTS.items():
        terminalreporter.line(f"{kind:<28}{count.cases:>8}{count.refused:>9}{count.seconds:>9.1f}{count.slowest:>9.2f}")
    every = cases.COUNTS.values()
    terminalreporter.line(
        f"{'all':<28}{sum(one.cases for one in every):>8}{sum(one.refused for one in every):>9}"
        f"{sum(one.seconds for one in every):>9.1f}{max(one.slowest for one in every):>9.2f}"
    )
