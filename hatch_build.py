"""What a wheel holds beside the modules, as `pycrond/share`: completions, made here, and copies."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds them to a wheel; an editable installation has them in its source tree."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        sys.path.insert(0, self.root)
        sys.dont_write_bytecode = True
        from pycrond.cli.commands import completion  # noqa: PLC0415
        from pycrond.cli.setup import data_files  # noqa: PLC0415 -- of the tree that is built

        self._folder = tempfile.TemporaryDirectory()
        included = {str(Path(self.root, source)): name for name, source in data_files.SOURCES.items()}
        for name, shell in data_files.COMPLETIONS.items():
            made = Path(self._folder.name, shell)
            made.write_text(completion.script(shell), encoding="utf-8")
            included[str(made)] = name
        build_data["force_include"] |= {path: f"pycrond/share/{name}" for path, name in included.items()}

    def finalize(self, version: str, _build_data: dict[str, Any], _artifact_path: str) -> None:
        if version != "editable":
            self._folder.cleanup()
