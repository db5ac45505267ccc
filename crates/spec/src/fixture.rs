//! What the tests of this crate share: a small vocabulary and a loader of texts in memory.

use crate::config::{FieldDef, Kind};
use crate::load::{LoadOptions, Loaded, load};
use crate::template::{LoadedText, Loader};
use crate::vocabulary::{Inputs, TransformDef, Vocabulary};

/// Files by path.
pub(crate) struct Files<'a>(pub(crate) &'a [(&'a str, &'a str)]);

impl Loader for Files<'_> {
    fn load(&self, path: &str, _from: Option<&str>) -> Result<LoadedText, String> {
        match self.0.iter().find(|(name, _)| *name == path) {
            Some((name, text)) => Ok(LoadedText { name: (*name).to_owned(), text: (*text).to_owned() }),
            None => Err(format!("there is no file `{path}`")),
        }
    }
}

fn field(name: &'static str, kind: Kind, required: bool) -> FieldDef {
    FieldDef { name, doc: " A field. Of a transform.\n", kind, required, default: None }
}

fn path_field() -> Vec<FieldDef> {
    vec![field("path", Kind::Text, true)]
}

fn elements_field() -> Vec<FieldDef> {
    vec![field("elements", Kind::List(Box::new(Kind::Any)), true), field("reshuffle", Kind::Bool, false)]
}

fn mapping_fields() -> Vec<FieldDef> {
    vec![
        field("language", Kind::Word(&["generic", "python"]), false),
        field("fields", Kind::Map(Box::new(Kind::Expression)), true),
        field("append", Kind::Bool, false),
        field("drop", Kind::OneOrMany(Box::new(Kind::Text)), false),
        field("error_handling", Kind::Any, false),
    ]
}

fn keep_fields() -> Vec<FieldDef> {
    vec![
        field("language", Kind::Text, false),
        field("keep", Kind::Expression, true),
        field("error_handling", Kind::Any, false),
    ]
}

fn any_fields() -> Vec<FieldDef> {
    vec![
        field("fields", Kind::Any, false),
        field("group_by", Kind::Any, false),
        field("combine", Kind::Any, false),
    ]
}

fn windowing_fields() -> Vec<FieldDef> {
    vec![field("windowing", crate::vocabulary::kind_of::<crate::types::Windowing>(), true)]
}

/// Enough transforms for the tests.
pub(crate) fn vocabulary() -> Vocabulary {
    let def = |name, inputs, error_handling, fields| TransformDef {
        name,
        doc: " Does something. More | words.\n",
        inputs,
        error_handling,
        fields,
    };
    Vocabulary::new(vec![
        def("Create", Inputs::None, false, elements_field),
        def("ReadFromText", Inputs::None, false, path_field),
        def("WriteToJson", Inputs::One, false, path_field),
        def("MapToFields", Inputs::One, true, mapping_fields),
        def("Filter", Inputs::One, true, keep_fields),
        def("Explode", Inputs::One, true, any_fields),
        def("Combine", Inputs::One, false, any_fields),
        def("Partition", Inputs::One, true, any_fields),
        def("Flatten", Inputs::Named, false, Vec::new),
        def("Join", Inputs::Named, false, any_fields),
        def("PyTransform", Inputs::Named, false, any_fields),
        def("WindowInto", Inputs::One, false, windowing_fields),
    ])
}

/// Loads a text; other files come from `files`.
pub(crate) fn load_with(text: &str, files: &[(&str, &str)], beam_compat: bool) -> Loaded {
    let vocabulary = vocabulary();
    let files = Files(files);
    let options = LoadOptions {
        vars: serde_json::Map::new(),
        loader: &files,
        vocabulary: &vocabulary,
        now_micros: 0,
        beam_compat,
    };
    load("p.yaml", text, &options)
}

/// All diagnostics, as printed.
pub(crate) fn problems(text: &str, files: &[(&str, &str)], beam_compat: bool) -> String {
    let loaded = load_with(text, files, beam_compat);
    assert_eq!(loaded.spec.is_some(), !loaded.diagnostics.has_errors());
    loaded.diagnostics.render(&loaded.sources)
}

/// The leaves as text, a line each: `label: Type(tag=ref+ref) @window`.
pub(crate) fn leaves(text: &str, files: &[(&str, &str)], beam_compat: bool) -> String {
    let loaded = load_with(text, files, beam_compat);
    let Some(spec) = loaded.spec else { return loaded.diagnostics.render(&loaded.sources) };
    let name = |r: &crate::model::Ref| {
        let label = spec.leaves[r.leaf].label();
        r.output.as_ref().map_or(label.clone(), |o| format!("{label}.{o}"))
    };
    let mut out = String::new();
    for leaf in &spec.leaves {
        let inputs: Vec<String> = leaf
            .inputs
            .iter()
            .map(|i| format!("{}={}", i.tag, i.from.iter().map(name).collect::<Vec<_>>().join("+")))
            .collect();
        let window = leaf
            .windowing
            .as_ref()
            .or_else(|| leaf.config.get("windowing"))
            .map(|w| format!(" @{}", w.to_json()));
        out.push_str(&format!(
            "{}: {}({}){}\n",
            leaf.label(),
            leaf.type_name.value,
            inputs.join(", "),
            window.unwrap_or_default()
        ));
    }
    out
}
