"""Composition with Hydra: the schema, the folders of profiles, one job's tree. The only module of this package that
imports it.

`compose` is for sub-commands that need a configuration; a run goes through `hydra.main` in cli, which uses
`register` and `from_composed`. Hydra's own errors become UsageError here.
"""

import difflib
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from runner import layout
from runner.config.door import pass_door, profile_values
from runner.config.overrides import Words, read_words
from runner.config.schema import RunnerConfig, Tree
from runner.config.tree import hydra_schema, unknown_key
from runner.errors import Problem, UsageError
from runner.machine import Machine, detect

COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException, YAMLError, UnicodeDecodeError)


def register(words: Words) -> None:
    """Make schema and profile folders known to Hydra, which takes the chosen profiles as they are: they are looked at
    before. May be called again with another --config-dir."""
    _check_profiles(words)
    folders = layout.profile_folders(words.config_dir)

    class ProfileFolders(SearchPathPlugin):
        """The user's folders first, ours last."""

        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            for source, path in folders:
                search_path.append(f"runner-{source}", f"file://{path}")

    plugins = Plugins.instance()
    for known in list(plugins.discover(SearchPathPlugin)):
        if known.__name__ == "ProfileFolders" and known.__module__ == __name__:
            plugins.plugin_type_to_subclass_list[SearchPathPlugin].remove(known)
    plugins.register(ProfileFolders)
    ConfigStore.instance().store(name="runner_schema", node=hydra_schema(Tree), provider="runner")
    sweep = layout.new_id()
    OmegaConf.register_new_resolver("runner_id", lambda: sweep, replace=True)


def from_composed(cfg: DictConfig, words: Words, machine: Machine) -> RunnerConfig:
    """The frozen configuration of a composed tree without its `hydra` node."""
    _check_profiles(words)
    try:
        data: Any = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=False)
    except OmegaConfBaseException as error:
        raise usage_error(error) from error
    return pass_door(data, words, machine, OmegaConf.to_yaml(cfg, resolve=False))


def compose(argv: Sequence[str], machine: Machine | None = None) -> RunnerConfig:
    """The configuration that `runner ARGV` would run with, on this machine unless facts of another are given."""
    machine = machine or detect()
    words = read_words(argv, machine)
    wrong = [flag for flag in words.flags if flag in ("-m", "--multirun")]
    if wrong:
        raise UsageError(f"{wrong[0]} starts a sweep, this command looks at one configuration", "leave it out")
    register(words)
    GlobalHydra.instance().clear()
    try:
        opened: AbstractContextManager[None] = initialize_config_dir(str(layout.conf_dir()), version_base="1.3")
        with opened:
            cfg = hydra_compose("config", overrides=list(words.overrides))
    except COMPOSITION_ERRORS as error:
        raise usage_error(error) from error
    return from_composed(cfg, words, machine)


def group_choices(group: str) -> list[str]:
    """Names that `group=` accepts, from every folder of the search path."""
    names: set[str] = set()
    for _, root in [("", layout.conf_dir()), *layout.profile_folders()]:
        names |= {file.stem for file in (root / group).glob("*.yaml")}
    return sorted(names)


def _check_profiles(words: Words) -> None:
    problems = []
    for name in words.profiles:
        files = [root / "profile" / f"{name}.yaml" for _, root in layout.profile_folders(words.config_dir)]
        file = next((file for file in files if file.is_file()), None)
        if file is None:
            continue  # Hydra says so, with the choices
        try:
            keys = profile_values(file)
        except (YAMLError, ValueError, OSError) as error:
            problems.append(
                Problem(f"profile {name} ({file}) cannot be read: {' '.join(str(error).split())}", _BROKEN_FILE)
            )
            continue
        if keys:
            problems.append(
                Problem(
                    f"profile {name} ({file}) sets {', '.join(keys)}: a profile only chooses groups",
                    f"move the values to a group file, for example {file.parent.parent}/memory/{name}.yaml, "
                    f"and choose it under defaults: '- override /memory: {name}'",
                )
            )
    if problems:
        raise UsageError(problems=problems)


# ---- Hydra's errors in our form ----


def usage_error(error: Exception) -> UsageError:
    """What Hydra or OmegaConf found wrong, with the choices or the nearest key as the cure."""
    texts = [str(error).strip()]
    cause = error.__cause__
    while cause is not None:
        if str(cause).strip() and str(cause).strip() not in texts[0]:
            texts.append(str(cause).strip())
        cause = cause.__cause__
    text = "\n".join(texts)
    if isinstance(error, (YAMLError, UnicodeDecodeError)):
        return UsageError(f"a configuration file cannot be read: {' '.join(text.split())}", _BROKEN_FILE)
    for form in (_unknown_choice, _unknown_key, _wrong_value, _unreadable_word):
        if found := form(text):
            return UsageError(problems=[found])
    said = [line for line in text.splitlines() if line.strip() and not _NOISE.match(line.strip())]
    return UsageError(" ".join(said[:3]), "runner --cfg job shows what is composed, runner --help the groups")


_NOISE = re.compile(r"full_key:|object_type=|reference_type=|See https://hydra")
_BROKEN_FILE = "correct the file; with its group and profile left out the rest works"


def _unknown_choice(text: str) -> Problem | None:
    match = re.search(r"Could not find '(\w[\w/]*)/([^']*)'", text) or re.search(
        r"In '[^']*': Could not (?:find|load) '(\w[\w/]*)/([^']*)'", text
    )
    if match is None:
        return None
    group, name = match[1], match[2]
    choices = group_choices(group)
    near = difflib.get_close_matches(name, choices, 1)
    lead = f"did you mean {group}={near[0]}? " if near else ""
    return Problem(f"{group} '{name}' is not known", f"{lead}choices: {', '.join(choices)}")


def _unknown_key(text: str) -> Problem | None:
    match = re.search(r"(?:Key|key) '([^']*)' (?:is )?not in '?(?:struct|\w+)'?", text)
    return None if match is None else unknown_key(_full_key(text) or match[1])


def _wrong_value(text: str) -> Problem | None:
    """A value of the wrong type, null, a deleted key, a variable or reference that is not there."""
    key = _full_key(text)
    if "could not be converted" in text or "is not a subclass" in text or "Invalid type assigned" in text:
        first = next((line for line in text.splitlines() if "Value" in line or "type" in line), text.splitlines()[0])
        return Problem(f"{key}: {first}" if key else first, "runner --cfg job shows the key's usual value")
    if match := re.search(r"Additional config directory '([^']*)' not found", text):
        return Problem(f"--config-dir is '{match[1]}', which is no folder", "--config-dir FOLDER, or leave it out")
    if match := re.search(r"Environment variable '([^']*)' not found", text):
        return Problem(f"environment variable '{match[1]}' is not set", f"export {match[1]}=..., then start again")
    if match := re.search(r"Interpolation key '([^']*)' not found", text):
        return Problem(
            f"{key} refers to ${{{match[1]}}}, and there is no key '{match[1]}'",
            "${KEY} takes another key's value; write \\${ where the text itself is meant",
        )
    if "is not Optional" in text:
        return Problem(f"{key} is null, it must have a value", "runner --cfg job shows the key's usual value")
    if "is not a ListConfig" in text:
        return Problem(f"{key} must be a list", f"'{key}=[a,b]', also for one: '{key}=[a]'")
    if "does not support deletion" in text:
        return Problem(f"{key} cannot be taken away, a run needs it", f"leave '~{key}' out, or set {key}=VALUE")
    return None


def _unreadable_word(text: str) -> Problem | None:
    """A word that Hydra's grammar does not take."""
    match = re.search(r"(?:no viable alternative at|mismatched|extraneous|token recognition error at) [^\n]*", text)
    if match is None:
        return None
    return Problem(
        f"an override cannot be read: {match[0]}",
        "a value with brackets, commas, quotes or spaces stands in two kinds of quotes: \"key='a [value]'\"",
    )


def _full_key(text: str) -> str | None:
    match = re.search(r"full_key: (\S+)", text)
    return match[1] if match else None
