"""The tables of the city's store, in SQL that SQLite, PostgreSQL and DuckDB read alike but for the last words of each table.

Three kinds of files: `city.db` is written by the verbs, `live.db` and the months' `raw-YYYY-MM.db` by `rwctl serve` alone.
Times are Unix seconds. No column ever holds a station's MAC address, a Wi-Fi key or a password.
"""

from __future__ import annotations

from fleet.city import THROWN_AWAY

VERSION = 1

CITY = """
CREATE TABLE IF NOT EXISTS meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT;

-- `number` stands for the access point in telemetry and is never given twice; a revoked one keeps its row.
CREATE TABLE IF NOT EXISTS inventory (
  id TEXT NOT NULL PRIMARY KEY, number INTEGER NOT NULL UNIQUE, rw TEXT NOT NULL, kelurahan TEXT NOT NULL, kecamatan TEXT NOT NULL, provider TEXT NOT NULL,
  contract_mbps REAL NOT NULL, rupiah_month INTEGER NOT NULL, lat REAL, lon REAL,
  tags TEXT NOT NULL,                       -- sorted, one blank before, between and behind: " market school "; none: ""
  enrolled_at INTEGER NOT NULL, revoked_at INTEGER
) STRICT;

CREATE TABLE IF NOT EXISTS certificates (
  serial TEXT NOT NULL PRIMARY KEY,         -- hex
  ap TEXT NOT NULL, made_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, revoked_at INTEGER,
  replaced INTEGER NOT NULL DEFAULT 0       -- 1: another came in its place, and the broker is still to be told
) STRICT;

-- What was pushed: each row one act of an operator. The layer in force of (level, name) is its row with the highest number.
CREATE TABLE IF NOT EXISTS changes (
  number INTEGER NOT NULL PRIMARY KEY, at INTEGER NOT NULL, author TEXT NOT NULL, kind TEXT NOT NULL,   -- push, revert
  level TEXT NOT NULL, name TEXT NOT NULL,  -- city kecamatan kelurahan rw tag ap
  document TEXT NOT NULL,                   -- JSON of the layer; each key stands as "secret:<name>"
  note TEXT NOT NULL DEFAULT ''
) STRICT;

-- What each access point was told: one row for each revision.
CREATE TABLE IF NOT EXISTS revisions (
  ap INTEGER NOT NULL, revision INTEGER NOT NULL, change INTEGER NOT NULL, at INTEGER NOT NULL, author TEXT NOT NULL,
  hash TEXT NOT NULL,                       -- claims.public_hash of the document
  document TEXT NOT NULL,                   -- JSON of the whole document; each key stands as "secret:<name>"
  confirm_within_s INTEGER NOT NULL, below_contract INTEGER NOT NULL,  -- as the claims have them: signing it again gives the same bytes
  jws BLOB,                                 -- absent: to be signed; dropped when a later one is published
  published_at INTEGER,                     -- the broker took it; absent: to be published again
  PRIMARY KEY (ap, revision)
) STRICT;
"""

LIVE = """
CREATE TABLE IF NOT EXISTS meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT;

-- One row for each boot of an access point. `received` is the only test for what was stored before: ranges of seq, "1-41,43,50-52".
CREATE TABLE IF NOT EXISTS boots (
  number INTEGER NOT NULL PRIMARY KEY, ap INTEGER NOT NULL, boot TEXT NOT NULL, received TEXT NOT NULL,
  gone_below INTEGER NOT NULL DEFAULT 1,    -- what is below and was not received is lost for good (agent.oldest_seq)
  base REAL, base_is_sure INTEGER NOT NULL DEFAULT 0,   -- Unix seconds of uptime 0; sure: from a report whose clock was ntp, else from the quickest arrival
  first_at INTEGER NOT NULL, last_at INTEGER NOT NULL,  -- by the server's clock
  from_ts INTEGER, to_ts INTEGER,           -- from the begin of its earliest report's span to the end of its latest's
  UNIQUE (ap, boot)
) STRICT;

-- The newest of each access point.
CREATE TABLE IF NOT EXISTS state (
  ap INTEGER NOT NULL PRIMARY KEY, presence TEXT, session TEXT, presence_at INTEGER,     -- online, safe-mode, lost, offline
  boot TEXT, seq INTEGER, report_at INTEGER,                -- report_at: when it came, by the server's clock
  span_s REAL, report TEXT,                                 -- the newest report as JSON
  info TEXT, reported TEXT, reported_at INTEGER,            -- config/reported as JSON
  plan TEXT, plan_at INTEGER                                -- config/plan/result as JSON
) STRICT;

CREATE TABLE IF NOT EXISTS alerts (ap INTEGER NOT NULL, code TEXT NOT NULL, since INTEGER, data TEXT NOT NULL, PRIMARY KEY (ap, code)) STRICT;

CREATE TABLE IF NOT EXISTS events (
  ts INTEGER NOT NULL, ap INTEGER NOT NULL, boot INTEGER NOT NULL, seq INTEGER NOT NULL,
  kind TEXT NOT NULL, data TEXT NOT NULL, uptime_s REAL NOT NULL, clock TEXT,
  PRIMARY KEY (ts, ap, boot, seq)
) STRICT;
CREATE INDEX IF NOT EXISTS events_of_boot ON events (boot);

-- When an agent said that it stops (presence offline), or is in safe mode: until its next report that time is unknown, not down.
CREATE TABLE IF NOT EXISTS stops (ap INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (ap, at)) STRICT;

-- When this end listened: from the first message heard to the last moment it was known to be connected and committing.
CREATE TABLE IF NOT EXISTS listening (began_at INTEGER NOT NULL PRIMARY KEY, ended_at INTEGER NOT NULL) STRICT;

-- Valid certificates without a row in the inventory.
CREATE TABLE IF NOT EXISTS pending (ap TEXT NOT NULL PRIMARY KEY, first_at INTEGER NOT NULL, last_at INTEGER NOT NULL, messages INTEGER NOT NULL) STRICT;

-- What could not be understood: bounded, without what must not be kept.
CREATE TABLE IF NOT EXISTS quarantine (
  number INTEGER NOT NULL PRIMARY KEY, at INTEGER NOT NULL, topic TEXT NOT NULL, reason TEXT NOT NULL,
  bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, beginning TEXT NOT NULL
) STRICT;

-- One row for each access point and hour (hr: its first second). up + down + unknown = the hour, or the part of it that is over.
CREATE TABLE IF NOT EXISTS hours (
  hr INTEGER NOT NULL, ap INTEGER NOT NULL, up_s INTEGER NOT NULL, down_s INTEGER NOT NULL, unknown_s INTEGER NOT NULL, reports INTEGER NOT NULL,
  stations_s REAL NOT NULL, covered_s REAL NOT NULL,        -- stations x seconds, over as many seconds: the mean is their ratio
  stations_max INTEGER, rx_bytes REAL NOT NULL, tx_bytes REAL NOT NULL, rx_peak_bps REAL, tx_peak_bps REAL,
  loss_s REAL NOT NULL, probed_s REAL NOT NULL, latency_s REAL NOT NULL, answered_s REAL NOT NULL,  -- loss_ratio, latency_ms: each x seconds, over as many
  PRIMARY KEY (hr, ap)
) STRICT, WITHOUT ROWID;

-- How often each number of clients was seen in an hour of a kelurahan: exact percentiles. so_far: samples of at most so many; total: all samples.
CREATE TABLE IF NOT EXISTS clients (
  hr INTEGER NOT NULL, kelurahan TEXT NOT NULL, stations INTEGER NOT NULL, n INTEGER NOT NULL, so_far INTEGER NOT NULL, total INTEGER NOT NULL,
  PRIMARY KEY (hr, kelurahan, stations)
) STRICT, WITHOUT ROWID;

-- Hours that changed since they were rolled up; `batch` is the last that changed them.
CREATE TABLE IF NOT EXISTS dirty (hr INTEGER NOT NULL PRIMARY KEY, batch INTEGER NOT NULL) STRICT;
"""

RAW = """
CREATE TABLE IF NOT EXISTS raw (
  ts INTEGER NOT NULL, ap INTEGER NOT NULL, boot INTEGER NOT NULL, seq INTEGER NOT NULL,   -- ts: the end of the span; boot: boots.number
  from_seq INTEGER,                         -- of a merged report: it counts as all from here to seq
  span_s REAL NOT NULL, uptime_s REAL NOT NULL, clock TEXT NOT NULL,  -- clock: ntp, floor, none; else than ntp: ts is ours, from boots.base
  late INTEGER NOT NULL, up INTEGER,        -- up: 1 uplink.state ok, 0 any other, NULL not said
  stations INTEGER, stations_max INTEGER, weak_ratio REAL,
  rx_bps REAL, tx_bps REAL, rx_peak_bps REAL, tx_peak_bps REAL,       -- of the uplink; rx is towards the clients
  latency_ms REAL, loss_ratio REAL, airtime_ratio REAL, cpu_ratio REAL, memory_ratio REAL,   -- memory_ratio: the free part
  alerts TEXT,                              -- codes, one blank between; none: NULL
  PRIMARY KEY (ts, ap, boot, seq)
) STRICT, WITHOUT ROWID;

-- The rows of the last batch. live.db's `meta` names the last batch that is whole; a younger one here is undone at the next start.
-- rows: JSON of {"added": [[ts, ap, boot, seq], ...], "removed": [[all columns], ...], "boots": [number, ...]}; what is stamped anew is removed and added.
CREATE TABLE IF NOT EXISTS batch (number INTEGER NOT NULL PRIMARY KEY, rows TEXT NOT NULL) STRICT;

-- Whose rows these are, so that the file stands for itself and live.db can be made anew from it.
CREATE TABLE IF NOT EXISTS boots (number INTEGER NOT NULL PRIMARY KEY, ap INTEGER NOT NULL, boot TEXT NOT NULL) STRICT;
"""

# Which rows of live.db's `pending` are shown: not the broker check's, and no access point's last words within a minute of its revocation.
IS_PENDING = f"""pending.ap NOT LIKE '{THROWN_AWAY}%' AND NOT EXISTS
  (SELECT 1 FROM city.inventory AS i WHERE i.id = pending.ap AND (i.revoked_at IS NULL OR pending.last_at <= i.revoked_at + 60))"""
