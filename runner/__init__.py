"""runner: batch jobs for local language models, with declarative tuning profiles."""
