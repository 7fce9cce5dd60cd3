//! The back ends against the conformance suite, on real databases.

mod conformance;
mod postgres;
