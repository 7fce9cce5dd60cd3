//! The statements. Every array parameter is cast, and `unnest`ed with its position, so that
//! outcomes find their way back.
//!
//! They leave the planner no choice: each row of a batch is looked up in an index, in the order of the
//! batch. A plan is made when a connection uses a statement first, from statistics that may say that the
//! table is empty, and stays until they are gathered anew; one that reads the whole table looks cheap
//! then. So nothing is asked that lets an index be read from end to end: an id is a range of one, since
//! an equality is an order to merge by as well, and what only checks a row that was found is wrapped in
//! `IS TRUE`, which no index can serve. `tests.rs` sees to it.

use crate::store::list_limit;

/// The stored expiry of row `u` at the access that then counts: idle timeout and slack after it,
/// the deadline at the latest, and NULL for never.
macro_rules! expiry {
    ($access:literal) => {
        concat!(
            "LEAST(CASE WHEN u.idle > 0 THEN ",
            $access,
            " + u.idle + u.slack END, u.deadline)"
        )
    };
}

/// An expiry rounded up to the next five minutes: it changes rarely, so it can bear an index.
macro_rules! bucket {
    ($expiry:expr) => {
        concat!("(", $expiry, " + 299999) / 300000 * 300000")
    };
}

/// The tables and columns of a row to write.
macro_rules! unnest_rows {
    () => {
        "unnest($1::text[], $2::text[], $3::text[], $4::int8[], $5::int8[], $6::int8[], $7::int8[], \
         $8::int8[], $9::int8[], $10::text[], $11::text[], $12::bytea[]) WITH ORDINALITY \
         AS u(id, context, host, expected, version, access, idle, slack, deadline, node, principal, \
         map, position)"
    };
}

macro_rules! unnest_keys {
    () => {
        "unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS u(id, context, host, position)"
    };
}

macro_rules! same_id {
    () => {
        "s.sessionid >= u.id AND s.sessionid <= u.id"
    };
}

macro_rules! same_key {
    () => {
        concat!(
            same_id!(),
            " AND s.contextpath = u.context AND s.virtualhost = u.host"
        )
    };
}

/// The row of a session that has moved to another id; the first array holds origins. Asking for all of
/// them at once bounds what is read of their index, whichever side of the join comes first.
macro_rules! same_origin {
    () => {
        "s.origin = ANY($1::text[]) AND s.origin = u.id AND (s.contextpath = u.context) IS TRUE \
         AND (s.virtualhost = u.host) IS TRUE"
    };
}

macro_rules! set_columns {
    ($node:literal) => {
        concat!(
            "lastnode = ",
            $node,
            ", accesstime = GREATEST(s.accesstime, u.access), \
             lastaccesstime = GREATEST(s.accesstime, u.access), lastsavedtime = u.version, \
             expirytime = COALESCE(",
            expiry!("GREATEST(s.accesstime, u.access)"),
            ", 0), maxinterval = u.idle, map = u.map, principal = u.principal, \
             deadline = u.deadline, expirybucket = ",
            bucket!(expiry!("GREATEST(s.accesstime, u.access)"))
        )
    };
}

/// What a record is made from.
macro_rules! record_columns {
    () => {
        "s.lastsavedtime, s.createtime, s.accesstime, s.maxinterval, s.expirytime, s.deadline, \
         s.principal, s.lastnode, s.map, s.origin"
    };
}

macro_rules! read {
    ($reads:literal) => {
        concat!(
            "SELECT u.position, s.lastsavedtime, s.createtime, s.accesstime, s.maxinterval, \
             s.expirytime, s.deadline, s.principal, s.lastnode, s.origin, \
             CASE WHEN s.lastsavedtime = u.known THEN NULL ELSE COALESCE(s.map, ''::bytea) END \
             AS map FROM ",
            $reads,
            " JOIN jettysessions s ON ",
            same_key!()
        )
    };
}

pub(super) const READ: &str = read!(
    "unnest($1::text[], $2::text[], $3::text[], $4::int8[]) WITH ORDINALITY \
     AS u(id, context, host, known, position)"
);

/// As [`READ`] for a read that is alone: its parameters are single values, which costs PostgreSQL
/// less than arrays of one.
pub(super) const READ_ONE: &str = read!(
    "(SELECT $1::text AS id, $2::text AS context, $3::text AS host, $4::int8 AS known, \
     1::int8 AS position) AS u"
);

/// The version is asked for because it is not in the primary key, which would be enough otherwise, and
/// might be read as a whole.
pub(super) const EXISTS: &str = concat!(
    "SELECT u.position, s.lastsavedtime FROM ",
    unnest_keys!(),
    " JOIN jettysessions s ON ",
    same_key!()
);

pub(super) const CREATE: &str = concat!(
    "INSERT INTO jettysessions (sessionid, contextpath, virtualhost, lastnode, \
     accesstime, lastaccesstime, createtime, cookietime, lastsavedtime, expirytime, maxinterval, \
     map, principal, deadline, expirybucket) SELECT u.id, u.context, u.host, u.node, u.access, \
     u.access, u.expected, u.expected, u.version, COALESCE(",
    expiry!("u.access"),
    ", 0), u.idle, u.map, u.principal, u.deadline, ",
    bucket!(expiry!("u.access")),
    " FROM ",
    unnest_rows!(),
    " ORDER BY u.position ON CONFLICT DO NOTHING RETURNING sessionid, contextpath, virtualhost"
);

pub(super) const UPDATE: &str = concat!(
    "UPDATE jettysessions AS s SET ",
    set_columns!("u.node"),
    " FROM ",
    unnest_rows!(),
    " WHERE ",
    same_key!(),
    " AND s.lastsavedtime = u.expected RETURNING u.position"
);

/// As [`UPDATE`] for rows of one context, host and node, which nearly all batches hold: these three
/// are single values. Each array less saves PostgreSQL time, a tenth to a fifth for small batches
/// (ARCHITECTURE.md, figures).
pub(super) const UPDATE_UNIFORM: &str = concat!(
    "UPDATE jettysessions AS s SET ",
    set_columns!("$10::text"),
    " FROM unnest($1::text[], $4::int8[], $5::int8[], $6::int8[], $7::int8[], $8::int8[], \
     $9::int8[], $11::text[], $12::bytea[]) WITH ORDINALITY \
     AS u(id, expected, version, access, idle, slack, deadline, principal, map, position) \
     WHERE ",
    same_id!(),
    " AND (s.contextpath = $2::text) IS TRUE AND (s.virtualhost = $3::text) IS TRUE \
     AND s.lastsavedtime = u.expected RETURNING u.position"
);

/// As [`UPDATE`] for an update that is alone, with single values.
pub(super) const UPDATE_ONE: &str = concat!(
    "UPDATE jettysessions AS s SET ",
    set_columns!("u.node"),
    " FROM (SELECT $1::text AS id, $2::text AS context, $3::text AS host, $4::int8 AS expected, \
     $5::int8 AS version, $6::int8 AS access, $7::int8 AS idle, $8::int8 AS slack, \
     $9::int8 AS deadline, $10::text AS node, $11::text AS principal, $12::bytea AS map, \
     1::int8 AS position) AS u WHERE ",
    same_key!(),
    " AND s.lastsavedtime = u.expected RETURNING u.position"
);

/// The new id is the thirteenth parameter, the origin the fourteenth.
pub(super) const RENAME: &str = concat!(
    "UPDATE jettysessions AS s SET sessionid = $13::text, origin = $14::text, ",
    set_columns!("u.node"),
    " FROM ",
    unnest_rows!(),
    " WHERE ",
    same_key!(),
    " AND s.lastsavedtime = u.expected RETURNING u.position"
);

/// The expiry that a touched row gets: moved by as much as its last access moves. Somebody else may
/// have written one that is so late that no sum with it is a `bigint`.
macro_rules! moved {
    () => {
        "LEAST(LEAST(s.expirytime, 4503599627370496) + u.access - s.accesstime, s.deadline)"
    };
}

pub(super) const TOUCH: &str = concat!(
    "UPDATE jettysessions AS s SET accesstime = u.access, lastaccesstime = u.access, \
     expirytime = CASE WHEN s.expirytime > 0 THEN ",
    moved!(),
    " ELSE s.expirytime END, expirybucket = CASE WHEN s.expirytime > 0 THEN ",
    bucket!(moved!()),
    " ELSE s.expirybucket END \
     FROM unnest($1::text[], $2::text[], $3::text[], $4::int8[]) WITH ORDINALITY \
     AS u(id, context, host, access, position) WHERE ",
    same_key!(),
    " AND s.accesstime < u.access RETURNING u.position"
);

pub(super) const DELETE: &str = concat!(
    "DELETE FROM jettysessions AS s USING ",
    unnest_keys!(),
    " WHERE ",
    same_key!(),
    " RETURNING u.position"
);

/// Deletes sessions that have moved to other ids; the first array holds their origins.
pub(super) const DELETE_MOVED: &str = concat!(
    "DELETE FROM jettysessions AS s USING ",
    unnest_keys!(),
    " WHERE ",
    same_origin!(),
    " RETURNING u.position"
);

macro_rules! claim {
    ($due:expr, $order:literal) => {
        concat!(
            "WITH u AS MATERIALIZED (SELECT sessionid AS id, contextpath AS context, \
             virtualhost AS host FROM jettysessions WHERE ",
            $due,
            " AND expirytime > 0 AND expirytime <= $1::int8 ORDER BY ",
            $order,
            " LIMIT $2::int8 FOR UPDATE SKIP LOCKED) DELETE FROM jettysessions AS s USING u WHERE ",
            same_key!(),
            " RETURNING s.sessionid, s.contextpath, s.virtualhost, ",
            record_columns!()
        )
    };
}

pub(super) const CLAIM: &str = claim!(
    concat!("expirybucket <= ", bucket!("$1::int8")),
    "expirybucket"
);

/// Expired rows that Jetty wrote: they have no bucket.
pub(super) const CLAIM_FOREIGN: &str = claim!("expirybucket IS NULL", "expirybucket");

/// Rows whose bucket has passed and whose expiry has not: Jetty touched them, or somebody set an
/// expiry that is so late that no sum with it is a `bigint`.
pub(super) const REBUCKET: &str = concat!(
    "UPDATE jettysessions AS s SET expirybucket = ",
    bucket!("LEAST(s.expirytime, 4503599627370496)"),
    " FROM (SELECT sessionid AS id, contextpath AS context, virtualhost AS host \
     FROM jettysessions WHERE expirybucket < $1::int8 AND expirytime > $1::int8 \
     ORDER BY expirybucket LIMIT $2::int8 FOR UPDATE SKIP LOCKED) AS u WHERE ",
    same_key!()
);

pub(super) const LIST: &str = concat!(
    "SELECT sessionid, contextpath, virtualhost, createtime, accesstime, lastnode, origin \
     FROM jettysessions WHERE principal = $1::text \
     AND (expirytime <= 0 OR expirytime > $2::int8) ORDER BY accesstime DESC LIMIT ",
    list_limit!()
);

macro_rules! locate {
    ($condition:expr) => {
        concat!(
            "SELECT u.position, s.sessionid FROM ",
            unnest_keys!(),
            " JOIN jettysessions s ON ",
            $condition,
            " WHERE s.expirytime <= 0 OR s.expirytime > $4::int8"
        )
    };
}

/// Which sessions are where they were, and have not expired.
pub(super) const LOCATE: &str = locate!(same_key!());

/// Where sessions are that have moved to other ids; the first array holds their origins.
pub(super) const LOCATE_MOVED: &str = locate!(same_origin!());

pub(super) const COUNT: &str = "SELECT count(*) FROM jettysessions";
