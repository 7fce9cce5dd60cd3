//! Real servers for the tests, started on free ports and ended by their process id.

mod port;
mod postgres;

pub use port::free_port;
pub use postgres::TestPostgres;
