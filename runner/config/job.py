"""The job's part of the door: its template, every problem collected; what its answers look like is `answers`' part.

Reads the files that a job names and nothing else. Called by door.
"""

import json
import re

from runner.config.answers import Answers, pass_answers
from runner.config.checks import check_job, read_text
from runner.config.schema import Job, JobTree
from runner.errors import Problem


def pass_job(tree: JobTree, problems: list[Problem]) -> Job | None:
    """The job past the door; None when it cannot run, with the reasons in `problems`."""
    before = len(problems)
    check_job(tree, problems)
    template = tree.template
    if template is None and tree.template_file is not None:
        template = read_text("job.template_file", tree.template_file, problems)
    answers = pass_answers(tree, problems)
    if template is not None and "document" not in template:
        problems.append(
            Problem(
                f"job.template never names the document: {_short(template)!r}",
                "write {{ document }} where its text belongs",
            )
        )
    if tree.reduce_template is not None and "parts" not in tree.reduce_template:
        problems.append(
            Problem(
                f"job.reduce_template never names the parts: {_short(tree.reduce_template)!r}",
                "write {% for part in parts %}{{ part }}{% endfor %}, or job.reduce_template=null",
            )
        )
    if len(problems) > before or template is None:
        return None
    return _job(tree, template, answers)


def _job(tree: JobTree, template: str, answers: Answers) -> Job:
    schema, reduce = answers.schema, tree.reduce_template
    return Job(
        name=tree.name,
        task=tree.task,
        system_prompt=tree.system_prompt,
        template=with_variables(template, tree.labels, schema),
        reduce_template=None if reduce is None else with_variables(reduce, tree.labels, schema),
        labels=tree.labels,
        output_schema=schema,
        grammar=answers.grammar,
        longest_answer=answers.characters,
        notes=answers.notes,
        evidence=tree.evidence,
        schema_repair=tree.schema_repair,
        keep_whole_items=tree.keep_whole_items,
        answer_prefix=tree.answer_prefix,
        max_tokens=tree.max_tokens,
        max_documents=tree.max_documents,
        max_chunks=tree.max_chunks,
        deadline_ms=tree.deadline_ms,
        max_attempts=tree.max_attempts,
        max_failed=tree.max_failed,
        export_chat=tree.export_chat,
    )


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def with_variables(template: str, labels: tuple[str, ...], schema: str | None) -> str:
    """`labels` and `schema` set in front of a template that names them, on its first line so that line numbers stay
    right. A JSON literal is a minijinja literal."""
    head = ""
    if labels and re.search(r"\blabels\b", template):
        head += "{% set labels = " + json.dumps(list(labels), ensure_ascii=False) + " %}"
    if schema is not None and re.search(r"\bschema\b", template):
        head += "{% set schema = " + json.dumps(schema, ensure_ascii=False) + " %}"
    return head + template
