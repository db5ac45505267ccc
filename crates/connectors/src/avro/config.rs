//! What `ReadFromAvro` and `WriteToAvro` take.

use purlin_spec::Node;
use purlin_spec::config::Spanned;
use purlin_spec::types::ErrorHandling;

purlin_spec::config! {
    /// Reads the rows of Avro object container files.
    ///
    /// The fields are those of all files together, by name; a column that a file lacks is null. `int` and
    /// `long` are `int`, `float` and `double` are `float`, enums and UUIDs are text, a union with null is a
    /// field that may be null, other unions are fields of any type. Timestamps (without a zone they count
    /// as UTC) have microseconds; decimals, dates and times of day stay what they are. Blocks in
    /// deflate, snappy, zstandard and bzip2 are read. A file that is damaged, or whose columns do not fit
    /// those of the first 100 files, fails the run; with `error_handling` the rows before the damage are
    /// kept and the file goes to the error output.
    pub struct ReadFromAvro {
        /// The files: a path, or a pattern with `*`, `?`, `[ab]` and `**`. Hidden files do not match.
        pub path: Spanned<String>,
        /// Without effect: files are always looked at before the run.
        pub validate: bool = true,
        /// Without effect: files are not divided.
        pub min_bundle_size: Option<i64>,
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
    pub struct WriteToAvro {
        /// What the names of the files begin with. Missing folders are made.
        pub path: Spanned<String>,
        /// The Avro schema to write, a record: as a mapping, or as JSON text. Values are brought into its types.
        pub schema: Option<Node>,
        /// How blocks are compressed: `deflate` (unless given), `null`, `snappy`, `zstandard` or `bzip2`.
        pub codec: Option<Spanned<String>>,
        /// Over how many files the rows (of a window) are spread.
        pub num_shards: Option<Spanned<i64>>,
        /// What the names of the files end with, such as `.avro`.
        pub file_name_suffix: Option<String>,
        /// Without effect: local files have no type.
        pub mime_type: Option<String>,
    }
}
