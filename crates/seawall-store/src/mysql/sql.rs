//! The statements. A batch comes as one JSON array of rows, which `JSON_TABLE` turns into a table
//! with the rows in their order; the join with it is pinned, so rows are locked in key order.

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

/// The batch with all that a row holds; the attributes are in base 64.
macro_rules! batch_of_rows {
    () => {
        batch!(
            ", version BIGINT PATH '$.version' ERROR ON ERROR, \
             created BIGINT PATH '$.created' ERROR ON ERROR, \
             access BIGINT PATH '$.access' ERROR ON ERROR, \
             idle BIGINT PATH '$.idle' ERROR ON ERROR, \
             expiry BIGINT PATH '$.expiry' ERROR ON ERROR, \
             deadline BIGINT PATH '$.deadline' ERROR ON ERROR, \
             bucket BIGINT PATH '$.bucket' ERROR ON ERROR, \
             principal VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PATH '$.principal' \
             ERROR ON ERROR, \
             node VARCHAR(60) CHARACTER SET utf8mb4 PATH '$.node' ERROR ON ERROR, \
             map LONGTEXT CHARACTER SET utf8mb4 PATH '$.map' ERROR ON ERROR"
        )
    };
}

macro_rules! join {
    () => {
        " STRAIGHT_JOIN JettySessions AS s \
         ON s.sessionId = u.id AND s.contextPath = u.context AND s.virtualHost = u.host "
    };
}

macro_rules! set_columns {
    () => {
        "s.lastNode = u.node, s.accessTime = u.access, s.lastAccessTime = u.access, \
         s.lastSavedTime = u.version, s.expiryTime = u.expiry, s.maxInterval = u.idle, \
         s.map = FROM_BASE64(u.map), s.principal = u.principal, s.deadline = u.deadline, \
         s.expirybucket = u.bucket"
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

pub(super) const CREATE: &str = concat!(
    "INSERT INTO JettySessions (sessionId, contextPath, virtualHost, lastNode, accessTime, \
     lastAccessTime, createTime, cookieTime, lastSavedTime, expiryTime, maxInterval, map, \
     principal, deadline, expirybucket) SELECT u.id, u.context, u.host, u.node, u.access, \
     u.access, u.created, u.created, u.version, u.expiry, u.idle, FROM_BASE64(u.map), \
     u.principal, u.deadline, u.bucket FROM ",
    batch_of_rows!()
);

pub(super) const UPDATE: &str =
    concat!("UPDATE ", batch_of_rows!(), join!(), "SET ", set_columns!());

/// An update that is alone, as a transaction of its own. It does nothing when the version is another
/// one, or the stored access later.
pub(super) const UPDATE_ONE: &str = "UPDATE JettySessions SET lastNode = ?, accessTime = ?, \
    lastAccessTime = ?, lastSavedTime = ?, expiryTime = ?, maxInterval = ?, map = FROM_BASE64(?), \
    principal = ?, deadline = ?, expirybucket = ? WHERE sessionId = ? AND contextPath = ? \
    AND virtualHost = ? AND lastSavedTime = ? AND accessTime <= ?";

/// The new id and the origin follow the batch, which is one row.
pub(super) const RENAME: &str = concat!(
    "UPDATE ",
    batch_of_rows!(),
    join!(),
    "SET s.sessionId = ?, s.origin = ?, ",
    set_columns!()
);

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

/// Rows whose bucket has passed and whose expiry has not: Jetty touched them. Takes now twice, and
/// a limit.
pub(super) const REBUCKET: &str = "UPDATE JettySessions \
    SET expirybucket = (expiryTime + 299999) DIV 300000 * 300000 \
    WHERE expirybucket < ? AND expiryTime > ? ORDER BY expirybucket LIMIT ?";

/// Takes a principal, and now.
pub(super) const LIST: &str = "SELECT sessionId, contextPath, virtualHost, createTime, accessTime, \
    lastNode, origin FROM JettySessions WHERE principal = ? AND (expiryTime <= 0 OR expiryTime > ?) \
    ORDER BY accessTime DESC LIMIT 10000";

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
