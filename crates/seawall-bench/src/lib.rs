//! Load generator that checks sessions for lost updates and stale reads.
