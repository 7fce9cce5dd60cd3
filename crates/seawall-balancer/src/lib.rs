//! Sticky HTTP balancer.
