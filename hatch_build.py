"""A build hook: adds completions of shells and copies of data files to a wheel, as `pycrond/share`."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Data files of a wheel; an editable installation reads them from its source tree."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        sys.path.insert(0, self.root)
        sys.dont_write_bytecode = True
        from pycrond.cli import shell_completion  # noqa: PLC0415
        from pycrond.cli.setup import data_files  # noqa: PLC0415 -- from the tree that is built

        self._directory = tempfile.TemporaryDirectory()
        included = {str(Path(self.root, source)): name for name, source in data_files.SOURCES.items()}
        for name, shell in data_files.COMPLETIONS.items():
            file = Path(self._directory.name, shell)
            file.write_text(shell_completion.script(shell), encoding="utf-8")
            included[str(file)] = name
        build_data["force_include"] |= {path: f"pycrond/share/{name}" for path, name in included.items()}

    def finalize(self, version: str, _build_data: dict[str, Any], _artifact_path: str) -> None:
        if version != "editable":
            self._directory.cleanup()
