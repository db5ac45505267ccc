//! What `ReadFromParquet` and `WriteToParquet` take.

use crate::shared::bind::JsonSchema;
use purlin_spec::config::Spanned;
use purlin_spec::types::ErrorHandling;

purlin_spec::config! {
    /// Reads the rows of Parquet files.
    ///
    /// The fields are those of all files together, by name; a column that a file lacks is null, and columns
    /// whose types have nothing in common are an error. Only the columns that are used are read, a row group
    /// after the other. Integers of all sizes are `int`, floats `float`, enums and UUIDs text; timestamps
    /// (without a zone they count as UTC) have microseconds; decimals, dates and times of day stay what
    /// they are. Pages in snappy, gzip, zstd and lz4 are read, and those with a checksum are checked.
    ///
    /// A value that does not fit (an unsigned integer of 64 bits that `int` cannot hold, a decimal of more
    /// than 38 digits) makes a bad row. A file that is damaged, and one whose columns do not fit those of
    /// the first 100 files, are errors. They fail the run; with `error_handling` the rows before the damage
    /// are kept and the file goes to the error output.
    ///
    /// Exactly once: after a crash reading goes on where the last checkpoint says, and refuses to if a file of which a part
    /// was read has changed.
    pub struct ReadFromParquet {
        /// The files: a path, or a pattern with `*`, `?`, `[ab]` and `**`. Hidden files do not match.
        pub path: Option<Spanned<String>>,
        /// Another name of `path`.
        pub file_pattern: Option<Spanned<String>>,
        /// The columns to read, unless all.
        pub columns: Option<Vec<Spanned<String>>>,
        /// The fields to read, as a JSON schema. The files are then not looked at before the run; what else
        /// they have is passed over.
        pub schema: Option<JsonSchema>,
        /// Without effect: files are always looked at before the run.
        pub validate: bool = true,
        /// Without effect: files are not divided.
        pub min_bundle_size: Option<i64>,
        /// Where files and rows go that cannot be read. `element` has `file` and `row` (null for a whole file).
        pub error_handling: Option<ErrorHandling>,
    }
}

purlin_spec::config! {
    /// Writes rows to Parquet files.
    ///
    /// The files are named `PATH-SSSSS-of-NNNNN`; windowed rows go to `PATH-START-END-SSSSS-of-NNNNN`.
    /// Without rows there is one file without rows. Files appear only when they are complete. Timestamps
    /// are written as UTC with microseconds; fields without a common type as text that holds JSON.
    ///
    /// Exactly once: after a crash files go on from the last checkpoint, and each row stands in one file.
    pub struct WriteToParquet {
        /// What the names of the files begin with. Missing folders are made.
        pub path: Spanned<String>,
        /// How pages are compressed: `none` (unless given), `snappy`, `gzip`, `zstd` or `lz4`.
        pub codec: Option<Spanned<String>>,
        /// Over how many files the rows (of a window) are spread.
        pub num_shards: Option<Spanned<i64>>,
        /// What the names of the files end with, such as `.parquet`.
        pub file_name_suffix: Option<String>,
        /// Bytes of rows that are gathered in memory for one row group; 64 MiB unless given.
        pub row_group_buffer_size: Option<Spanned<i64>>,
        /// Without effect: rows are written as they come.
        pub record_batch_size: Option<i64>,
        /// Without effect: lists always have the names that the format asks for.
        pub use_compliant_nested_type: Option<bool>,
        /// Without effect: local files have no type.
        pub mime_type: Option<String>,
    }
}
