"""The table of calls on its way to an archive: the file of a part, beside the part and in the tree of the table."""

import logging
from pathlib import Path
from typing import Final

from sipflow.archive.columns import partition_of
from sipflow.archive.manifest import PARQUET
from sipflow.archive.parquet import write_calls
from sipflow.archive.sending import Artefact
from sipflow.errors import MissingExtra
from sipflow.storage.layout import DATABASE
from sipflow.storage.part import Part

LOG: Final = logging.getLogger("sipflow.archive")


class CallTables:
    """Makes the files of sealed parts of one node; none where pyarrow is not installed, which the log says once."""

    def __init__(self, node: str) -> None:
        """Name the node whose parts they are of."""
        self._node = node
        self._told = False

    def make(self, root: Path, part: Part, key: str, scratch: Path) -> list[Artefact]:
        """Write the file of a part into a directory; it goes to two keys. Raises StorageError."""
        target = scratch / PARQUET
        try:
            write_calls(root / part.path / DATABASE, self._node, target)
        except MissingExtra as error:
            if not self._told:
                LOG.info("no tables of calls go to the archive: %s", error)
            self._told = True
            return []
        return [Artefact(f"{key}/{PARQUET}", target), Artefact(partition_of(self._node, part.path).key, target)]
