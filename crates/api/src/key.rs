//! Canonical key bytes: what grouping, key slots and order are defined on.
