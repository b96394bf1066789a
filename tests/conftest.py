"""Places where tests keep what they share."""

import sys
from pathlib import Path

for place in ("server", "reference"):
    sys.path.append(str(Path(__file__).parent / place))
