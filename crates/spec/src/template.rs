//! Jinja templating, with the way back from the rendered text to the template.

mod arithmetic;
mod calendar;
mod datetime;
mod engine;
mod filters;
mod line_map;
mod ops;
mod prepare;
mod scan;
#[cfg(test)]
mod tests;

use crate::diagnostic::Diagnostics;
use crate::node::{Sources, Span};
use engine::Engine;
pub use line_map::LineMap;
use prepare::Source;

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
///
/// `name` and `text` become a file of `sources`. Leading blank and `#` lines are dropped first, here and in
/// every included template. Errors go to `d` with their place in the template that has them: codes
/// `jinja/syntax`, `jinja/undefined`, `jinja/missing-template`, `jinja/limit` (it runs for too long or makes
/// too much) and `jinja/error`. `None` after an error.
pub fn render(
    name: &str,
    text: &str,
    cx: &TemplateCx<'_>,
    sources: &mut Sources,
    d: &mut Diagnostics,
) -> Option<Rendered> {
    let file = sources.add(name, text);
    let source = Source::new(file, name, text);
    if source.is_plain() {
        let map = LineMap::shifted(file, source.dropped);
        return Some(Rendered { text: source.text, map, file });
    }
    let out = Engine::new(source, None, cx).run(sources, d)?;
    Some(Rendered { text: out.text, map: out.map, file })
}

/// Renders a text that is no file of its own, such as the body of a provider, with `cx.vars` as its
/// variables. Every place of the result, and of errors in `text` itself, is `place`.
pub fn render_body(
    text: &str,
    place: Span,
    cx: &TemplateCx<'_>,
    sources: &mut Sources,
    d: &mut Diagnostics,
) -> Option<Rendered> {
    let name = sources.get(place.file).map(|f| f.name.clone()).unwrap_or_default();
    let source = Source::new(place.file, &name, text);
    if source.is_plain() {
        return Some(Rendered { text: source.text, map: LineMap::fixed(place), file: place.file });
    }
    let out = Engine::new(source, Some(place), cx).run(sources, d)?;
    Some(Rendered { text: out.text, map: out.map, file: place.file })
}
