"""`runner validate`: does this build keep its promises, and is it as fast as another build on this machine, today?

`unit` is what is timed, `arms` starts it under a build, `session` measures pairs, `verdict` judges, `goldens` and
`promises` check what must not change at all, `targets` are the required figures. Called by commands/validate.
"""
