//! What `ReadFromAvro` and `WriteToAvro` take.

use crate::shared::bind::JsonSchema;
use purlin_spec::Node;
use purlin_spec::config::Spanned;
use purlin_spec::types::ErrorHandling;

purlin_spec::config! {
    /// Reads the rows of Avro object container files.
    ///
    /// The fields are those of all files together, by name; a column that a file lacks is null, and columns
    /// whose types have nothing in common are an error. `int` and `long` are `int`, `float` and `double` are
    /// `float`, enums and UUIDs are text, a union with null is a field that may be null, other unions are
    /// fields of any type. Timestamps (without a zone they count as UTC) have microseconds; decimals, dates
    /// and times of day stay what they are. Blocks in deflate, snappy, zstandard, bzip2 and xz are read.
    ///
    /// A value that does not fit (a decimal of more than 38 digits, text that is not UTF-8) makes a bad row.
    /// A damaged block, a file that was cut off inside a block, and one whose columns do not fit those of
    /// the first 100 files are errors. They fail the run; with `error_handling` the rows before them are kept
    /// and the file goes to the error output. A file that was cut off exactly between two blocks cannot
    /// be told from a whole one: the format does not say how many rows there are.
    ///
    /// Exactly once: after a crash reading goes on where the last checkpoint says, and refuses to if a file of which a part
    /// was read has changed.
    pub struct ReadFromAvro {
        /// The files: a path, or a pattern with `*`, `?`, `[ab]` and `**`. Hidden files do not match.
        pub path: Option<Spanned<String>>,
        /// Another name of `path`.
        pub file_pattern: Option<Spanned<String>>,
        /// The fields to read, as a JSON schema. The files are then not looked at before the run; what else
        /// they have is passed over.
        pub schema: Option<JsonSchema>,
        /// Without effect: files are always looked at before the run.
        pub validate: bool = true,
        /// Without effect: files are not divided.
        pub min_bundle_size: Option<i64>,
        /// Without effect: there is one reader.
        pub use_fastavro: Option<bool>,
        /// Where files and rows go that cannot be read. `element` has `file` and `row` (null for a whole file).
        pub error_handling: Option<ErrorHandling>,
    }
}

purlin_spec::config! {
    /// Writes rows to Avro object container files.
    ///
    /// The schema is made from the fields unless it is given; every field may then be null. The files are
    /// named `PATH-SSSSS-of-NNNNN`; windowed rows go to `PATH-START-END-SSSSS-of-NNNNN`. Without rows there
    /// is one file without rows. Files appear only when they are complete. Timestamps are written as
    /// `timestamp-micros`; fields without a common type as text that holds JSON.
    ///
    /// Exactly once: after a crash files go on from the last checkpoint, and each row stands in one file.
    pub struct WriteToAvro {
        /// What the names of the files begin with. Missing folders are made.
        pub path: Spanned<String>,
        /// The Avro schema to write, a record: as a mapping, or as JSON text. A value that it does not take
        /// fails the run.
        pub schema: Option<Node>,
        /// How blocks are compressed: `deflate` (unless given), `null`, `snappy`, `zstandard`, `bzip2` or `xz`.
        pub codec: Option<Spanned<String>>,
        /// Over how many files the rows (of a window) are spread.
        pub num_shards: Option<Spanned<i64>>,
        /// What the names of the files end with, such as `.avro`.
        pub file_name_suffix: Option<String>,
        /// Without effect: there is one writer.
        pub use_fastavro: Option<bool>,
        /// Without effect: local files have no type.
        pub mime_type: Option<String>,
    }
}
