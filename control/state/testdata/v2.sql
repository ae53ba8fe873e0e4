CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE workers (name TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE versions (
	id TEXT PRIMARY KEY,
	worker TEXT NOT NULL REFERENCES workers(name) ON DELETE CASCADE,
	number INTEGER NOT NULL,
	data TEXT NOT NULL,
	UNIQUE (worker, number)
) WITHOUT ROWID;
CREATE TABLE modules (
	version TEXT NOT NULL REFERENCES versions(id) ON DELETE CASCADE,
	digest TEXT NOT NULL,
	PRIMARY KEY (version, digest)
) WITHOUT ROWID;
CREATE INDEX modules_digest ON modules (digest);
CREATE TABLE deployments (
	seq INTEGER PRIMARY KEY AUTOINCREMENT,
	id TEXT NOT NULL UNIQUE,
	worker TEXT NOT NULL REFERENCES workers(name) ON DELETE CASCADE,
	data TEXT NOT NULL
);
CREATE INDEX deployments_worker ON deployments (worker, seq);
CREATE TABLE secrets (
	id TEXT PRIMARY KEY,
	worker TEXT NOT NULL REFERENCES workers(name) ON DELETE CASCADE,
	sealed BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX secrets_worker ON secrets (worker);
CREATE TABLE zones (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, data TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE routes (
	id TEXT PRIMARY KEY,
	pattern TEXT NOT NULL UNIQUE,
	worker TEXT REFERENCES workers(name) ON DELETE CASCADE,
	zone TEXT NOT NULL REFERENCES zones(id) ON DELETE CASCADE,
	data TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX routes_worker ON routes (worker);
CREATE TABLE domains (
	id TEXT PRIMARY KEY,
	hostname TEXT NOT NULL UNIQUE,
	worker TEXT NOT NULL REFERENCES workers(name) ON DELETE CASCADE,
	zone TEXT NOT NULL REFERENCES zones(id) ON DELETE CASCADE,
	data TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX domains_worker ON domains (worker);
CREATE TABLE tokens (
	id TEXT PRIMARY KEY,
	hash TEXT NOT NULL UNIQUE,
	data TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE audit (seq INTEGER PRIMARY KEY AUTOINCREMENT, data TEXT NOT NULL);
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
INSERT INTO settings VALUES ('account', 'f1ea2386b6503db7dccfc822ffd1cabb');
INSERT INTO settings VALUES ('key_proof', '67d4ca213895ba4bec30dc1d367ca304e66bab2b599933192772a4e943c75b721d59b1e2dd58e31caa4b4d3576f63e20a1e9ca61f6d2bae3f018c6a9');
INSERT INTO workers VALUES ('api', '{"name":"api","id":"cc43383928e359ee227476a0ef53cf03","created":"2026-11-21T00:02:23.089463Z","modified":"2026-11-21T00:02:23.092192Z","last_deployed_from":"","subdomain":true,"previews":true,"schedules":[{"cron":"*/5 * * * *","created_on":"0001-01-01T00:00:00Z","modified_on":"0001-01-01T00:00:00Z"}]}');
INSERT INTO versions VALUES ('9c434127-d559-44a2-92ba-cf14e7d356c8', 'api', 1, '{"id":"9c434127-d559-44a2-92ba-cf14e7d356c8","worker":"api","number":1,"created":"2026-11-21T00:02:23.08997Z","source":"","author":"","main_module":"index.js","modules":[{"name":"index.js","type":"application/javascript+module","digest":"5694d08a2e53ffcae0c3103e5ad6f6076abd960eb1f8a56577040bc1028f702b","size":4}],"bindings":[{"name":"TOKEN","secret":"4dd09846348a2945b9e4428c6bf4743f","type":"secret_text"}],"etag":"code"}');
INSERT INTO modules VALUES ('9c434127-d559-44a2-92ba-cf14e7d356c8', '5694d08a2e53ffcae0c3103e5ad6f6076abd960eb1f8a56577040bc1028f702b');
INSERT INTO deployments VALUES (1, 'b218de80-1c18-4a39-aaf2-39476f640809', 'api', '{"id":"b218de80-1c18-4a39-aaf2-39476f640809","worker":"api","created":"2026-11-21T00:02:23.090421Z","source":"","author":"","shares":[{"version_id":"9c434127-d559-44a2-92ba-cf14e7d356c8","percentage":100}]}');
INSERT INTO secrets VALUES ('4dd09846348a2945b9e4428c6bf4743f', 'api', x'365ef28d8b26937c2b490d34249e3d2349e33c97e8a1ba555df9772e229d58849a3a55f898b468638d8ba001a002');
CREATE TABLE asset_files (
	hash TEXT PRIMARY KEY,
	digest TEXT NOT NULL,
	size INTEGER NOT NULL,
	type TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX asset_files_digest ON asset_files (digest);
CREATE TABLE asset_sessions (id TEXT PRIMARY KEY, created INTEGER NOT NULL, data TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE asset_missing (
	session TEXT NOT NULL REFERENCES asset_sessions(id) ON DELETE CASCADE,
	hash TEXT NOT NULL,
	PRIMARY KEY (session, hash)
) WITHOUT ROWID;
CREATE TABLE asset_manifests (
	id TEXT PRIMARY KEY,
	worker TEXT NOT NULL REFERENCES workers(name) ON DELETE CASCADE,
	data TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX asset_manifests_worker ON asset_manifests (worker);
INSERT INTO asset_files VALUES ('00112233445566778899aabbccddeeff', '5694d08a2e53ffcae0c3103e5ad6f6076abd960eb1f8a56577040bc1028f702b', 4, 'text/html');
PRAGMA user_version = 2;
