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

from runner import layout
from runner.config.door import pass_door, profile_values
from runner.config.overrides import Words, read_words
from runner.config.schema import RunnerConfig, Tree
from runner.config.tree import hydra_schema
from runner.errors import Problem, UsageError
from runner.machine import Machine, detect

COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException)


def register(config_dir: str | None = None) -> None:
    """Make schema and profile folders known to Hydra. May be called again with another --config-dir."""
    folders = layout.profile_folders(config_dir)

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
    register(words.config_dir)
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
        if file is not None and (keys := profile_values(file)):
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
    if match := re.search(r"Could not find '(\w[\w/]*)/([^']*)'", text) or re.search(
        r"In '[^']*': Could not (?:find|load) '(\w[\w/]*)/([^']*)'", text
    ):
        group, name = match[1], match[2]
        choices = group_choices(group)
        near = difflib.get_close_matches(name, choices, 1)
        lead = f"did you mean {group}={near[0]}? " if near else ""
        return UsageError(f"{group} '{name}' is not known", f"{lead}choices: {', '.join(choices)}")
    if match := re.search(r"(?:Key|key) '([^']*)' (?:is )?not in '?(?:struct|\w+)'?", text):
        full = _full_key(text) or match[1]
        near = difflib.get_close_matches(full, all_keys(), 1, 0.5)
        return UsageError(
            f"there is no key '{full}'",
            (f"did you mean {near[0]}? " if near else "") + "runner --cfg job prints all keys",
        )
    if "could not be converted" in text or "is not a subclass" in text or "Invalid type assigned" in text:
        first = next((line for line in text.splitlines() if "Value" in line or "type" in line), text.splitlines()[0])
        key = _full_key(text)
        where = f"{key}: " if key else ""
        return UsageError(f"{where}{first}", "runner --cfg job shows the key's usual value")
    if match := re.search(r"Environment variable '([^']*)' not found", text):
        return UsageError(f"environment variable '{match[1]}' is not set", f"export {match[1]}=..., then start again")
    lines = [line for line in text.splitlines() if line.strip()]
    return UsageError(" ".join(lines[:3]), "runner --cfg job shows what is composed, runner --help the groups")


def _full_key(text: str) -> str | None:
    match = re.search(r"full_key: (\S+)", text)
    return match[1] if match else None


def all_keys() -> list[str]:
    """Every key of the schema, dotted."""
    import dataclasses
    import typing

    def walk(cls: type, at: str) -> list[str]:
        out: list[str] = []
        hints = typing.get_type_hints(cls)
        for field in dataclasses.fields(cls):
            out.append(at + field.name)
            if dataclasses.is_dataclass(hints[field.name]):
                out += walk(hints[field.name], f"{at}{field.name}.")
        return out

    return walk(Tree, "")
