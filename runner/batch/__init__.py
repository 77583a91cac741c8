"""OpenAI batch files: request lines in, ordinary runs between, answer lines out (docs/serve.md).

`requests` reads and groups, `answers` writes, both pure; `work` holds the folder and starts the runs through trial. No
second engine path: what a batch does, a run does.
"""
