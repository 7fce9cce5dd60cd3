//! A load generator for session-test pages that checks what it gets.
//!
//! Every virtual user has one session and knows which visit count the page must show. So beside
//! requests per second and latencies a run has a **verdict**: updates that were lost, reads that
//! were stale, sessions that were lost. It works on any cluster that has such a page: Seawall's, or
//! Jetty's with the page of the recipe. The page has the label `Visit Count:` followed by the
//! number in the same element's text, and counts each request of a session, from 1.
//!
//! # What the verdict says
//! - *stale read*: an answer shows a count that this user had already been told, or a lower one.
//! - *lost update*: at the end a session's count is below the number of visits that were
//!   acknowledged; with shared sessions also: two answers show the same count.
//! - *session lost*: an answer is the first visit of another session although the user had one.
//! - *extra* visits are counted and nobody was told: a request failed, or was sent twice, after it
//!   had taken effect. They are not bad.
//!
//! # JSON
//! [`Report`] as JSON has the names of its fields; latencies are in milliseconds.

mod connection;
mod options;
mod page;
mod report;
mod run;
mod user;

pub use options::{BenchError, BenchOptions, Route};
pub use report::{Latency, Report, Verdict};
pub use run::{Progress, run};
