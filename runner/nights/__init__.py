"""Scheduled batches: what is kept of a schedule, its one entry in the system's timer, and one night from lock to alert.

Starts runs as processes of their own and reads their folders; never composes a configuration (the schedule command
checks one at `add`) and never looks into a journal. Called by the commands schedule, results, retry and quarantine.
Formats: docs/schedule.md.
"""
