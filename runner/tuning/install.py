"""What a person may install so that system steps work without a password: shown, never installed by us.

Root-owned copies of the scripts at a fixed place, a sudoers line with FIXED arguments (a script that its user may
change would be root for everybody), and a unit that sets the steps at boot and puts them back. Called by the `tuning`
command.
"""

import getpass
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from runner import layout
from runner.tuning import script
from runner.tuning.journal import TuningJournal
from runner.tuning.script import INSTALLED, known_scripts
from runner.tuning.system import default_journal

SUDOERS = "/etc/sudoers.d/runner-tuning"
UNIT = "/etc/systemd/system/runner-tuning.service"
DAEMON = "/Library/LaunchDaemons/runner.tuning.plist"


def has_items(name: str) -> bool:
    """Whether a script needs an item (sysctl:vm.swappiness): `status` alone says nothing there."""
    return "\nITEMS=yes" in (layout.tuning_dir() / known_scripts()[name][0]).read_text(encoding="utf-8")


def _words(step: str, verb: str, value: str = "") -> list[str]:
    name, _, item = step.partition(":")
    return [known_scripts()[name][0], verb, *([item] if item else []), *([value] if value else [])]


def restore_command(step: str, old: str) -> str:
    """A line to paste: puts one step back without the runner."""
    path, *rest = _words(step, "revert", old)
    return shlex.join(["sudo", "sh", str(layout.tuning_dir() / path), *rest])


def _escaped(word: str) -> str:
    """sudoers(5): these characters have a meaning in a command's arguments."""
    return "".join(f"\\{char}" if char in ",:=\\" else char for char in word)


def page(steps: Mapping[str, str], words: Sequence[str], system: str) -> dict[str, Any]:
    """Shell lines for the copies, the sudoers text, and the boot unit, for the steps that this machine can take."""
    known = known_scripts()
    ours = {intent.step: intent.old for intent in TuningJournal(default_journal()).open_intents()}
    paths, rules = set(), []
    for step, wanted in steps.items():
        name = step.partition(":")[0]
        if name not in known or known[name][1] != system:
            continue
        report = script.call(step, "status")
        if report.state != "ok":
            continue
        before = ours.get(report.step, report.value)  # a value of ours is not what the way back leads to
        path = known[name][0]
        paths.add(path)
        calls = [_words(report.step, "apply", value) for value in wanted.split("|")]
        calls.append(_words(report.step, "revert", before))
        for _, *rest in calls:
            rules.append(" ".join([str(INSTALLED / path), *map(_escaped, rest)]))
    copies = [f"sudo install -d -o root -g {'wheel' if system == 'darwin' else 'root'} -m 755 {INSTALLED}"]
    for path in ["lib.sh", *sorted(paths)]:
        source = shlex.quote(str(layout.tuning_dir() / path))
        copies.append(f"sudo install -D -o root -m 755 {source} {INSTALLED / path}")
    if system == "darwin":  # install(1) of BSD has no -D
        copies = [line.replace("install -D", "install") for line in copies]
        copies.insert(1, f"sudo install -d -o root -g wheel -m 755 {INSTALLED}/macos")
    sudoers = [f"{getpass.getuser()} ALL=(root) NOPASSWD: {rule}" for rule in rules]
    return {"copies": copies if rules else [], "sudoers": sudoers, "unit": _unit(words, system) if rules else ""}


def _unit(words: Sequence[str], system: str) -> str:
    command = [sys.executable, "-m", "runner", "tuning"]
    if system == "darwin":
        listed = "".join(f"<string>{escape(word)}</string>" for word in [*command, "apply", *words])
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n<plist version="1.0"><dict>\n'
            f"  <key>Label</key><string>runner.tuning</string>\n"
            f"  <key>UserName</key><string>{getpass.getuser()}</string>\n"
            f"  <key>ProgramArguments</key><array>{listed}</array>\n  <key>RunAtLoad</key><true/>\n</dict></plist>"
        )
    return (
        "[Unit]\nDescription=Settings of the machine for runner\n\n[Service]\nType=oneshot\nRemainAfterExit=yes\n"
        f"User={getpass.getuser()}\nExecStart={shlex.join([*command, 'apply', *words])}\n"
        f"ExecStop={shlex.join([*command, 'revert'])}\n\n[Install]\nWantedBy=multi-user.target"
    )


def text(found: Mapping[str, Any]) -> str:
    """As a page for a person."""
    if not found["sudoers"]:
        return "none of these steps can be set on this machine: nothing to install"
    unit = DAEMON if "plist" in found["unit"] else UNIT
    return "\n".join(
        [
            "# Nothing was installed. 1. Copies that only root can change:",
            *found["copies"],
            "",
            f"# 2. Fixed commands without a password: sudo visudo -f {SUDOERS}",
            "#    The last of each step puts back what this machine has now; print again when that changes:",
            *found["sudoers"],
            "",
            f"# 3. Set at boot, and put back at the end (what a power cut left goes back first): {unit}",
            found["unit"],
        ]
    )
