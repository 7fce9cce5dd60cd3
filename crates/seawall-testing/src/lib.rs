//! Real servers for the tests, started on free ports and ended by their process id.

mod certificates;
mod port;
mod postgres;
mod program;
mod redis;

pub use certificates::TestCertificates;
pub use port::free_port;
pub use postgres::TestPostgres;
pub use redis::{TestRedis, TestRedisCluster, TestRedisSentinel};
