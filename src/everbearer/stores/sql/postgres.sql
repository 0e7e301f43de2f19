-- Statements of the PostgreSQL store.  Each is named, with a line that says what for.
-- @records, @pending, @meta and @due stand for the names of tables and index, :name for
-- a parameter.  Text is compared byte by byte ("C"), as in the other stores.

-- name: lock_schema
-- One process at a time makes or changes the tables; released with the transaction.
SELECT pg_advisory_xact_lock(hashtextextended(:schema, 20260101));

-- name: create_meta
-- What these tables are, for releases to come.
CREATE TABLE IF NOT EXISTS @meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- name: create_records
-- One row an account; what is secret or personal is in `sealed`.
CREATE TABLE IF NOT EXISTS @records (
    provider TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    revision TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    version BIGINT NOT NULL,
    standing TEXT NOT NULL,
    reason TEXT,
    since DOUBLE PRECISION,
    detail TEXT NOT NULL DEFAULT '',
    expires_at DOUBLE PRECISION,
    refresh_expires_at DOUBLE PRECISION,
    minted_at DOUBLE PRECISION NOT NULL,
    client_id TEXT NOT NULL DEFAULT '',
    token_origin TEXT NOT NULL DEFAULT '',
    lease_id TEXT,
    lease_holder TEXT,
    lease_until DOUBLE PRECISION,
    intent_fingerprint TEXT,
    intent_first_sent_at DOUBLE PRECISION,
    intent_last_sent_at DOUBLE PRECISION,
    intent_flights TEXT,
    intent_holder TEXT,
    back_off_kind TEXT,
    back_off_until DOUBLE PRECISION,
    back_off_fingerprint TEXT,
    back_off_attempts BIGINT,
    back_off_first_at DOUBLE PRECISION,
    back_off_message TEXT,
    throttle_kind TEXT,
    throttle_until DOUBLE PRECISION,
    throttle_fingerprint TEXT,
    throttle_attempts BIGINT,
    throttle_first_at DOUBLE PRECISION,
    throttle_message TEXT,
    rejections BIGINT NOT NULL DEFAULT 0,
    known TEXT NOT NULL DEFAULT '[]',
    sealed BYTEA NOT NULL,
    PRIMARY KEY (provider, account)
);

-- name: create_pending
-- Authorizations whose callback has not come back; `sealed` goes when one is used.
CREATE TABLE IF NOT EXISTS @pending (
    state_fingerprint TEXT PRIMARY KEY,
    provider TEXT NOT NULL,
    account TEXT NOT NULL,
    expires_at DOUBLE PRECISION NOT NULL,
    used BOOLEAN NOT NULL DEFAULT FALSE,
    sealed BYTEA
);

-- name: create_due_index
-- Whose token is the oldest; all that `due` reads is in it.
CREATE INDEX IF NOT EXISTS @due
ON @records (provider, standing, minted_at, account COLLATE "C");

-- name: has_meta
-- Whether the tables are there already.
SELECT to_regclass(:meta) IS NOT NULL;

-- name: read_meta
-- One fact about these tables.
SELECT value FROM @meta WHERE name = :name;

-- name: write_meta
-- Note a fact about these tables, once.
INSERT INTO @meta (name, value) VALUES (:name, :value)
ON CONFLICT (name) DO NOTHING;

-- name: raise_schema
-- Note that an older release's tables were brought up to date.
UPDATE @meta SET value = CAST(:schema AS TEXT)
WHERE name = 'schema' AND CAST(value AS INTEGER) < CAST(CAST(:schema AS TEXT) AS INTEGER);

-- name: is_durable
-- Whether a commit that was acknowledged survives a crash of the server.
SELECT current_setting('synchronous_commit') <> 'off'
    AND current_setting('fsync') = 'on';

-- name: now
-- The server's clock.
SELECT extract(EPOCH FROM clock_timestamp())::DOUBLE PRECISION;

-- name: tell
-- Tell everybody who listens, this process among them.
SELECT pg_notify(:channel, :told);

-- name: load
-- The record of one account and the server's clock, also where there is no record.
SELECT extract(EPOCH FROM clock_timestamp())::DOUBLE PRECISION AS server_now, r.*
FROM (SELECT 1) AS one
LEFT JOIN @records AS r ON r.provider = :provider AND r.account = :account;

-- name: mark
-- What tells somebody who waits for a record that it changed.
SELECT incarnation, version, lease_id, standing FROM @records
WHERE provider = :provider AND account = :account;

-- name: insert
-- A first record, unless somebody else was first; and tell those who wait.
WITH written AS (
    INSERT INTO @records (
        provider, account, revision, incarnation, version, standing, reason, since,
        detail, expires_at, refresh_expires_at, minted_at, client_id, token_origin,
        lease_id, lease_holder, lease_until, intent_fingerprint,
        intent_first_sent_at, intent_last_sent_at, intent_flights, intent_holder,
        back_off_kind, back_off_until, back_off_fingerprint, back_off_attempts,
        back_off_first_at, back_off_message, throttle_kind, throttle_until,
        throttle_fingerprint, throttle_attempts, throttle_first_at,
        throttle_message, rejections, known, sealed
    ) VALUES (
        :provider, :account, :revision, :incarnation, :version, :standing, :reason,
        :since, :detail, :expires_at, :refresh_expires_at, :minted_at, :client_id,
        :token_origin, :lease_id, :lease_holder, :lease_until,
        :intent_fingerprint, :intent_first_sent_at, :intent_last_sent_at,
        :intent_flights, :intent_holder, :back_off_kind, :back_off_until,
        :back_off_fingerprint, :back_off_attempts, :back_off_first_at,
        :back_off_message, :throttle_kind, :throttle_until, :throttle_fingerprint,
        :throttle_attempts, :throttle_first_at, :throttle_message, :rejections,
        :known, :sealed
    )
    ON CONFLICT (provider, account) DO NOTHING
    RETURNING 1
)
SELECT EXISTS (SELECT 1 FROM written) AS written,
    CASE WHEN EXISTS (SELECT 1 FROM written)
        THEN pg_notify(:channel::TEXT, :told::TEXT) END;

-- name: update
-- Write the columns that this release knows, if nobody has written since the revision
-- that was read, and if the time that was read is not over; and tell those who wait.
WITH written AS (
    UPDATE @records SET
        revision = :revision, incarnation = :incarnation, version = :version,
        standing = :standing, reason = :reason, since = :since, detail = :detail,
        expires_at = :expires_at, refresh_expires_at = :refresh_expires_at,
        minted_at = :minted_at, client_id = :client_id,
        token_origin = :token_origin, lease_id = :lease_id,
        lease_holder = :lease_holder, lease_until = :lease_until,
        intent_fingerprint = :intent_fingerprint,
        intent_first_sent_at = :intent_first_sent_at,
        intent_last_sent_at = :intent_last_sent_at,
        intent_flights = :intent_flights, intent_holder = :intent_holder,
        back_off_kind = :back_off_kind, back_off_until = :back_off_until,
        back_off_fingerprint = :back_off_fingerprint,
        back_off_attempts = :back_off_attempts,
        back_off_first_at = :back_off_first_at,
        back_off_message = :back_off_message, throttle_kind = :throttle_kind,
        throttle_until = :throttle_until,
        throttle_fingerprint = :throttle_fingerprint,
        throttle_attempts = :throttle_attempts,
        throttle_first_at = :throttle_first_at,
        throttle_message = :throttle_message, rejections = :rejections,
        known = :known, sealed = :sealed
    WHERE provider = :provider AND account = :account AND revision = :expected
        AND (
            CAST(:now AS DOUBLE PRECISION) IS NULL
            OR abs(extract(EPOCH FROM clock_timestamp()) - CAST(:now AS DOUBLE PRECISION))
                <= CAST(:stale_after AS DOUBLE PRECISION)
        )
    RETURNING 1
)
SELECT EXISTS (SELECT 1 FROM written) AS written,
    CASE WHEN CAST(:tell AS BOOLEAN) AND EXISTS (SELECT 1 FROM written)
        THEN pg_notify(:channel::TEXT, :told::TEXT) END;

-- name: delete
-- Forget one account, if nobody has written since; and tell those who wait.
WITH written AS (
    DELETE FROM @records
    WHERE provider = :provider AND account = :account AND revision = :expected
    RETURNING 1
)
SELECT EXISTS (SELECT 1 FROM written) AS written,
    CASE WHEN EXISTS (SELECT 1 FROM written)
        THEN pg_notify(:channel::TEXT, :told::TEXT) END;

-- name: page
-- The next records in order after one account.
SELECT * FROM @records
WHERE (provider, account) > (:provider, :account)
ORDER BY provider, account LIMIT :size;

-- name: page_of_provider
-- The same within one provider.
SELECT * FROM @records
WHERE provider = :provider AND account > :account
ORDER BY account LIMIT :size;

-- name: due
-- Connected accounts of one provider by the age of their token, from one on.
SELECT minted_at, account FROM @records
WHERE provider = :provider AND standing = 'connected' AND minted_at <= :before
    AND (minted_at, account) > (:minted_at, :account)
ORDER BY minted_at, account LIMIT :size;

-- name: save_pending
-- Keep a started authorization; a second try never revives a used one.
INSERT INTO @pending (state_fingerprint, provider, account, expires_at, sealed)
VALUES (:state_fingerprint, :provider, :account, :expires_at, :sealed)
ON CONFLICT (state_fingerprint) DO NOTHING;

-- name: purge_pending
-- Drop authorizations that ended long ago, used or not.
DELETE FROM @pending WHERE expires_at < :horizon;

-- name: load_pending
-- The started authorization that a state belongs to, and the server's clock.
SELECT extract(EPOCH FROM clock_timestamp())::DOUBLE PRECISION AS server_now, p.*
FROM (SELECT 1) AS one
LEFT JOIN @pending AS p ON p.state_fingerprint = :state_fingerprint;

-- name: use_pending
-- Note that it is handed out, and forget its secrets; of two only one does.
UPDATE @pending SET used = TRUE, sealed = NULL
WHERE state_fingerprint = :state_fingerprint AND NOT used
RETURNING 1;

-- name: page_of_pending
-- The next authorizations that are not used, in order after one.
SELECT * FROM @pending
WHERE sealed IS NOT NULL AND state_fingerprint > :state_fingerprint
ORDER BY state_fingerprint LIMIT :size;

-- name: exchange_record
-- Put another sealing of the same in the place of one, if it is still there; say what
-- is there then.  Nobody is told: nothing that anybody waits for has changed.
WITH written AS (
    UPDATE @records SET sealed = :anew, revision = :revision
    WHERE provider = :provider AND account = :account AND sealed = :sealed
    RETURNING sealed
)
SELECT coalesce((SELECT sealed FROM written), (
    SELECT sealed FROM @records WHERE provider = :provider AND account = :account
)) AS sealed;

-- name: exchange_pending
-- The same for an authorization.
WITH written AS (
    UPDATE @pending SET sealed = :anew
    WHERE state_fingerprint = :state_fingerprint AND sealed = :sealed
    RETURNING sealed
)
SELECT coalesce((SELECT sealed FROM written), (
    SELECT sealed FROM @pending WHERE state_fingerprint = :state_fingerprint
)) AS sealed;
