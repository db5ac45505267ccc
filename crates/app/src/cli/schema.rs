//! `purlin schema`, `purlin reference` and `purlin completions`: what is generated from the definitions.

use super::Exit;
use super::args::{Cli, CompletionsArgs, ReferenceArgs};
use super::output::Output;
use clap::CommandFactory;
use purlin_api::Error;

pub(crate) fn schema(out: &mut Output) -> Exit {
    out.print_json(&purlin_spec::schema::schema(&crate::catalog().vocabulary()));
    Exit::Success
}

/// The generated pages: file name and text.
pub fn reference_pages() -> Vec<(String, String)> {
    let vocabulary = crate::catalog().vocabulary();
    let mut pages: Vec<(String, String)> =
        vocabulary.iter().map(|d| (format!("{}.md", d.name), purlin_spec::reference::page(d))).collect();
    pages.push(("README.md".to_owned(), purlin_spec::reference::index(&vocabulary)));
    let schema = format!("{:#}\n", purlin_spec::schema::schema(&vocabulary));
    pages.push(("beam-yaml.schema.json".to_owned(), schema));
    pages
}

pub(crate) fn reference(args: &ReferenceArgs, out: &mut Output) -> Exit {
    for (name, text) in reference_pages() {
        let path = args.folder.join(name);
        if let Err(e) = std::fs::write(&path, text) {
            out.error(&Error::io("write", &path.display().to_string(), e));
            return Exit::Failed;
        }
    }
    Exit::Success
}

pub(crate) fn completions(args: &CompletionsArgs, out: &mut Output) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "purlin", &mut text);
    out.print(&String::from_utf8_lossy(&text));
    Exit::Success
}
