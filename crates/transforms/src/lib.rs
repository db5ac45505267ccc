//! The built-in transforms, one file each.
//!
//! [`catalog`] lists them. What other crates need of their parts is exported too: [`schema_guard`] for
//! `output_schema`, and [`assign_windows`] with [`windowing_from_spec`] for `windowing` on any transform.
//!
//! **Invariants.** Everything that can be checked before data flows is checked in `bind`, as diagnostics
//! with stable codes. Operators account for every row they are given.

// A build without SQL keeps the places where SQL would stand.
#![cfg_attr(not(feature = "sql"), allow(dead_code))]

mod assert_equal;
mod assign_timestamps;
mod combine;
mod common;
mod create;
mod deduplicate;
mod errors;
mod explode;
mod expressions;
mod extract_windowing_info;
mod fill_empty_windows;
mod filter;
mod flatten;
mod join;
mod log_for_testing;
mod map_to_fields;
mod partition;
mod py_transform;
mod python;
mod reshuffle;
#[cfg(test)]
mod restart;
mod sql;
mod strip_error_metadata;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod validate_with_schema;
mod window_into;
mod windows;
mod worker;

pub use validate_with_schema::schema_guard;
pub use windows::{assign_windows, windowing_from_spec};

use purlin_api::Entry;

/// All transforms of this crate, in the order of the reference.
pub fn catalog() -> Vec<Entry> {
    vec![
        create::entry(),
        map_to_fields::entry(),
        filter::entry(),
        explode::entry(),
        combine::entry(),
        join::entry(),
        sql::entry(),
        flatten::entry(),
        partition::entry(),
        window_into::entry(),
        assign_timestamps::entry(),
        extract_windowing_info::entry(),
        validate_with_schema::entry(),
        strip_error_metadata::entry(),
        assert_equal::entry(),
        log_for_testing::entry(),
        reshuffle::entry(),
        deduplicate::entry(),
        fill_empty_windows::entry(),
        py_transform::entry(),
    ]
}
