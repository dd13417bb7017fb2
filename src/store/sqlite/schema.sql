-- Version 1 of the embedded store. `part`: 0 for what is hashed, 1 for the directory.

CREATE TABLE documents (
    id INTEGER PRIMARY KEY,
    part INTEGER NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (part, name)
) STRICT;

CREATE TABLE members (
    part INTEGER NOT NULL,
    name TEXT NOT NULL,
    member TEXT NOT NULL,
    PRIMARY KEY (part, name, member)
) STRICT, WITHOUT ROWID;

CREATE TABLE entries (
    part INTEGER NOT NULL,
    stream TEXT NOT NULL,
    ms INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (part, stream, ms, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE cursors (
    part INTEGER NOT NULL,
    node INTEGER NOT NULL,
    log TEXT NOT NULL,
    at BLOB NOT NULL,
    PRIMARY KEY (part, node, log)
) STRICT, WITHOUT ROWID;

CREATE TABLE fences (
    part INTEGER PRIMARY KEY,
    token INTEGER NOT NULL
) STRICT;

CREATE TABLE visits (
    visitor BLOB PRIMARY KEY,
    expires_ms INTEGER NOT NULL,
    visits BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- `day` counts from the first of January of year 1.
CREATE TABLE counts (
    affiliate INTEGER NOT NULL,
    day INTEGER NOT NULL,
    field BLOB NOT NULL,
    clicks INTEGER NOT NULL,
    PRIMARY KEY (affiliate, day, field)
) STRICT, WITHOUT ROWID;

CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until_ms INTEGER NOT NULL,
    token INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE nodes (
    node INTEGER PRIMARY KEY,
    state TEXT NOT NULL
) STRICT;

CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    meta TEXT NOT NULL
) STRICT;

CREATE TABLE windows (
    name TEXT NOT NULL,
    member TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    PRIMARY KEY (name, member)
) STRICT, WITHOUT ROWID;
