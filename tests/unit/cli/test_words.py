"""Words of a sub-command and its options stand in any order, as Hydra's may."""

import pytest

from runner.commands.parser import Parser
from runner.errors import UsageError


def parser() -> Parser:
    made = Parser(prog="runner tune")
    part = made.add_subparsers(dest="part", parser_class=Parser).add_parser("prove")
    part.add_argument("words", nargs="*")
    part.add_argument("--step", action="append", default=[])
    return made


def test_overrides_may_stand_behind_an_option() -> None:
    found = parser().parse_with_words(["prove", "blas", "--step", "x=a|b", "job=qa", "--step", "y=a|b", "input=papers"])
    assert found.words == ["blas", "job=qa", "input=papers"]
    assert found.step == ["x=a|b", "y=a|b"]


def test_an_unknown_option_is_a_mistake_wherever_it_stands() -> None:
    with pytest.raises(UsageError, match="unrecognized arguments: --setp"):
        parser().parse_with_words(["prove", "blas", "--setp", "x=a|b"])
