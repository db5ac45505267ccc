//! Jinja templating, with the way back from the rendered text to the template.

mod line_map;

use crate::diagnostic::Diagnostics;
use crate::node::Sources;
pub use line_map::LineMap;

/// Finds included templates and provider files.
pub trait Loader {
    /// Reads the text behind `path` as written in the file `from` (`None`: not in a file).
    ///
    /// # Errors
    /// One sentence, if there is no such text or it cannot be read.
    fn load(&self, path: &str, from: Option<&str>) -> Result<LoadedText, String>;
}

/// A text and the name it goes by in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedText {
    /// The path as it was found.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// What a template may use besides itself.
pub struct TemplateCx<'a> {
    /// The variables.
    pub vars: serde_json::Map<String, serde_json::Value>,
    /// Finds included templates.
    pub loader: &'a dyn Loader,
    /// The present time for `datetime`, in microseconds since 1970 UTC.
    pub now_micros: i64,
}

/// A rendered template.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// From places of `text` to places of the template.
    pub map: LineMap,
    /// The number of the template in the sources.
    pub file: u32,
}

/// Renders a template.
pub fn render(
    name: &str,
    text: &str,
    cx: &TemplateCx<'_>,
    sources: &mut Sources,
    d: &mut Diagnostics,
) -> Option<Rendered> {
    let _ = (cx, d);
    let file = sources.add(name, text);
    Some(Rendered { text: text.to_owned(), map: LineMap::identity(file), file })
}

/// Renders the body of a provider that has no file of its own; everything maps to `place`.
pub fn render_body(
    text: &str,
    place: crate::node::Span,
    cx: &TemplateCx<'_>,
    sources: &mut Sources,
    d: &mut Diagnostics,
) -> Option<Rendered> {
    let _ = (cx, d, sources);
    Some(Rendered { text: text.to_owned(), map: LineMap::fixed(place), file: place.file })
}
