"""Sub-commands, one thin module each: `main(argv) -> exit code`. Called by cli before Hydra is imported."""
