//! What `WriteToDeadLetters` takes.

use purlin_spec::config::Spanned;

purlin_spec::config! {
    /// Keeps rows that failed, so that they can be looked at, mended, replayed or dropped with `purlin deadletters`.
    ///
    /// It reads error outputs, one or several: `input: [Orders.broken, Valid.failed]`. Each row is kept with the
    /// transform it comes from, the reason, its event time and window, where it stood outside (file and line, or
    /// subscription and message), and the failed row itself with its types. Rows of other outputs may be kept too, with
    /// a `reason`. A pipeline has one such transform. `docs/guide/dead-letters.md` tells how letters are worked off.
    ///
    /// Letters lie below `.purlin/deadletters`, in the folder that the pipeline is started in. In tests nothing is
    /// kept. An extension.
    ///
    /// **Guarantee: exactly once.** Letters appear when the epoch of their rows is committed, or at the end of the run.
    ///
    /// ```yaml
    /// - type: WriteToDeadLetters
    ///   input: [Orders.broken, Priced.failed]
    /// ```
    pub struct WriteToDeadLetters {
        /// Why rows are kept that come from no error output. Such rows need it.
        pub reason: Option<Spanned<String>>,
    }
}
