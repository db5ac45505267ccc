//! What `ReadFromJson` and `WriteToJson` take.

pub use crate::shared::bind::JsonSchema;
use purlin_spec::Node;
use purlin_spec::config::Spanned;
use purlin_spec::types::ErrorHandling;

purlin_spec::config! {
    /// Reads the objects of JSON files, one a line.
    ///
    /// The fields are those of the first 1000 objects of the first file, in the order in which they are
    /// first met; a missing one is null. Integers beside floats are floats; objects are nested rows,
    /// arrays are lists; values without a common type are kept as they are. An object that does not fit
    /// the fields, or is not JSON, is a bad line. Of repeated keys the last wins.
    ///
    /// With a `schema` values have the types it says; `docs/guide/types.md` lists them. Decimals,
    /// `{type: number, format: decimal, scale: 2}`, are read digit by digit, from numbers and from text.
    ///
    /// Exactly once: after a crash reading goes on where the last checkpoint says, and refuses to if a file of which a part
    /// was read has changed. What was read of a pipe cannot be read again: at most once.
    pub struct ReadFromJson {
        /// The files: a path, or a pattern with `*`, `?`, `[ab]` and `**`. A pipe (`/dev/stdin`) needs a `schema`.
        pub path: Spanned<String>,
        /// The fields to read, as a JSON schema. Nothing is sampled then; other keys are passed over.
        pub schema: Option<JsonSchema>,
        /// `true`: one object a line. `false`: a file is one array of objects.
        pub lines: bool = true,
        /// `records`, the only form read: objects with a key per field.
        pub orient: Option<Spanned<String>>,
        /// Without effect unless it asks for types: give a `schema` for those.
        pub dtype: Option<Node>,
        /// Without effect if `false`: text stays text. Give a `schema` with `format: date` for dates.
        pub convert_dates: Option<Spanned<bool>>,
        /// Files are UTF-8.
        pub encoding: Option<Spanned<String>>,
        /// Longest object in bytes, 64 MiB unless given. A longer one is a bad line.
        pub max_line_bytes: Option<Spanned<i64>>,
        /// Where bad lines go. `element` has `file`, `line` and `text`.
        pub error_handling: Option<ErrorHandling>,
    }
}

purlin_spec::config! {
    /// Writes rows as JSON objects, one a line.
    ///
    /// Floats are the shortest text that reads back equal, NaN and infinity are null, nested rows and
    /// maps are objects, decimals are numbers with all their digits, timestamps are RFC 3339 in UTC, dates
    /// ISO 8601, bytes are written as UTF-8 text. The files are
    /// named `PATH-SSSSS-of-NNNNN`; windowed rows go to `PATH-START-END-SSSSS-of-NNNNN`. Without rows
    /// nothing is written. Files appear only when they are complete.
    ///
    /// Exactly once: after a crash files go on from the last checkpoint, and each row stands in one file.
    pub struct WriteToJson {
        /// What the names of the files begin with. Missing folders are made.
        pub path: Spanned<String>,
        /// Over how many files the rows (of a window) are spread.
        pub num_shards: Option<Spanned<i64>>,
        /// `true`: one object a line. `false`: a file is one array of objects.
        pub lines: bool = true,
        /// `records`, the only form written: objects with a key per field.
        pub orient: Option<Spanned<String>>,
        /// `gzip` or `bz2`; the names then end in `.gz` or `.bz2`. Not compressed unless given.
        pub compression: Option<Spanned<String>>,
    }
}

/// Diagnoses an `orient` other than `records`.
pub(crate) fn check_orient(orient: Option<&Spanned<String>>, d: &mut purlin_spec::Diagnostics) {
    if let Some(o) = orient.filter(|o| o.value != "records") {
        d.push(
            purlin_spec::Diagnostic::error(
                "config/unknown-word",
                o.span,
                format!("`orient: {}` is not supported", o.value),
            )
            .help("valid: `records` (objects with a key per field)"),
        );
    }
}
