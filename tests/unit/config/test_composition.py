"""Every profile, job and group file composes, a foreign profile is fitted with a list, and profiles hold no values."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from runner import layout
from runner.config import catalogue, compose
from runner.config.door import profile_values
from runner.config.fit import least_system
from runner.errors import UsageError
from runner.machine import CoreKind, Machine, choose_profile

GIB = 2**30
LINUX = Machine(
    os="linux",
    arch="x86_64",
    chip="test",
    physical_bytes=24 * GIB,
    memory_bytes=24 * GIB,
    memory_limit="physical memory",
    cores=(CoreKind("standard", 2, ((0,), (1,))),),
    cpu_quota=None,
    boot_id="b",
)
M3MAX = replace(
    LINUX,
    os="darwin",
    arch="arm64",
    chip="Apple M3 Max",
    physical_bytes=128 * GIB,
    memory_bytes=128 * GIB,
    cores=(CoreKind("performance", 12, ()), CoreKind("efficiency", 4, ())),
)
PROFILES = sorted(file.stem for file in (layout.profiles_dir() / "profile").glob("*.yaml"))
JOBS = sorted(file.stem for file in (layout.conf_dir() / "job").glob("*.yaml"))
CHOICES = sorted(
    f"{file.parent.name}={file.stem}"
    for root in (layout.conf_dir(), layout.profiles_dir())
    for file in root.glob("*/*.yaml")
    if file.parent.name not in ("profile", "job", "prove", "search")  # the last two: no groups of the configuration
)


@pytest.fixture
def documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "a.txt").write_text("text")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return folder


def composed(documents: Path, *words: str, machine: Machine = LINUX):
    return compose.compose([f"input={documents}", *words], machine)


def problems(documents: Path, *words: str, machine: Machine = LINUX) -> list[str]:
    with pytest.raises(UsageError) as caught:
        composed(documents, *words, machine=machine)
    assert caught.value.exit_code == 2
    assert all(each.cure for each in caught.value.problems)
    return [f"{each.text} | {each.cure}" for each in caught.value.problems]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("machine", [LINUX, M3MAX], ids=["linux", "m3max"])
def test_every_profile_composes_on_every_machine(documents: Path, profile: str, machine: Machine) -> None:
    config = composed(documents, f"+profile={profile}", "model=smollm2-135m", machine=machine)
    memory = config.memory
    pools = memory.rust_bytes + memory.mlx_bytes + memory.ipc_bytes + memory.system_bytes
    assert pools <= memory.total_bytes <= machine.memory_bytes
    assert memory.system_bytes >= least_system(machine.memory_bytes)


@pytest.mark.parametrize("job", [job for job in JOBS if job != "prompt"])
def test_every_job_composes(documents: Path, job: str) -> None:
    config = composed(documents, f"job={job}")
    assert config.job.name == job
    assert "document" in config.job.template
    if config.job.output_schema is not None:
        assert json.loads(config.job.output_schema)
        assert config.job.grammar is not None
        assert config.job.notes == (), "a shipped schema is held as a whole"


@pytest.mark.parametrize("choice", CHOICES)
def test_every_group_file_composes(documents: Path, choice: str) -> None:
    words = [choice, *(["model.path=."] if choice == "model=path" else [])]
    if choice.startswith("memory=split"):
        assert composed(documents, "+profile=m3max", *words, machine=M3MAX)
    elif choice == "batching=apple_gpu" or choice == "cores=apple_gpu":
        assert composed(documents, *words, machine=M3MAX)
    else:
        assert composed(documents, *words)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_only_chooses_groups(profile: str) -> None:
    assert profile_values(layout.profiles_dir() / "profile" / f"{profile}.yaml") == []


def test_no_folder_takes_the_name_of_a_plain_key() -> None:
    for root in (layout.conf_dir(), layout.profiles_dir()):
        assert not (root / "input").exists()
        assert not (root / "output").exists()


def test_m3max_on_its_own_machine_is_not_changed(documents: Path) -> None:
    config = composed(documents, "+profile=m3max", machine=M3MAX)
    assert config.profile.fitted == ()
    sizes = [config.memory.rust_bytes, config.memory.mlx_bytes, config.memory.ipc_bytes, config.memory.system_bytes]
    assert [size // GIB for size in sizes] == [60, 45, 15, 8]
    assert config.cores.workers == 1


def test_m3max_on_a_small_linux_machine_is_fitted_with_a_list(documents: Path) -> None:
    config = composed(documents, "+profile=m3max", "model=smollm2-135m")
    changed = {fit.key for fit in config.profile.fitted}
    assert {"memory.total", "memory.rust", "memory.mlx", "memory.ipc", "memory.system", "cores.rust_threads"} <= changed
    assert {"batching.max_num_seqs", "batching.prefill_batch_size", "cores.workers"} <= changed
    assert all(fit.was and fit.now and fit.why for fit in config.profile.fitted)
    assert config.memory.rust_bytes > config.memory.mlx_bytes > config.memory.ipc_bytes


def test_strict_refuses_a_foreign_machine(documents: Path) -> None:
    found = problems(documents, "+profile=m3max", "model=smollm2-135m", "machine.strict=true")
    assert "machine.strict" in found[0]
    assert "linux instead of darwin" in found[0]


def test_a_value_of_the_command_line_is_not_fitted_but_refused(documents: Path) -> None:
    found = problems(documents, "+profile=m3max", "model=smollm2-135m", "memory.rust=60GiB")
    assert "pools add up" in found[0]


def test_all_problems_are_shown_at_once(documents: Path) -> None:
    found = problems(
        documents,
        "memory.rust=60GiB",
        "batching.max_num_seqs=0",
        "log.level=loud",
        "job=prompt",
        "output.dir=documents/a.txt/x",
    )
    for part in (
        "memory: pools",
        "batching.max_num_seqs is 0",
        "log.level is 'loud'",
        "job=prompt has no",
        "output.dir",
    ):
        assert any(part in text for text in found), part


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("+profile=m3mxa", "choices: apple_silicon, auto, linux_cpu, linux_laptop, linux_numa, m3max"),
        ("batching.max_num_seqs=abc", "batching.max_num_seqs: Value 'abc'"),
        ("batching.max_num_seq=8", "did you mean batching.max_num_seqs?"),
        ("model=qwen", "choices:"),
        ("job.system_prompt=${oc.env:RUNNER_TEST_NOT_SET}", "RUNNER_TEST_NOT_SET"),
        ("memory.rust=60GB", "'60GB' is not a size"),
        ("memory.system=1GiB", "max(2 GiB, 6 %"),
        ("model=path", "model.path is null"),
        ("model.bits=5", "model.bits is 5"),
        ("channel.ring_entries=100", "power of two"),
        ("job=classify job.labels=[a]", "at least two"),
        ("job=extract job.schema={type:7}", "not a JSON Schema"),
        ("job=extract job.schema={type:object}", "takes keys without end"),
        ("job=extract job.max_tokens=99", "job.max_tokens is 99, the longest answer"),
        ('job=qa job.answer_prefix=[{"answer":', "after '[{\"' it cannot go on with 'answer\":'"),
        ("model.enable_thinking=true sampling.ignore_eos=true", "thoughts end where their mark"),
        ("sampling.thinking_tokens=0", "sampling.thinking_tokens is 0"),
        ("job.template=hello", "never names the document"),
        ("job.answer_prefix=The\t", "ends in white space"),
        ("job=qa model.enable_thinking=true", "leaves no place to think"),
        ("cores.workers=9", "there is room for 2"),
        ("job.schema=nothing.json", "cannot be read"),
    ],
)
def test_a_mistake_names_value_rule_and_cure(documents: Path, word: str, says: str) -> None:
    assert says in "\n".join(problems(documents, *word.split(" ")))


def test_a_missing_and_an_empty_folder_are_refused(tmp_path: Path, documents: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError) as caught:
        compose.compose(["input=[nowhere,empty]"], LINUX)
    texts = [each.text for each in caught.value.problems]
    assert "does not exist" in texts[0]
    assert "empty folder" in texts[1]


def test_a_secret_is_not_in_what_may_be_saved(documents: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNNER_TEST_SECRET", "hunter2")
    config = composed(documents, "job.system_prompt=${oc.env:RUNNER_TEST_SECRET}")
    assert config.job.system_prompt == "hunter2"
    assert "hunter2" not in config.composed_yaml
    assert "hunter2" not in " ".join(config.overrides)


@pytest.mark.parametrize("place", ["user", "project", "env", "config-dir"])
def test_users_profiles_are_found(place: str, documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNNER_PROFILES", str(tmp_path / "env"))
    root = {
        "user": tmp_path / "config/runner/profiles",
        "project": tmp_path / ".runner/profiles",
        "env": tmp_path / "env",
        "config-dir": tmp_path / "extra",
    }[place]
    (root / "profile").mkdir(parents=True)
    (root / "memory").mkdir()
    (root / "profile/mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - /profile/linux_cpu\n  - override /memory: mine\n  - _self_\n"
    )
    (root / "memory/mine.yaml").write_text("defaults: [auto]\nrust: 1GiB\n")
    words = ["+profile=mine", *(["--config-dir", str(root)] if place == "config-dir" else [])]
    config = composed(documents, *words)
    assert config.memory.rust_bytes == GIB
    assert config.machine.name == "linux"
    row = next(row for row in catalogue.profiles(LINUX, str(root)) if row.name == "mine")
    assert row.groups["memory"] == "mine"
    assert row.groups["machine"] == "linux"


def test_a_users_profile_that_sets_values_is_refused(documents: Path, tmp_path: Path) -> None:
    root = tmp_path / ".runner/profiles/profile"
    root.mkdir(parents=True)
    (root / "vals.yaml").write_text("# @package _global_\nmemory:\n  rust: 1GiB\n")
    assert "a profile only chooses groups" in problems(documents, "+profile=vals")[0]


def test_stacked_profiles_later_wins(documents: Path) -> None:
    assert composed(documents, "+profile=[m3max,linux_cpu]").machine.name == "linux"


def test_recorded_overrides_compose_the_same_again(documents: Path) -> None:
    first = composed(documents, "job.system_prompt=it's, [odd] = #1", "+profile=auto")
    second = compose.compose(list(first.overrides), LINUX)
    assert second.job == first.job
    assert second.inputs == first.inputs
    assert second.profile.names == first.profile.names


def test_labels_and_schema_are_set_in_front_of_a_template(documents: Path) -> None:
    config = composed(documents, "job=classify", "job.labels=[a b,'say \"x\"']")
    assert config.job.template.startswith('{% set labels = ["a b", "say \\"x\\""] %}')
    assert "labels" not in composed(documents).job.template


def test_an_answers_keys_keep_the_order_of_the_schema(documents: Path) -> None:
    words = ["job=extract", "job.schema={type:object,additionalProperties:false,properties:{z:{const:1},a:{const:2}}}"]
    schema = composed(documents, *words).job.output_schema or ""
    assert list(json.loads(schema)["properties"]) == ["z", "a"]


def test_a_schema_without_bounds_runs_when_answers_are_only_checked(documents: Path) -> None:
    loose = composed(documents, "job=extract", "job.schema={type:object}", "job.constrain=false")
    assert (loose.job.output_schema, loose.job.grammar) == ('{"type":"object"}', None)
    assert "not a JSON Schema" in problems(documents, "job=extract", "job.schema={type:7}", "job.constrain=false")[0]


FIELDS = "job.fields={title:{type:str,max_length:80},tags:{type:[str],max_length:9,max_items:3}}"


def test_fields_become_the_schema(documents: Path, tmp_path: Path) -> None:
    made = composed(documents, "job=extract", "job.schema=null", FIELDS).job
    assert json.loads(made.output_schema or "")["required"] == ["title", "tags"]
    assert made.grammar is not None
    (tmp_path / "facts.yaml").write_text(
        "title: {type: str, max_length: 80}\ntags: {type: [str], max_length: 9, max_items: 3}"
    )
    read = composed(documents, "job=extract", "job.schema=null", "job.fields=facts.yaml").job
    assert (read.output_schema, read.grammar) == (made.output_schema, made.grammar)


@pytest.mark.parametrize(
    ("words", "says", "cure"),
    [
        (["job=extract", FIELDS], "job.schema and job.fields are both set", "job.schema=null"),
        (
            ["job=prompt", "job.fields={a: str}"],
            "job.fields.a: a string without max_length has no end",
            "max_length: 200",
        ),
        (
            ["job=prompt", "job.fields={a: {type: int, ge: 0}}"],
            "job.fields.a: an integer without le has digits without end",
            "le: 1000000",
        ),
        (["job=prompt", "job.fields={a: {type: strng}}"], "job.fields.a: type is 'strng'", "did you mean str?"),
        (
            ["job=prompt", "job.fields={a: {type: int, ge: 5, le: 3}}"],
            "job.fields.a: no answer can fit here: ge (5) is greater than le (3)",
            "contradict",
        ),
        (["job=prompt", "job.fields=gone.yaml"], "job.fields is 'gone.yaml', which cannot be read", "readable"),
        (["job=prompt", "job.fields=torn.yaml"], "job.fields is 'torn.yaml', which is not YAML", "correct the file"),
        (["job=prompt", "job.evidence=true"], "job.evidence is true and the job has no schema", "job.schema=FILE.json"),
        (["job=extract", "job.evidence=true"], "no string is marked as a quote", '"x-quote": true'),
        (
            ["job=prompt", "job.evidence=true", "job.fields={a: {type: str, max_length: 9, quote: true}}"],
            "job.fields.a: a quote without min_length may be empty",
            "min_length: 8",
        ),
        (
            [
                "job=summarize",
                "job.evidence=true",
                "job.fields={a: {type: str, max_length: 9, min_length: 3, quote: true}}",
            ],
            "job.evidence is true and job.reduce_template is set",
            "job.reduce_template=null",
        ),
    ],
)
def test_a_mistake_in_the_shape_of_answers_is_named_in_the_users_words(
    documents: Path, tmp_path: Path, words: list[str], says: str, cure: str
) -> None:
    (tmp_path / "torn.yaml").write_text("a: {type: ")
    words = [*words, *(["job.template=x {{ document }}"] if "job=prompt" in words else [])]
    (problem,) = problems(documents, *words)
    assert says in problem.split(" | ")[0]
    assert cure in problem.split(" | ")[1]


def test_a_quote_that_nobody_looks_for_is_noted(documents: Path) -> None:
    quoted = "job.fields={a: {type: str, min_length: 4, max_length: 80, quote: true}}"
    words = ["job=extract", "job.schema=null", quoted]
    assert composed(documents, *words).job.notes == (
        "the quote at properties/a is not looked for: job.evidence is false",
    )
    proved = composed(documents, *words, "job.evidence=true").job
    assert (proved.notes, proved.evidence) == ((), True)


def test_a_cut_list_needs_room_for_its_first_item_alone(documents: Path) -> None:
    assert composed(documents, "job=qa", "job.max_tokens=120").job.grammar
    (alone,) = problems(documents, "job=qa", "job.max_tokens=40")
    assert "the longest item of the schema" in alone
    (whole,) = problems(documents, "job=qa", "job.max_tokens=120", "job.keep_whole_items=false")
    assert "the longest answer of the schema" in whole


def test_no_input_is_the_example_corpus(documents: Path) -> None:
    if not layout.example_documents().is_dir():
        pytest.skip("the corpus is not in this checkout")
    config = compose.compose([], LINUX)
    assert config.example_corpus
    assert config.inputs == (str(layout.example_documents()),)


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        (M3MAX, "m3max"),
        (LINUX, "linux_cpu"),
        (replace(M3MAX, chip="Apple M2", memory_bytes=16 * GIB), "apple_silicon"),
        (replace(M3MAX, memory_bytes=64 * GIB), "apple_silicon"),
    ],
)
def test_the_machine_chooses_its_profile(machine: Machine, name: str) -> None:
    assert choose_profile(machine)[0] == name


def test_fewer_rows_than_a_profile_prefills_lower_the_prefill_and_say_so(documents: Path) -> None:
    config = composed(documents, "+profile=linux_cpu", "batching.max_num_seqs=4")
    assert config.batching.prefill_batch_size == 4
    assert [fit.key for fit in config.profile.fitted if "prefill" in fit.key] == ["batching.prefill_batch_size"]
    with pytest.raises(UsageError, match="must not exceed"):
        composed(documents, "+profile=linux_cpu", "batching.max_num_seqs=4", "batching.prefill_batch_size=5")
