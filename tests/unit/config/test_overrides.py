"""The words after `runner`: literal values reach the configuration unchanged, whatever is in them."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from runner.config import overrides
from runner.errors import UsageError
from runner.machine import CoreKind, Machine

LINUX = Machine(
    os="linux",
    arch="x86_64",
    chip="test",
    physical_bytes=24 * 2**30,
    memory_bytes=24 * 2**30,
    memory_limit="physical memory",
    cores=(CoreKind("standard", 2, ((0,), (1,))),),
    cpu_quota=None,
    boot_id="b",
)


def hydra_value(word: str) -> object:
    return OverridesParser.create().parse_override(word).value()


PATHS = [
    "plain",
    "with space",
    "a,b",
    "[draft]",
    "[2024] reports",
    "a=b",
    "#1",
    "it's",
    'say "hi"',
    "'",
    "\\",
    "back\\'slash",
    "ends\\",
    "ümläut/文書",
    "{x}",
    "a:b",
    "(x)",
    "~/x",
    "  lead",
    "1e3",
    "true",
    "*?!&|;$",
]


@pytest.mark.parametrize("path", [p for p in PATHS if p != "[draft]"])
@pytest.mark.parametrize("key", ["input", "output.dir", "model.path"])
def test_a_path_reaches_hydra_unchanged(key: str, path: str) -> None:
    words = overrides.read_words([f"{key}={path}"], LINUX)
    assert hydra_value(words.overrides[-1]) == path


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_quoting_is_undone_by_hydras_parser_and_by_unquote(text: str) -> None:
    assert overrides.unquote(overrides.quote(text)) == text
    assert overrides.literal_value("output.dir", overrides.quote(text)) == overrides.quote(text)
    if "${" not in text:
        assert hydra_value("k=" + overrides.quote(text)) == text


@pytest.mark.parametrize("path", PATHS)
def test_rewritten_words_may_be_rewritten_again(path: str) -> None:
    once = overrides.read_words([f"input={path}"], LINUX).overrides
    assert overrides.read_words(once, LINUX).overrides == once


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("[a,b]", ["a", "b"]),
        ("[a b, c]", ["a b", "c"]),
        ("['a,b',c]", ["a,b", "c"]),
        ('["x", "y z"]', ["x", "y z"]),
        ("[it's,b]", ["it's", "b"]),
        ("[]", []),
    ],
)
def test_a_list_of_inputs_is_a_list(text: str, items: list[str]) -> None:
    word = overrides.read_words([f"input={text}"], LINUX).overrides[-1]
    assert hydra_value(word) == items


def test_a_folder_in_brackets_that_exists_is_a_path(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "[draft]").mkdir()
    assert hydra_value(overrides.read_words(["input=[draft]"], LINUX).overrides[-1]) == "[draft]"


def test_profile_gets_its_plus() -> None:
    words = overrides.read_words(["profile=m3max"], LINUX)
    assert words.overrides == ("+profile=m3max",)
    assert words.chosen_by == "user"


def test_no_profile_is_chosen_from_the_machine_with_a_reason() -> None:
    words = overrides.read_words(["job=qa"], LINUX)
    assert words.profiles == ("linux_cpu",)
    assert words.chosen_by == "machine"
    assert "Linux" in words.reason


@pytest.mark.parametrize("word", ["+profile=auto", "profile=auto", "+profile=[auto,mine]"])
def test_auto_is_replaced_by_the_fitting_profile(word: str) -> None:
    words = overrides.read_words([word], LINUX)
    assert words.profiles[0] == "linux_cpu"
    assert words.reason


def test_stacked_profiles_keep_their_order() -> None:
    assert overrides.read_words(["+profile=[m3max,mine]"], LINUX).profiles == ("m3max", "mine")


def test_flags_with_values_are_not_overrides() -> None:
    words = overrides.read_words(["--package", "job", "-m", "--config-dir", "x", "job=qa"], LINUX)
    assert words.flags == ("--package", "job", "-m", "--config-dir", "x")
    assert words.config_dir == "x"
    assert words.multirun


def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(UsageError):
        overrides.read_words(["input=\udcff"], LINUX)


def test_only_keys_of_the_command_line_are_explicit() -> None:
    words = overrides.read_words(["+profile=m3max", "memory.rust=1GiB", "cores=cpu"], LINUX)
    assert overrides.explicit_keys(words.overrides) == {"memory.rust", "cores"}
