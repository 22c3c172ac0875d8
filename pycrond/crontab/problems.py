"""The problems of a crontab, collected while it is parsed."""

from pycrond.errors import Problem, Severity


class ProblemList:
    """The problems of a file. Not part of the parser, which would then refer to itself and stay in memory."""

    def __init__(self, file: str) -> None:
        self.problems: list[Problem] = []
        self._file = file

    def __call__(self, line: int, column: int, severity: Severity, code: str, message: str) -> None:
        self.problems.append(Problem(self._file, line, column, severity, code, message))
