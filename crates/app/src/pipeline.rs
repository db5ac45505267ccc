//! From a file on disk to a checked plan.

use crate::loader::FileLoader;
use crate::probe::MachineProbe;
use purlin_api::{Catalog, Delivery, Error, ErrorKind, Probe, Result};
use purlin_engine::clock::{Clock, SystemClock};
use purlin_plan::{Graph, Plan, PlanOptions};
use purlin_spec::load::{LoadOptions, Loaded, load};
use purlin_spec::model::{self, Spec};
use purlin_spec::{Diagnostics, Sources};
use serde_json::{Map, Value};
use std::path::Path;

/// The largest pipeline file read, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// How a pipeline is loaded and planned.
#[derive(Clone, Debug)]
pub struct PipelineOptions {
    /// Jinja variables.
    pub variables: Map<String, Value>,
    /// Whether Beam's quirks are copied.
    pub beam_compat: bool,
    /// Lanes of keyed stages and divided readers.
    pub lanes: usize,
    /// Divides readers into pieces of this many bytes, however small they are.
    pub piece_bytes: Option<u64>,
    /// Whether the plan is rewritten.
    pub rewrite: bool,
}

impl Default for PipelineOptions {
    /// One lane, no variables, not as Beam.
    fn default() -> Self {
        PipelineOptions {
            variables: Map::new(),
            beam_compat: false,
            lanes: 1,
            piece_bytes: None,
            rewrite: true,
        }
    }
}

impl PipelineOptions {
    /// As the plan takes them.
    pub fn plan_options(&self) -> PlanOptions {
        PlanOptions {
            beam_compat: self.beam_compat,
            lanes: self.lanes,
            piece_bytes: self.piece_bytes,
            rewrite: self.rewrite,
        }
    }
}

/// A file, as far as it could be understood.
pub struct Pipeline {
    /// The name it goes by.
    pub name: String,
    /// The texts it was made from.
    pub sources: Sources,
    /// Everything there is to say about it.
    pub diagnostics: Diagnostics,
    /// Its description, if it has one.
    pub spec: Option<Spec>,
    /// The transforms it may use.
    pub catalog: Catalog,
}

impl Pipeline {
    /// Reads and normalises a file. `Err` only if the file itself cannot be read.
    pub fn open(file: &str, options: &PipelineOptions) -> Result<Pipeline> {
        let text = read(file)?;
        Ok(Pipeline::from_text(file, &text, options))
    }

    /// Normalises a text that goes by the name of a file.
    pub fn from_text(file: &str, text: &str, options: &PipelineOptions) -> Pipeline {
        let catalog = crate::catalog();
        let loader = FileLoader::beside(Path::new(file));
        let Loaded { spec, partial, sources, mut diagnostics } = load(
            file,
            text,
            &LoadOptions {
                vars: options.variables.clone(),
                loader: &loader,
                vocabulary: &catalog.vocabulary(),
                now_micros: SystemClock.now().0,
                beam_compat: options.beam_compat,
            },
        );
        // The structure is wrong: say what is wrong with the configs too, all at once.
        for leaf in partial.iter().flat_map(|s| &s.leaves) {
            if let Some(entry) = catalog.get(&leaf.type_name.value) {
                let _for_its_problems = (entry.decode)(&leaf.config, &mut diagnostics);
            }
        }
        if let Some(spec) = &spec {
            let _for_its_problems = crate::up::resources::declared(spec, &mut diagnostics);
        }
        diagnostics.sort();
        Pipeline { name: file.to_owned(), sources, diagnostics, spec, catalog }
    }

    /// What its author asks of writers to systems without transactions.
    pub fn delivery(&self) -> Delivery {
        match self.spec.as_ref().and_then(|s| s.delivery) {
            None | Some(model::Delivery::ExactlyOnce) => Delivery::ExactlyOnce,
            Some(model::Delivery::AtLeastOnce) => Delivery::AtLeastOnce,
        }
    }

    /// Plans it: fixes shapes, checks, rewrites, cuts into stages. Adds to the diagnostics.
    pub fn plan(&mut self, options: &PipelineOptions) -> Option<Plan> {
        self.graph(options).map(|graph| purlin_plan::lay_out(graph, &options.plan_options()))
    }

    /// Binds its transforms, and no more: for who changes the graph before it is laid out.
    pub fn graph(&mut self, options: &PipelineOptions) -> Option<Graph> {
        let spec = self.spec.as_ref()?;
        let probe: &dyn Probe = &MachineProbe::default();
        let options = options.plan_options();
        let graph = purlin_plan::graph(spec, &self.catalog, probe, &options, &mut self.diagnostics);
        self.diagnostics.sort();
        graph.filter(|_| !self.diagnostics.has_errors())
    }
}

/// Reads a pipeline file as text, with an error that says what to do.
pub fn read(file: &str) -> Result<String> {
    read_as("pipeline", file)
}

/// Reads the file of a `pipeline` or a `project`.
pub(crate) fn read_as(what: &str, file: &str) -> Result<String> {
    let path = Path::new(file);
    let refuse = |m: String| Error::new(ErrorKind::Config, m);
    let cannot = |e| Error::io(&format!("read the {what} file"), file, e);
    let meta = std::fs::metadata(path).map_err(cannot)?;
    if meta.is_dir() {
        return Err(refuse(format!(
            "`{file}` is a folder; name a {what} file, such as `{file}/pipeline.yaml`"
        )));
    }
    if meta.len() > FILE_BYTES_MAX {
        return Err(refuse(format!(
            "`{file}` has {} bytes; a {what} file has at most {FILE_BYTES_MAX}. Is it data?",
            meta.len()
        )));
    }
    let bytes = std::fs::read(path).map_err(cannot)?;
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let line = e.as_bytes().iter().take(at).filter(|b| **b == b'\n').count() + 1;
        refuse(format!(
            "`{file}` is not UTF-8: line {line} has an invalid byte (byte {at} of the file); save it as UTF-8"
        ))
    })
}
