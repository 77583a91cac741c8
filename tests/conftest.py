"""Fixtures and rules for every test: what a machine lacks is skipped with its reason; in CI that is a failure.

Does not start runs (tests/end_to_end does). Called by pytest.
"""

import os
import random

import pytest

REQUIRE_ALL = os.environ.get("RUNNER_REQUIRE_ALL") == "1"


def pytest_configure(config: pytest.Config) -> None:
    seed = int(os.environ.get("RUNNER_TEST_SEED", random.SystemRandom().randrange(2**32)))
    os.environ["RUNNER_TEST_SEED"] = str(seed)


def pytest_report_header(config: pytest.Config) -> str:
    seed = os.environ["RUNNER_TEST_SEED"]
    return f"RUNNER_TEST_SEED={seed} (set it to repeat), RUNNER_REQUIRE_ALL={int(REQUIRE_ALL)}"


@pytest.fixture
def seeded() -> random.Random:
    """Randomness whose seed stands in the header of the report."""
    return random.Random(int(os.environ["RUNNER_TEST_SEED"]))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """With RUNNER_REQUIRE_ALL=1 a skip is a failure, unless its reason starts with 'platform:' (another system)."""
    outcome = yield
    report = outcome.get_result()
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if "platform:" not in reason:
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid}: skipped under RUNNER_REQUIRE_ALL=1: {reason}"
