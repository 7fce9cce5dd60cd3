//! Real servers for the tests, started on free ports and ended by their process id.

mod browser;
mod certificates;
pub mod history;
mod mariadb;
mod other_user;
mod pgbouncer;
mod port;
mod postgres;
mod program;
mod redis;

pub use browser::BrowserState;
pub use certificates::TestCertificates;
pub use mariadb::TestMariaDb;
pub use pgbouncer::TestPgBouncer;
pub use port::free_port;
pub use postgres::TestPostgres;
pub use program::{find_program, program_folders};
pub use redis::{TestRedis, TestRedisCluster, TestRedisSentinel};
