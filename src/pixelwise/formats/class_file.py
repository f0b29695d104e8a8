"""The class table that travels with a data set."""

from __future__ import annotations

import csv
import io

from pixelwise.classes import ClassTable

__all__ = ["CLASSES", "table_file"]

CLASSES = "classes.csv"


def table_file(classes: ClassTable) -> bytes:
    """The table as `ClassTable.from_csv` reads it: ids, colours, kinds, aliases, ignored id."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("id", "name", "r", "g", "b", "use", "kind", "aliases"))
    for info in classes:
        aliases = "|".join(info.aliases)
        writer.writerow((info.id, info.name, *info.colour, "class", info.kind, aliases))
    if classes.ignore_index is not None:
        for colour in classes.ignore_colours or (("", "", ""),):
            writer.writerow((classes.ignore_index, "ignored", *colour, "ignore", "", ""))
    return text.getvalue().encode("utf-8")
