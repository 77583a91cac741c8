"""What a person is told without looking, and the ways to tell it: a command, a webhook, a ping, mail, apprise.

`sinks` decides nothing about when something is worth telling: nights does for its own, `rules` and `watching` over the
samples of a run. A sink that fails is a sentence for the caller, never an exception: telling must not stop the work.
"""
