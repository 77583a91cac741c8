"""`/v1/files` and `/v1/batches` for OpenAI's clients, on this machine (docs/serve.md).

`state` keeps files and batches on disk, `dispatch` works through the batches one at a time, `app` speaks HTTP and is
the only module that needs the extra `serve`. Answers nothing itself: a batch is runs (runner.batch).
"""
