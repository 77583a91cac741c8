"""The one exception a worker reports as an `error` event: what failed and what to do. Raised by the verbs."""


class WorkerError(Exception):
    """Shown to the user by the runner; never a stack trace."""

    def __init__(self, problem: str, cure: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.cure = cure
