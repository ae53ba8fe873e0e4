CREATE TABLE audit_logs (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  request_id  TEXT NOT NULL UNIQUE,
  timestamp   TEXT NOT NULL,      -- RFC 3339, UTC, when the request arrived
  user_id     TEXT NOT NULL,      -- the token's sub, or 'anonymous'
  method      TEXT NOT NULL,
  path        TEXT NOT NULL,      -- without the query string, which may hold secrets
  status      INTEGER NOT NULL,
  duration_ms INTEGER NOT NULL,
  ip          TEXT,
  user_agent  TEXT
);

CREATE INDEX audit_logs_by_user ON audit_logs (user_id, timestamp);
CREATE INDEX audit_logs_by_time ON audit_logs (timestamp);
