//! What node and balancer share: per-core runtimes, listeners, graceful shutdown.
