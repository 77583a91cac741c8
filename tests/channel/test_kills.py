"""Kill -9 from outside, at any moment: nothing lost, nothing twice. And each planted bug must turn this red."""

import os

import pytest

from tests.channel.torture import BUGS, Torture

SEED = int(os.environ["RUNNER_TEST_SEED"])


@pytest.mark.parametrize("spin_us", [0, 50])
def test_documents_survive_killed_workers_exactly_once(spin_us: int) -> None:
    verdict = Torture(SEED, kills=30, spin_us=spin_us).run()
    assert verdict.healthy, verdict
    assert verdict.requeued > 0, verdict


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_turns_the_torture_red(bug: str) -> None:
    # A kill has to meet the moment that the bug gets wrong; on a busy machine twelve kills once met none.
    assert any(not Torture(SEED + more, kills=12, bug=bug).run().healthy for more in range(8))


@pytest.mark.torture
@pytest.mark.timeout(1800)  # a thousand interpreters start
def test_documents_survive_a_thousand_kills() -> None:
    verdict = Torture(SEED, kills=1000).run()
    print(verdict)
    assert verdict.healthy, verdict
    assert verdict.kills >= 1000
