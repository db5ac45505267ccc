//! What `ReadFromText` and `WriteToText` take.

use purlin_spec::config::Spanned;
use purlin_spec::types::ErrorHandling;

purlin_spec::config! {
    /// Reads the lines of text files.
    ///
    /// The rows have one field, `line`: the text without its line end (`\n` or `\r\n`). Files are UTF-8; a
    /// byte order mark is passed over. Files that end in `.gz`, `.bz2`, `.zst` or `.deflate` are
    /// decompressed.
    ///
    /// Exactly once: after a crash reading goes on where the last checkpoint says, and refuses to if a file of which a part
    /// was read has changed. What was read of a pipe cannot be read again: at most once.
    pub struct ReadFromText {
        /// The files: a path, or a pattern with `*`, `?`, `[ab]` and `**`. Hidden files do not match.
        /// Pipes (`/dev/stdin`) are read as well.
        pub path: Spanned<String>,
        /// Longest line in bytes, 64 MiB unless given. A longer one is a bad line.
        pub max_line_bytes: Option<Spanned<i64>>,
        /// Where lines go that cannot be read (not UTF-8, or too long). `element` has `file`, `line` and `text`.
        pub error_handling: Option<ErrorHandling>,
    }
}

purlin_spec::config! {
    /// Writes one line per row, for rows with exactly one field.
    ///
    /// Values are written as Python's `str` prints them: `None`, `True`, `1.0`. The files are named
    /// `PATH-SSSSS-of-NNNNN`; windowed rows go to `PATH-START-END-SSSSS-of-NNNNN`. Without rows there is
    /// one empty file. Files appear only when they are complete.
    ///
    /// Exactly once: after a crash files go on from the last checkpoint, and each row stands in one file.
    ///
    /// `path: /dev/stdout` prints the rows instead: as they come, or in jobs with checkpoints when their epoch is committed.
    /// What is printed cannot be taken back: at least once, as after a crash the rows of one epoch may be printed again.
    pub struct WriteToText {
        /// What the names of the files begin with. Missing folders are made.
        pub path: Spanned<String>,
        /// `gzip` or `bz2`; the names then end in `.gz` or `.bz2`. Not compressed unless given.
        pub compression: Option<Spanned<String>>,
    }
}
