"""The tables of a store, see docs/store.md."""

from codec.store.records import HASH_BYTES, MOST_DEPTH

APPLICATION = 0x64666161  # "dfaa"
VERSION = 1
SCHEMA = f"""
CREATE TABLE contents (
    name BLOB PRIMARY KEY CHECK (length(name) = {HASH_BYTES}),
    size INTEGER NOT NULL CHECK (size >= 0),
    coding TEXT NOT NULL,
    reference BLOB REFERENCES contents (name) ON DELETE RESTRICT CHECK (reference <> name),
    depth INTEGER NOT NULL CHECK (depth BETWEEN (reference IS NOT NULL) AND {MOST_DEPTH}),
    stored INTEGER NOT NULL,
    planes BLOB,
    psnr REAL,
    drift REAL NOT NULL DEFAULT 0
);
CREATE INDEX contents_by_planes ON contents (planes) WHERE planes IS NOT NULL;
CREATE INDEX contents_by_reference ON contents (reference) WHERE reference IS NOT NULL;
CREATE TABLE data (
    name BLOB PRIMARY KEY REFERENCES contents (name) ON DELETE CASCADE,
    data BLOB NOT NULL
);
CREATE TABLE descriptors (
    name BLOB PRIMARY KEY REFERENCES contents (name) ON DELETE CASCADE,
    places BLOB NOT NULL,
    points BLOB NOT NULL,
    whole BLOB NOT NULL,
    key BLOB NOT NULL
);
CREATE TABLE groups (
    number INTEGER PRIMARY KEY, label TEXT NOT NULL, settled INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE items (
    name TEXT PRIMARY KEY,
    content BLOB NOT NULL REFERENCES contents (name) ON DELETE RESTRICT,
    source BLOB NOT NULL,
    modified INTEGER NOT NULL,
    permissions INTEGER NOT NULL,
    taken REAL,
    zone INTEGER,
    latitude REAL,
    longitude REAL,
    "group" INTEGER REFERENCES groups (number) ON DELETE SET NULL,
    hidden INTEGER NOT NULL DEFAULT 0,
    pinned INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX items_by_content ON items (content);
CREATE INDEX items_by_source ON items (source);
CREATE INDEX items_by_group ON items ("group");
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
"""
