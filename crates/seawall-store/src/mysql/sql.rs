//! The statements. A batch comes as one JSON array of rows, which `JSON_TABLE` turns into a table
//! with the rows in their order; the join with it is pinned, so rows are locked in key order.

use crate::store::list_limit;

/// The batch as a table: the columns of a key, and `$columns`.
macro_rules! batch {
    ($columns:literal) => {
        concat!(
            "JSON_TABLE(?, '$[*]' COLUMNS (position FOR ORDINALITY, \
             id VARCHAR(120) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PATH '$.id' ERROR ON ERROR, \
             context VARCHAR(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PATH '$.context' \
             ERROR ON ERROR, \
             host VARCHAR(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PATH '$.host' ERROR ON ERROR",
            $columns,
            ")) AS u"
        )
    };
}

macro_rules! join {
    () => {
        " STRAIGHT_JOIN JettySessions AS s \
         ON s.sessionId = u.id AND s.contextPath = u.context AND s.virtualHost = u.host "
    };
}

/// What a record is made from, in the order in which `row.rs` reads it.
macro_rules! record_columns {
    () => {
        "s.lastSavedTime, s.createTime, s.accessTime, s.expiryTime, s.maxInterval, s.deadline, \
         s.principal, s.lastNode, s.origin"
    };
}

/// A row whose version is known comes without its attributes.
pub(super) const READ: &str = concat!(
    "SELECT u.position, s.lastSavedTime <=> u.known, ",
    record_columns!(),
    ", CASE WHEN s.lastSavedTime <=> u.known THEN NULL ELSE s.map END FROM ",
    batch!(", known BIGINT PATH '$.known' ERROR ON ERROR"),
    join!()
);

/// The same of a single session, without a batch that has to be taken apart. Takes the known version
/// twice, and the key.
pub(super) const READ_ONE: &str = concat!(
    "SELECT 1, s.lastSavedTime <=> ?, ",
    record_columns!(),
    ", CASE WHEN s.lastSavedTime <=> ? THEN NULL ELSE s.map END FROM JettySessions AS s ",
    "WHERE s.sessionId = ? AND s.contextPath = ? AND s.virtualHost = ?"
);

/// Locks rows, and gives what commits depend on.
pub(super) const LOCK: &str = concat!(
    "SELECT u.position, s.lastSavedTime, s.accessTime, s.expiryTime, s.deadline FROM ",
    batch!(""),
    join!(),
    "FOR UPDATE"
);

/// What a write sets, in the order in which `row.rs` gives the values.
const WRITTEN: [&str; 10] = [
    "lastNode",
    "accessTime",
    "lastAccessTime",
    "lastSavedTime",
    "expiryTime",
    "maxInterval",
    "map",
    "principal",
    "deadline",
    "expirybucket",
];

/// So many new sessions. Takes for each the key, when it was made, twice, and what a write sets.
pub(super) fn create(rows: usize) -> String {
    let row = format!("({})", ["?"; 5 + WRITTEN.len()].join(", "));
    let rows = vec![row; rows].join(", ");
    let columns = WRITTEN.join(", ");
    format!(
        "INSERT INTO JettySessions (sessionId, contextPath, virtualHost, createTime, cookieTime, \
         {columns}) VALUES {rows}"
    )
}

/// So many sessions that are there, and locked; takes what [`create`] does. A join with a table made
/// of the batch would cost the server a file for each batch, because of the long column.
pub(super) fn update(rows: usize) -> String {
    let set = WRITTEN.map(|column| format!("{column} = VALUES({column})"));
    format!(
        "{} ON DUPLICATE KEY UPDATE {}",
        create(rows),
        set.join(", ")
    )
}

/// An update that is alone, as a transaction of its own. It does nothing when the version is another
/// one, or the stored access later.
pub(super) fn update_one() -> String {
    let set = WRITTEN.map(|column| format!("{column} = ?")).join(", ");
    format!(
        "UPDATE JettySessions SET {set} WHERE sessionId = ? AND contextPath = ? \
         AND virtualHost = ? AND lastSavedTime = ? AND accessTime <= ?"
    )
}

/// Takes the new id, the origin, what a write sets, the key, and the expected version.
pub(super) fn rename() -> String {
    let set = WRITTEN.map(|column| format!("{column} = ?")).join(", ");
    format!(
        "UPDATE JettySessions SET sessionId = ?, origin = ?, {set} \
         WHERE sessionId = ? AND contextPath = ? AND virtualHost = ? AND lastSavedTime = ?"
    )
}

pub(super) const TOUCH: &str = concat!(
    "UPDATE ",
    batch!(
        ", access BIGINT PATH '$.access' ERROR ON ERROR, expiry BIGINT PATH '$.expiry' ERROR ON ERROR, \
         bucket BIGINT PATH '$.bucket' ERROR ON ERROR"
    ),
    join!(),
    "SET s.accessTime = u.access, s.lastAccessTime = u.access, s.expiryTime = u.expiry, \
     s.expirybucket = u.bucket WHERE s.accessTime < u.access"
);

pub(super) const DELETE: &str = concat!("DELETE s FROM ", batch!(""), join!());

/// Deletes a session that has moved to another id. Takes its origin, its context and its host.
pub(super) const DELETE_MOVED: &str = "DELETE FROM JettySessions \
    WHERE origin = ? AND contextPath = ? AND virtualHost = ?";

macro_rules! expired {
    ($bucket:literal) => {
        concat!(
            "SELECT ",
            record_columns!(),
            ", s.map, s.sessionId, s.contextPath, s.virtualHost FROM JettySessions AS s WHERE ",
            $bucket,
            " AND s.expiryTime > 0 AND s.expiryTime <= ? ORDER BY s.expirybucket LIMIT ? \
             FOR UPDATE SKIP LOCKED"
        )
    };
}

/// Takes the bucket of now, now, and a limit.
pub(super) const EXPIRED: &str = expired!("s.expirybucket <= ?");

/// Expired rows that Jetty wrote: they have no bucket. Takes now, and a limit.
pub(super) const EXPIRED_FOREIGN: &str = expired!("s.expirybucket IS NULL");

/// Rows whose bucket has passed and whose expiry has not: Jetty touched them, or somebody set an
/// expiry that is so late that no sum with it is a `bigint`. Takes now twice, and a limit.
pub(super) const REBUCKET: &str = "UPDATE JettySessions \
    SET expirybucket = (LEAST(expiryTime, 4503599627370496) + 299999) DIV 300000 * 300000 \
    WHERE expirybucket < ? AND expiryTime > ? ORDER BY expirybucket LIMIT ?";

/// Takes a principal, and now. As many rows as [`LIST_LIMIT`](crate::store::LIST_LIMIT) says.
pub(super) const LIST: &str = concat!(
    "SELECT sessionId, contextPath, virtualHost, createTime, accessTime, lastNode, origin \
     FROM JettySessions WHERE principal = ? AND (expiryTime <= 0 OR expiryTime > ?) \
     ORDER BY accessTime DESC LIMIT ",
    list_limit!()
);

/// Which sessions are where they were, and have not expired. The batch is followed by now.
pub(super) const LOCATE: &str = concat!(
    "SELECT u.position, s.sessionId FROM ",
    batch!(""),
    join!(),
    "WHERE s.expiryTime <= 0 OR s.expiryTime > ?"
);

/// Where sessions are that have moved to other ids; the batch has their origins for ids.
pub(super) const LOCATE_MOVED: &str = concat!(
    "SELECT u.position, s.sessionId FROM ",
    batch!(""),
    " STRAIGHT_JOIN JettySessions AS s \
     ON s.origin = u.id AND s.contextPath = u.context AND s.virtualHost = u.host \
     WHERE s.expiryTime <= 0 OR s.expiryTime > ?"
);

pub(super) const COUNT: &str = "SELECT COUNT(*) FROM JettySessions";
