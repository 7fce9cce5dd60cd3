//! Application server with clustered sessions.
