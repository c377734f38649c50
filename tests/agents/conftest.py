"""Tests are imported one by one (import mode `importlib`), so the small environment beside them needs its folder on
the path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
