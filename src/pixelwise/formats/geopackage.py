"""GeoPackage (OGC 12-128r18, version 1.3.1): one layer of polygons, with SQLite alone."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.errors import OutputError
from pixelwise.formats.features import Attribute, Feature

__all__ = ["LAYER", "write_geopackage"]

LAYER = "regions"
"""The name of the layer."""

_APPLICATION = 0x47504B47
_VERSION = 10300
_UNDEFINED_CARTESIAN = -1
_FIRST_OWN_SYSTEM = 100_000
_AT_ONCE = 1000
_SQL_TYPES = {int: "INTEGER", float: "REAL", str: "TEXT"}

_INSERT = "INSERT INTO {} VALUES ({})"

_WGS84 = (
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563,'
    'AUTHORITY["EPSG","7030"]],AUTHORITY["EPSG","6326"]],PRIMEM["Greenwich",0,'
    'AUTHORITY["EPSG","8901"]],UNIT["degree",0.0174532925199433,AUTHORITY["EPSG","9122"]],'
    'AXIS["Latitude",NORTH],AXIS["Longitude",EAST],AUTHORITY["EPSG","4326"]]'
)

_TABLES = """
CREATE TABLE gpkg_spatial_ref_sys (
  srs_name TEXT NOT NULL, srs_id INTEGER NOT NULL PRIMARY KEY, organization TEXT NOT NULL,
  organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT
);
CREATE TABLE gpkg_contents (
  table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE,
  description TEXT DEFAULT '',
  last_change DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')),
  min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE, srs_id INTEGER,
  CONSTRAINT fk_gc_r_srs_id FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id)
);
CREATE TABLE gpkg_geometry_columns (
  table_name TEXT NOT NULL, column_name TEXT NOT NULL, geometry_type_name TEXT NOT NULL,
  srs_id INTEGER NOT NULL, z TINYINT NOT NULL, m TINYINT NOT NULL,
  CONSTRAINT pk_geom_cols PRIMARY KEY (table_name, column_name),
  CONSTRAINT uk_gc_table_name UNIQUE (table_name),
  CONSTRAINT fk_gc_tn FOREIGN KEY (table_name) REFERENCES gpkg_contents(table_name),
  CONSTRAINT fk_gc_srs FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys (srs_id)
);
CREATE TABLE gpkg_extensions (
  table_name TEXT, column_name TEXT, extension_name TEXT NOT NULL, definition TEXT NOT NULL,
  scope TEXT NOT NULL, CONSTRAINT ge_tce UNIQUE (table_name, column_name, extension_name)
);
"""

# The spatial index of annex F.3: filled here row by row, kept by triggers in other programs.
_INDEX = """
CREATE VIRTUAL TABLE rtree_{t}_geom USING rtree(id, minx, maxx, miny, maxy);
INSERT INTO gpkg_extensions VALUES (
  '{t}', 'geom', 'gpkg_rtree_index', 'http://www.geopackage.org/spec120/#extension_rtree',
  'write-only'
);
"""
_BOX = "NEW.fid, ST_MinX(NEW.geom), ST_MaxX(NEW.geom), ST_MinY(NEW.geom), ST_MaxY(NEW.geom)"
_TRIGGERS = """
CREATE TRIGGER rtree_{t}_geom_insert AFTER INSERT ON {t}
WHEN (NEW.geom NOT NULL AND NOT ST_IsEmpty(NEW.geom))
BEGIN INSERT OR REPLACE INTO rtree_{t}_geom VALUES ({box}); END;
CREATE TRIGGER rtree_{t}_geom_update1 AFTER UPDATE OF geom ON {t}
WHEN OLD.fid = NEW.fid AND (NEW.geom NOTNULL AND NOT ST_IsEmpty(NEW.geom))
BEGIN INSERT OR REPLACE INTO rtree_{t}_geom VALUES ({box}); END;
CREATE TRIGGER rtree_{t}_geom_update2 AFTER UPDATE OF geom ON {t}
WHEN OLD.fid = NEW.fid AND (NEW.geom ISNULL OR ST_IsEmpty(NEW.geom))
BEGIN DELETE FROM rtree_{t}_geom WHERE id = OLD.fid; END;
CREATE TRIGGER rtree_{t}_geom_update3 AFTER UPDATE ON {t}
WHEN OLD.fid != NEW.fid AND (NEW.geom NOTNULL AND NOT ST_IsEmpty(NEW.geom))
BEGIN
  DELETE FROM rtree_{t}_geom WHERE id = OLD.fid;
  INSERT OR REPLACE INTO rtree_{t}_geom VALUES ({box});
END;
CREATE TRIGGER rtree_{t}_geom_update4 AFTER UPDATE ON {t}
WHEN OLD.fid != NEW.fid AND (NEW.geom ISNULL OR ST_IsEmpty(NEW.geom))
BEGIN DELETE FROM rtree_{t}_geom WHERE id IN (OLD.fid, NEW.fid); END;
CREATE TRIGGER rtree_{t}_geom_delete AFTER DELETE ON {t} WHEN OLD.geom NOT NULL
BEGIN DELETE FROM rtree_{t}_geom WHERE id = OLD.fid; END;
"""

_Box = tuple[float, float, float, float]
"""min x, max x, min y, max y."""


def read_layer_description(path: Path) -> str:
    """The description of the layer that `write_geopackage` wrote.

    Raises:
        ValueError: there is none.
        OSError: the file cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(path)
    question = "SELECT description FROM gpkg_contents WHERE table_name = ?"
    try:
        address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(address, uri=True)) as database:
            row = database.execute(question, (LAYER,)).fetchone()
    except sqlite3.Error as error:
        raise ValueError(str(error)) from error
    if row is None:
        raise ValueError("no file of this form")
    return str(row[0])


def write_geopackage(
    path: Path,
    found: Iterable[Feature],
    attributes: Sequence[Attribute],
    crs: Any,
    *,
    description: str = "",
) -> None:
    """Writes a new GeoPackage, with the polygons as they come.

    The file is not safe against a crash while it is written: give a temporary name.

    Args:
        path: where no file is.
        found: polygons in coordinates of `crs`.
        attributes: the columns of their values.
        crs: a `rasterio.crs.CRS`, or None: the layer is then in undefined Cartesian coordinates.
        description: of the layer.

    Raises:
        OutputError: SQLite cannot write.
    """
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            _write(database, found, attributes, crs, description)
    except sqlite3.Error as error:
        raise OutputError(
            "the GeoPackage cannot be written",
            where=str(path.parent),
            got=str(error),
            fix="free some space, or choose another folder",
        ) from error


def _write(
    database: sqlite3.Connection,
    found: Iterable[Feature],
    attributes: Sequence[Attribute],
    crs: Any,
    description: str,
) -> None:
    # Nobody else sees the file, and nobody keeps it if this does not end well.
    for setting in ("journal_mode=OFF", "synchronous=OFF", f"application_id={_APPLICATION}"):
        database.execute(f"PRAGMA {setting}")
    database.execute(f"PRAGMA user_version={_VERSION}")
    database.executescript(_TABLES)
    srs = _add_systems(database, crs)
    database.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, srs_id) "
        "VALUES (?, 'features', ?, ?, ?)",
        (LAYER, LAYER, description, srs),
    )
    database.execute(
        "INSERT INTO gpkg_geometry_columns VALUES (?, 'geom', 'POLYGON', ?, 0, 0)", (LAYER, srs)
    )
    columns = "".join(
        f', "{attribute.name}" {_SQL_TYPES[attribute.type]}' for attribute in attributes
    )
    database.execute(
        f"CREATE TABLE {LAYER} (fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, "
        f"geom POLYGON NOT NULL{columns})"
    )
    has_index = _has_rtree(database)
    if has_index:
        database.executescript(_INDEX.format(t=LAYER))
    database.execute("BEGIN")
    extent = _add_rows(database, found, srs, len(attributes), has_index=has_index)
    if extent is not None:
        database.execute("UPDATE gpkg_contents SET min_x=?, max_x=?, min_y=?, max_y=?", extent)
    database.execute("COMMIT")
    if has_index:
        database.executescript(_TRIGGERS.format(t=LAYER, box=_BOX))


def _add_systems(database: sqlite3.Connection, crs: Any) -> int:
    """Fills in the coordinate systems; the id of the one asked for."""
    rows: list[tuple[str, int, str, int, str, str]] = [
        ("Undefined Cartesian SRS", -1, "NONE", -1, "undefined", "undefined Cartesian"),
        ("Undefined geographic SRS", 0, "NONE", 0, "undefined", "undefined geographic"),
        ("WGS 84", 4326, "EPSG", 4326, _WGS84, "longitude and latitude in degrees"),
    ]
    srs = _UNDEFINED_CARTESIAN
    if crs is not None:
        code = crs.to_epsg()
        srs = _FIRST_OWN_SYSTEM if code is None else int(code)
        name = str(crs.to_string())[:80]
        if srs not in {row[1] for row in rows}:
            organisation = ("NONE" if code is None else "EPSG", srs)
            rows.append((name, srs, *organisation, crs.to_wkt(version="WKT1_GDAL"), name))
    database.executemany("INSERT INTO gpkg_spatial_ref_sys VALUES (?, ?, ?, ?, ?, ?)", rows)
    return srs


def _add_rows(
    database: sqlite3.Connection,
    found: Iterable[Feature],
    srs: int,
    columns: int,
    *,
    has_index: bool,
) -> _Box | None:
    """Adds the polygons; the box around all of them."""
    insert = _INSERT.format(LAYER, ", ".join("?" * (columns + 2)))
    insert_box = _INSERT.format(f"rtree_{LAYER}_geom", "?, ?, ?, ?, ?")
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    numbered = enumerate(found, start=1)
    while batch := list(islice(numbered, _AT_ONCE)):
        rows, boxes = [], []
        for fid, feature in batch:
            outline = feature.rings[0]
            least, most = outline.min(axis=0), outline.max(axis=0)
            low, high = np.minimum(low, least), np.maximum(high, most)
            box = (float(least[0]), float(most[0]), float(least[1]), float(most[1]))
            rows.append((fid, b"".join(_geometry(feature, srs, box)), *feature.values))
            boxes.append((fid, *box))
        database.executemany(insert, rows)
        if has_index:
            database.executemany(insert_box, boxes)
    if not np.isfinite(low).all():
        return None
    return float(low[0]), float(high[0]), float(low[1]), float(high[1])


def _geometry(feature: Feature, srs: int, box: _Box) -> Iterator[bytes]:
    """The header of section 2.1.3 with a box, and well-known binary, all little-endian."""
    yield struct.pack("<2sBBi4d", b"GP", 0, 0b011, srs, *box)
    yield struct.pack("<BII", 1, 3, len(feature.rings))
    for ring in feature.rings:
        yield struct.pack("<I", len(ring))
        yield ring.astype("<f8").tobytes()


def _has_rtree(database: sqlite3.Connection) -> bool:
    options = {row[0] for row in database.execute("PRAGMA compile_options")}
    return "ENABLE_RTREE" in options
