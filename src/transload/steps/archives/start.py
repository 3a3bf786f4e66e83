"""Where the child begins. It is started as a file, so that `transload.steps`, which is large, is not imported."""

from __future__ import annotations

import os
import sys
from types import ModuleType

_HERE = os.path.dirname(os.path.abspath(__file__))


def _bare(name: str, folder: str) -> None:
    """Make `name` a package of nothing but its modules."""
    package = ModuleType(name)
    package.__path__ = [folder]
    sys.modules[name] = package


if __name__ == "__main__":
    _STEPS = os.path.dirname(_HERE)
    _bare("transload", os.path.dirname(_STEPS))
    _bare("transload.steps", _STEPS)
    _bare("transload.steps.archives", _HERE)
    from transload.steps.archives.child import main

    main()
