"""`runner tune prove`: what each tuning step is worth on this machine, by paired runs of the real job.

`steps` says what is compared, `session` measures, `statistics` and `verdict` judge, `page` shows.
Called by commands/tune.
"""
