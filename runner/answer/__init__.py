"""What an answer has to look like: schemas from YAML fields, their lint, the grammar that holds a model to them.

Pure: no model, no mlx, no files. Used by config (before anything starts), and by structured and the engine in a worker.
"""
