"""The commands that provoke rows of docs/errors.md, by the row's first cell. Data alone; test_bad_input runs them."""

import sys

OTHER = "linux_cpu" if sys.platform == "darwin" else "m3max"

NIGHTLY = ["schedule", "add", "x", "--cron", "30 2 * * *"]
ABSENT = "systemd" if sys.platform == "darwin" else "launchd"
QUOTED = "{name: {type: str, min_length: 4, max_length: 80, quote: true}}"
# First cell of the row -> the command's words, and what else stderr must hold.
MISTAKES: dict[str, tuple[list[str], str]] = {
    "unknown command": (["plann"], "did you mean 'plan'?"),
    "wrong words for a command": (["ls", "--limit", "x"], "usage: runner ls"),
    "nothing to measure": (["bench", "ingest", "texts", "--formats", "pptx"], "formats looked for: pptx"),
    "tokenizer that is no file": (["bench", "chunk", "texts", "--tokenizer", "missing.json"], "name a tokenizer.json"),
    "unknown option": (["--jsn", "input=texts"], "did you mean --json?"),
    "no number of files to sample": (["plan", "--sample", "none"], "usage: runner plan"),
    "step that is not known": (["tune", "prove", "blass"], "choices here: "),
    "step without two arms": (["tune", "prove", "--step", "rows=a"], "--step rows="),
    "set of steps that is not there": (["tune", "prove", "--candidates", "mine"], "choices: standard"),
    "word that a batch sets itself": (["batch", "x.jsonl", "job=qa"], "sampling.*"),
    "no such verb": (["schedule", "ad"], "one of: add"),
    "schedule without a time": (["schedule", "add", "nightly"], "usage: runner schedule add"),
    "name that is no name": (["schedule", "add", "../x", "--cron", "0 2 * * *"], "nightly"),
    "expression that is none": (["schedule", "add", "x", "--cron", "61 2 * * *"], "minute hour day month weekday"),
    "expression that no timer knows": (["schedule", "add", "x", "--cron", "0 2 L * *"], "five fields"),
    "wrong span, hours and sink at once": (
        [*NIGHTLY, "--budget", "long", "--quiet", "8-20", "--notify", "pager=x"],
        "--budget 6h",
    ),
    "time in quiet hours": ([*NIGHTLY, "--backend", "none", "--quiet", "23:00-06:00", "input=texts"], "another time"),
    "backend that is not here": ([*NIGHTLY, "--backend", ABSENT], "--backend auto"),
    "run that cannot be composed, scheduled": ([*NIGHTLY, "--backend", "none", "+inptu=texts"], "did you mean input?"),
    "schedule of one run folder": ([*NIGHTLY, "--backend", "none", "output.run_dir=x"], "leave it out"),
    "no such schedule": (["quarantine", "ls", "nightli"], "`runner schedule add` makes one"),
    "results of nothing": (["results", "nothing"], "`runner ls`"),
    "retry without saying what": (["retry"], "runner retry --failed"),
    "dimension with nothing to choose": (["tune", "search", "--over", "batching.max_num_seqs=4"], "two values"),
    "space that is not there": (["tune", "search", "--space", "mine"], "choices: precision, standard"),
    "two things to do at once": (["--cfg", "job", "-m"], ""),
    "word that is no override": (["job=qa", "texts"], "did you mean input='texts'?"),
    "override that cannot be read": (["job=classify", "job.labels=[a"], "two kinds of quotes"),
    "tuning by hand without a verb": (["tuning", "aply"], "usage: runner tuning"),
    "tuning group without system steps": (["tuning", "apply", "tuning=process"], "tuning=linux_performance"),
    "words that a tuning verb does not take": (["tuning", "revert", "thp=never"], "runner tuning --help"),
    "install that is not only shown": (["tuning", "install"], "runner tuning install --print"),
    "tuning step that no script is": (
        ["tuning", "apply", "--dry-run", "tuning=linux_performance", "+tuning.steps.governer=performance"],
        "known: cgroup, cpu-governor-setup",
    ),
    "unknown profile": (["+profile=m3mxa"], "choices: apple_silicon, auto, linux_cpu, linux_laptop, linux_numa, m3max"),
    "profile that cannot be read": (["+profile=torn"], ""),
    "profile that is no profile": (["+profile=text"], ""),
    "profile that sets values": (["+profile=vals"], "override /memory: vals"),
    "group file that cannot be read": (["memory=torn"], ""),
    "group file without all its keys": (["memory=part"], "defaults: [auto]"),
    "folder of own profiles missing": (["--config-dir", "nowhere"], ""),
    "profile of another machine, strict": ([f"+profile={OTHER}", "machine.strict=true"], "machine.strict=false"),
    "unknown choice of a group": (["model=qwen"], "smollm2-135m"),
    "unknown key": (["batching.max_num_seq=8"], "did you mean batching.max_num_seqs?"),
    "added key": (["+inptu=texts"], "did you mean input?"),
    "group taken away": (["~job"], ""),
    "key taken away": (["~batching.max_num_seqs"], ""),
    "wrong type": (["batching.max_num_seqs=abc"], ""),
    "null where a value must be": (["memory.rust=null"], ""),
    "no list": (["job=classify", "job.labels=abc"], "job.labels=[a]"),
    "word that is none of the choices": (["on_busy=foo"], ""),
    "out of range": (["cores.workers=-1"], ""),
    "more workers than cores": (["cores.workers=250"], ""),
    "more spare cores than cores": (["cores.spare=1000"], "cores.spare="),
    "own profile with a name that is taken": (["profiles", "init", "linux_cpu"], "nothing is overwritten"),
    "precision that does not exist": (["model=smollm2-135m", "model.bits=6"], "model.bits=4"),
    "not a size": (["memory.rust=60GB"], "60GiB"),
    "pools over memory": (["memory.rust=9000GiB"], "lower memory.rust"),
    "bad job of a sweep": (["-m", "batching.max_num_seqs=4,0"], ""),
    "reference to no key": (["job.template=${nothing}"], ""),
    "environment variable not set": (["job.system_prompt=${oc.env:X_NOT_SET}"], "export X_NOT_SET"),
    "empty input": (["input="], "input=FOLDER"),
    "missing folder": (["input=nowhere"], ""),
    "empty folder": (["input=empty"], ""),
    "link to nothing": (["input=dangling"], ""),
    "output folder that is a file": (["output.dir=afile"], ""),
    "output folder without a name": (["output.dir="], ""),
    "folder of a sweep that cannot be made": (["-m", "hydra.sweep.dir=afile/x"], ""),
    "no template": (["job=prompt"], "job.template_file=FILE"),
    "template without the document": (["job.template=hello"], "{{ document }}"),
    "template file missing": (["job=prompt", "job.template_file=gone.txt"], ""),
    "schema file missing": (["job=extract", "job.schema=gone.json"], ""),
    "schema that is no JSON": (["job=extract", "job.schema=bad.json"], ""),
    "schema that is none": (["job=extract", "job.schema={type:7}"], "json-schema.org"),
    "schema with a place that has no end": (["job=extract", "job.schema=open.json"], 'add "maxLength": 200 there'),
    "schema that no answer fits": (["job=extract", "job.schema=never.json"], "contradict"),
    "schema with a keyword that nobody reads": (["job=extract", "job.schema=misspelt.json"], "did you mean maxLength?"),
    "schema with longer answers than max_tokens": (
        ["job=extract", "job.schema=name.json", "job.max_tokens=20"], "job.max_tokens=71"
    ),
    "begin of an answer that the schema has not": (
        ["job=extract", "job.schema=name.json", 'job.answer_prefix={"nom'], "job.answer_prefix=''"
    ),
    "schema and fields": (["job=extract", "job.fields={a: str}"], "job.schema=null"),
    "a field that has no end": (["job=classify", "job.fields={name: str}"], "add max_length: 200"),
    "a field of no type": (["job=classify", "job.fields={name: strng}"], "did you mean str?"),
    "evidence without a quote": (["job=extract", "job.evidence=true"], 'add "x-quote": true'),
    "evidence of a joined answer": (
        ["job=summarize", f"job.fields={QUOTED}", "job.evidence=true"], "job.reduce_template=null"
    ),
    "thoughts that never end": (
        ["model.enable_thinking=true", "sampling.ignore_eos=true"], "model.enable_thinking=false"
    ),
    "model folder absent": (["model=path", "model.path=nowhere"], "runner models"),
    "an input and a list at once": (["ingest.files_from=texts"], "a list may name folders"),
    "name of standard input with a folder": (["ingest.stdin_name=a/b.md"], "ingest.stdin_name=notes.md"),
    "plan of what comes on standard input": (["plan", "input=-"], "write it to a file"),
    "sweep over what comes on standard input": (["-m", "input=-", "batching.max_num_seqs=4,8"], "write it to a file"),
    "launcher key of a sweep out of range": (["-m", "hydra.launcher.on_failure=skip"], ""),
    "alert on what is not measured": (["monitor.alerts.rules.slow.metric=troughput"], "did you mean throughput_share?"),
    "alert whose end lies before its begin": (
        ["monitor.alerts.rules.disk.value=10", "monitor.alerts.rules.disk.clear=1"], "clear=null"
    ),
    "alert that is no rule": (["+monitor.alerts.rules.mine=3"], "~monitor.alerts.rules.mine"),
    "limit of an alert that is no number": (["monitor.alerts.rules.slow.value=low"], ""),
    "time of an alert below 0": (["monitor.alerts.rules.slow.for_s=-1"], "for_s=0"),
    "command for alerts that cannot be started": (["monitor.alerts.command=[nosuch]"], "whole path"),
    "web hook that is no address": (["monitor.alerts.webhook=hooks.example/x"], "https://host/path"),
    "file for Prometheus in no folder": (["monitor.prometheus.textfile=nowhere/m.prom"], "make the folder"),
    "no such run": (["resume", "nowhere"], "`runner ls`"),
    "report of nothing": (["report", "nothing"], "`runner ls`"),
    "no run at all": (["show"], ""),
}  # fmt: skip
# The same for runs with the scripted engine, which need the core.
RUNS: dict[str, list[str]] = {
    "no file that passes the globs": ["ingest.include=[nothing-like-this]"],
    "template that is not Jinja2": ["job.template='{{ document }'"],
    "template with an unknown name": ["job.template='{{ document }} {{ summary_of }}'"],
    "evidence, and a template that changes the text": [
        "job.template='{{ document | upper }}'",
        f"job.fields={QUOTED}",
        "job.evidence=true",
    ],
    "template with an unknown filter": ["job.template='{{ document | no_such_filter }}'"],
    "no room for a document": ["model.max_model_len=64"],
    "pool too small for one document": ["model.engine=mlx", "model.script=null", "memory.mlx=100MiB"],
    "folder that is no model": ["model=path", "model.path=texts"],
}
# Of a run with the scripted engine, whose answer quotes what no document says.
UNPROVED = (
    f"job.fields={QUOTED}",
    "job.evidence=true",
    r"""model.script={"output": "{\"name\": \"no such words\"}"}""",
)
