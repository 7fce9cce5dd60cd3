//! Sessions for Rust web applications: manager, cookie, tower layer, axum extractor.
