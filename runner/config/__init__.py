"""The typed configuration of a run: schema, composition with Hydra, checks, fitting to this machine.

This package's root imports nothing heavy; `runner.config.compose` is the only module here that imports Hydra.
"""
