-- Statements of the SQLite store.  Each is named, with a line that says what for.
-- Text is compared byte by byte (the default collation), which for UTF-8 is the order
-- of code points, as in the other stores.

-- name: journal_mode
-- How writes are journaled now.
PRAGMA journal_mode;

-- name: use_wal
-- Readers never wait for the writer, nor it for them.
PRAGMA journal_mode = WAL;

-- name: sync_every_commit
-- A rotation must survive a power cut: the old refresh token is spent.
PRAGMA synchronous = FULL;

-- name: never_write
-- The reading connection does nothing else.
PRAGMA query_only = ON;

-- name: begin
-- Take the write lock before reading, so that nobody writes in between.
BEGIN IMMEDIATE;

-- name: commit
-- Make the transaction last.
COMMIT;

-- name: create_meta
-- What this file is, for releases to come.
CREATE TABLE IF NOT EXISTS everbearer_meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- name: create_records
-- One row an account; what is secret or personal is in `sealed`.
CREATE TABLE IF NOT EXISTS everbearer_records (
    provider TEXT NOT NULL,
    account TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    version INTEGER NOT NULL,
    standing TEXT NOT NULL,
    reason TEXT,
    since REAL,
    detail TEXT NOT NULL DEFAULT '',
    expires_at REAL,
    refresh_expires_at REAL,
    minted_at REAL NOT NULL,
    client_id TEXT NOT NULL DEFAULT '',
    token_origin TEXT NOT NULL DEFAULT '',
    lease_id TEXT,
    lease_holder TEXT,
    lease_until REAL,
    intent_fingerprint TEXT,
    intent_first_sent_at REAL,
    intent_last_sent_at REAL,
    intent_flights TEXT,
    intent_holder TEXT,
    back_off_kind TEXT,
    back_off_until REAL,
    back_off_fingerprint TEXT,
    back_off_attempts INTEGER,
    back_off_first_at REAL,
    back_off_message TEXT,
    throttle_kind TEXT,
    throttle_until REAL,
    throttle_fingerprint TEXT,
    throttle_attempts INTEGER,
    throttle_first_at REAL,
    throttle_message TEXT,
    rejections INTEGER NOT NULL DEFAULT 0,
    known TEXT NOT NULL DEFAULT '[]',
    sealed BLOB NOT NULL,
    PRIMARY KEY (provider, account)
);

-- name: create_pending
-- Authorizations whose callback has not come back; `sealed` goes when one is used.
CREATE TABLE IF NOT EXISTS everbearer_pending (
    state_fingerprint TEXT PRIMARY KEY,
    provider TEXT NOT NULL,
    account TEXT NOT NULL,
    expires_at REAL NOT NULL,
    used INTEGER NOT NULL DEFAULT 0,
    sealed BLOB
);

-- name: create_due_index
-- Whose token is the oldest; all that `due` reads is in it.
CREATE INDEX IF NOT EXISTS everbearer_records_due
ON everbearer_records (provider, standing, minted_at, account);

-- name: has_meta
-- Whether this file was ever a token store.
SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'everbearer_meta';

-- name: read_meta
-- One fact about this file.
SELECT value FROM everbearer_meta WHERE name = :name;

-- name: write_meta
-- Note a fact about this file, once.
INSERT INTO everbearer_meta (name, value) VALUES (:name, :value)
ON CONFLICT (name) DO NOTHING;

-- name: move_meta
-- Note a fact about this file that may change.
INSERT INTO everbearer_meta (name, value) VALUES (:name, :value)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: raise_schema
-- Note that an older release's file was brought up to date; a newer one stays newer.
UPDATE everbearer_meta SET value = CAST(:schema AS TEXT)
WHERE name = 'schema' AND CAST(value AS INTEGER) < :schema;

-- name: has_sealed
-- Whether anything here was sealed with a key that must not be lost.
SELECT EXISTS (SELECT 1 FROM everbearer_records)
    OR EXISTS (SELECT 1 FROM everbearer_pending WHERE sealed IS NOT NULL);

-- name: load
-- The record of one account.
SELECT * FROM everbearer_records
WHERE provider = :provider AND account = :account;

-- name: mark
-- What tells somebody who waits for a record that it changed.
SELECT incarnation, version, lease_id, standing FROM everbearer_records
WHERE provider = :provider AND account = :account;

-- name: save
-- Write the columns that this release knows and leave newer ones as they are.
INSERT INTO everbearer_records (
    provider, account, incarnation, version, standing, reason, since, detail,
    expires_at, refresh_expires_at, minted_at, client_id, token_origin, lease_id,
    lease_holder, lease_until, intent_fingerprint, intent_first_sent_at,
    intent_last_sent_at, intent_flights, intent_holder, back_off_kind,
    back_off_until, back_off_fingerprint, back_off_attempts, back_off_first_at,
    back_off_message, throttle_kind, throttle_until, throttle_fingerprint,
    throttle_attempts, throttle_first_at, throttle_message, rejections, known,
    sealed
) VALUES (
    :provider, :account, :incarnation, :version, :standing, :reason, :since,
    :detail, :expires_at, :refresh_expires_at, :minted_at, :client_id,
    :token_origin, :lease_id, :lease_holder, :lease_until, :intent_fingerprint,
    :intent_first_sent_at, :intent_last_sent_at, :intent_flights, :intent_holder,
    :back_off_kind, :back_off_until, :back_off_fingerprint, :back_off_attempts,
    :back_off_first_at, :back_off_message, :throttle_kind, :throttle_until,
    :throttle_fingerprint, :throttle_attempts, :throttle_first_at,
    :throttle_message, :rejections, :known, :sealed
)
ON CONFLICT (provider, account) DO UPDATE SET
    incarnation = excluded.incarnation, version = excluded.version, standing =
    excluded.standing, reason = excluded.reason, since = excluded.since, detail =
    excluded.detail, expires_at = excluded.expires_at, refresh_expires_at =
    excluded.refresh_expires_at, minted_at = excluded.minted_at, client_id =
    excluded.client_id, token_origin = excluded.token_origin, lease_id =
    excluded.lease_id, lease_holder = excluded.lease_holder, lease_until =
    excluded.lease_until, intent_fingerprint = excluded.intent_fingerprint,
    intent_first_sent_at = excluded.intent_first_sent_at, intent_last_sent_at =
    excluded.intent_last_sent_at, intent_flights = excluded.intent_flights,
    intent_holder = excluded.intent_holder, back_off_kind = excluded.back_off_kind,
    back_off_until = excluded.back_off_until, back_off_fingerprint =
    excluded.back_off_fingerprint, back_off_attempts = excluded.back_off_attempts,
    back_off_first_at = excluded.back_off_first_at, back_off_message =
    excluded.back_off_message, throttle_kind = excluded.throttle_kind,
    throttle_until = excluded.throttle_until, throttle_fingerprint =
    excluded.throttle_fingerprint, throttle_attempts = excluded.throttle_attempts,
    throttle_first_at = excluded.throttle_first_at, throttle_message =
    excluded.throttle_message, rejections = excluded.rejections, known =
    excluded.known, sealed = excluded.sealed;

-- name: delete
-- Forget one account.
DELETE FROM everbearer_records
WHERE provider = :provider AND account = :account;

-- name: page
-- The next records in order after one account.
SELECT * FROM everbearer_records
WHERE (provider, account) > (:provider, :account)
ORDER BY provider, account LIMIT :size;

-- name: page_of_provider
-- The same within one provider.
SELECT * FROM everbearer_records
WHERE provider = :provider AND account > :account
ORDER BY account LIMIT :size;

-- name: due
-- Connected accounts of one provider by the age of their token, from one on.
SELECT minted_at, account FROM everbearer_records
WHERE provider = :provider AND standing = 'connected' AND minted_at <= :before
    AND (minted_at, account) > (:minted_at, :account)
ORDER BY minted_at, account LIMIT :size;

-- name: save_pending
-- Keep a started authorization; a second try never revives a used one.
INSERT INTO everbearer_pending (
    state_fingerprint, provider, account, expires_at, sealed
) VALUES (:state_fingerprint, :provider, :account, :expires_at, :sealed)
ON CONFLICT (state_fingerprint) DO NOTHING;

-- name: purge_pending
-- Drop authorizations that ended long ago, used or not.
DELETE FROM everbearer_pending WHERE expires_at < :horizon;

-- name: load_pending
-- The started authorization that a state belongs to.
SELECT * FROM everbearer_pending WHERE state_fingerprint = :state_fingerprint;

-- name: use_pending
-- Note that it was handed out, and forget its secrets.
UPDATE everbearer_pending SET used = 1, sealed = NULL
WHERE state_fingerprint = :state_fingerprint;

-- name: page_of_pending
-- The next authorizations that are not used, in order after one.
SELECT * FROM everbearer_pending
WHERE sealed IS NOT NULL AND state_fingerprint > :state_fingerprint
ORDER BY state_fingerprint LIMIT :size;

-- name: exchange_record
-- Put another sealing of the same in the place of one, if it is still there.
UPDATE everbearer_records SET sealed = :anew
WHERE provider = :provider AND account = :account AND sealed = :sealed;

-- name: sealed_record
-- What is sealed of one account.
SELECT sealed FROM everbearer_records
WHERE provider = :provider AND account = :account;

-- name: exchange_pending
-- The same for an authorization: put another sealing of it in the place of one.
UPDATE everbearer_pending SET sealed = :anew
WHERE state_fingerprint = :state_fingerprint AND sealed = :sealed;

-- name: sealed_pending
-- What is sealed of an authorization; nothing once it was used.
SELECT sealed FROM everbearer_pending
WHERE state_fingerprint = :state_fingerprint;
