//! The project file, `purlin.yaml`: what `purlin up` runs, and where it keeps and shows things.

use crate::checkpoints::Place;
use crate::pipeline;
use purlin_api::{Error, ErrorKind, Result};
use purlin_engine::Live;
use purlin_spec::config::{FromNode, check_keys, wrong_kind};
use purlin_spec::template::LineMap;
use purlin_spec::types as spec;
use purlin_spec::{Diagnostic, Diagnostics, Node, Sources, Span, Value, suggest, yaml};
use serde_json::{Map, Value as Json};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The project file that is looked for when none is named.
pub const FILE: &str = "purlin.yaml";
/// The data folder unless told otherwise.
pub const DATA: &str = ".purlin";
/// Where the broker listens unless told otherwise: where clients look for an emulator.
pub const BROKER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8085);
/// Where HTTP is served unless told otherwise.
pub const HTTP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8090);

const KEYS: &[&str] =
    &["name", "data", "checkpoints", "commit_every", "environment", "broker", "http", "pipelines", "apply"];
const ENVIRONMENTS: &[&str] = &["local", "gcp"];
const ENVIRONMENT_KEYS: &[&str] = &["pubsub", "project"];
const LISTEN_KEYS: &[&str] = &["listen", "allow_anyone"];
const PIPELINE_KEYS: &[&str] = &["file", "name", "variables", "lanes"];
/// Lanes that a pipeline may be given.
const LANES_MAX: i64 = 1024;
/// The longest name of a pipeline; it names folders.
const NAME_CHARS_MAX: usize = 100;

/// Where Pub/Sub is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pubsub {
    /// The broker of this process.
    Embedded,
    /// There: `HOST:PORT` or `https://HOST`.
    At(String),
    /// Where `PUBSUB_EMULATOR_HOST` says, else nowhere.
    Variable,
    /// Where `PUBSUB_EMULATOR_HOST` says, else Google's service.
    Google,
}

/// Where something listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The address; port 0 takes any that is free.
    pub address: SocketAddr,
    /// Whether it may be where other machines reach it.
    pub open: bool,
}

/// A pipeline of a project.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The name it goes by everywhere.
    pub name: String,
    /// Its file.
    pub file: String,
    /// Its Jinja variables.
    pub variables: Map<String, Json>,
    /// Lanes of its stages; one a core unless given.
    pub lanes: Option<usize>,
}

/// What is to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Project {
    /// What it is called.
    pub name: String,
    /// The file it was read from, if there is one.
    pub file: Option<String>,
    /// The data folder.
    pub data: PathBuf,
    /// Where checkpoints are, each pipeline's below by its name, if not in the data folder.
    pub checkpoints: Option<Place>,
    /// How often live pipelines commit, in processing time.
    pub commit_every: Duration,
    /// Where Pub/Sub is.
    pub pubsub: Pubsub,
    /// The project of short names.
    pub project: Option<String>,
    /// Where the broker of this process listens, if it has one.
    pub broker: Option<Listen>,
    /// Where HTTP is served.
    pub http: Listen,
    /// The pipelines.
    pub pipelines: Vec<Entry>,
    /// Whether topics and subscriptions are made before pipelines start.
    pub apply: bool,
}

/// A project file, as far as it could be understood.
#[derive(Debug)]
pub struct Read {
    /// The project, if there is nothing wrong.
    pub project: Option<Project>,
    /// Its text.
    pub sources: Sources,
    /// What is wrong.
    pub diagnostics: Diagnostics,
}

impl Project {
    /// Pipeline files without a project around them.
    ///
    /// # Errors
    /// If two of them would go by the same name.
    pub fn of_files(files: &[String]) -> Result<Self> {
        let mut pipelines: Vec<Entry> = Vec::new();
        for file in files {
            let name = name_of_file(file);
            if let Some(other) = pipelines.iter().find(|p| p.name == name) {
                return Err(Error::new(
                    ErrorKind::Config,
                    format!(
                        "`{}` and `{file}` would both be called `{name}`; name them in a `{FILE}`, with `name:`",
                        other.file
                    ),
                ));
            }
            pipelines.push(Entry { name, file: file.clone(), variables: Map::new(), lanes: None });
        }
        Ok(Project {
            name: "purlin".to_owned(),
            file: None,
            data: PathBuf::from(DATA),
            checkpoints: None,
            commit_every: Live::default().epoch_every,
            pubsub: Pubsub::Embedded,
            project: None,
            broker: Some(Listen { address: BROKER, open: false }),
            http: Listen { address: HTTP, open: false },
            pipelines,
            apply: true,
        })
    }

    /// True if topics and subscriptions may be made without asking: the service is on this machine.
    pub fn is_local(&self) -> bool {
        let here = |at: &str| purlin_pubsub::Address::resolve(Some(at), None).is_ok_and(|a| a.is_loopback());
        match &self.pubsub {
            Pubsub::Embedded => true,
            Pubsub::At(at) => here(at),
            Pubsub::Variable | Pubsub::Google => emulator().is_some_and(|at| here(&at)),
        }
    }

    /// Reads a project file.
    ///
    /// # Errors
    /// If it cannot be read; what is wrong with what it says is in the diagnostics.
    pub fn read(file: &str) -> Result<Read> {
        Ok(Self::from_text(file, &pipeline::read_as("project", file)?))
    }

    /// The data folder that a project file names, whatever else is wrong with it.
    ///
    /// # Errors
    /// If that cannot be told.
    pub fn data_of(file: &str) -> Result<PathBuf> {
        let text = pipeline::read_as("project", file)?;
        let (mut sources, mut d) = (Sources::default(), Diagnostics::default());
        let number = sources.add(file, &text);
        let root = yaml::parse(number, &text, &LineMap::identity(number), &sources, &mut d);
        let root = root.filter(|root| root.as_map().is_some() && !d.has_errors());
        let data = root.map(|root| given::<String>(&root, "data", &mut d)).filter(|_| !d.has_errors());
        let data = data.ok_or_else(|| {
            Error::new(
                ErrorKind::Config,
                format!("`{file}` cannot be read as a project file (`purlin up` says why)"),
            )
        })?;
        let folder = Path::new(file).parent().unwrap_or(Path::new(""));
        Ok(folder.join(data.as_deref().unwrap_or(DATA)))
    }

    /// From the text of a project file.
    pub fn from_text(file: &str, text: &str) -> Read {
        let (mut sources, mut d) = (Sources::default(), Diagnostics::default());
        let number = sources.add(file, text);
        let root = yaml::parse(number, text, &LineMap::identity(number), &sources, &mut d);
        let project = root.and_then(|root| decode(file, &root, &mut d)).filter(|_| !d.has_errors());
        d.sort();
        Read { project, sources, diagnostics: d }
    }
}

/// What `PUBSUB_EMULATOR_HOST` says, if it says something.
pub(crate) fn emulator() -> Option<String> {
    std::env::var("PUBSUB_EMULATOR_HOST").ok().filter(|h| !h.trim().is_empty())
}

/// True if a file is a project, not a pipeline: by its name, else by what stands in it.
pub fn is_project(file: &str) -> bool {
    if Path::new(file).file_name().is_some_and(|n| n == FILE) {
        return true;
    }
    // A pipeline file need not be YAML before its template is rendered.
    pipeline::read(file).is_ok_and(|text| text.lines().any(|l| l.starts_with("pipelines:")))
}

/// What a pipeline is called unless told: its file, or the folder of a file called `pipeline.yaml`.
pub(crate) fn name_of_file(file: &str) -> String {
    let path = Path::new(file);
    let stem = |p: &Path| p.file_stem().map(|s| s.to_string_lossy().into_owned());
    let own = stem(path).unwrap_or_else(|| "pipeline".to_owned());
    let folder = path.parent().and_then(Path::file_name).map(|n| n.to_string_lossy().into_owned());
    let name = if own == "pipeline" { folder.unwrap_or(own) } else { own };
    name.chars().map(|c| if is_name_char(c) { c } else { '-' }).take(NAME_CHARS_MAX).collect()
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= NAME_CHARS_MAX && text.chars().all(is_name_char)
}

fn decode(file: &str, root: &Node, d: &mut Diagnostics) -> Option<Project> {
    if !check_keys(root, "a project (`purlin.yaml`)", KEYS, d) {
        root.as_map()?;
    }
    let folder = Path::new(file).parent().map(Path::to_path_buf).unwrap_or_default();
    let mut project = Project::of_files(&[]).ok()?;
    project.file = Some(file.to_owned());
    project.data = folder.join(DATA);
    if let Some(name) = given::<String>(root, "name", d) {
        project.name = name;
    }
    if let Some(data) = given::<String>(root, "data", d) {
        project.data = folder.join(data);
    }
    checkpoints(root, &folder, &mut project, d);
    if let Some(apply) = given::<bool>(root, "apply", d) {
        project.apply = apply;
    }
    environment(root, &mut project, d);
    broker(root, &mut project, d);
    if let Some(http) = root.get("http").filter(|n| !n.is_null()) {
        project.http = listen(http, "`http`", HTTP, d).unwrap_or(project.http);
    }
    let Some(list) = root.get("pipelines") else {
        d.push(
            Diagnostic::error("project/no-pipelines", at_start(root), "a project names its pipelines")
                .help("add `pipelines: [FILE, …]`"),
        );
        return None;
    };
    let Some(list) = list.as_list() else {
        wrong_kind(list, "a list of files", d);
        return None;
    };
    let entries: Vec<(Span, Entry)> =
        list.iter().filter_map(|n| Some((n.span, entry(n, &folder, d)?))).collect();
    let mut seen: HashMap<String, Span> = HashMap::new();
    for (span, e) in &entries {
        if let Some(first) = seen.insert(e.name.clone(), *span) {
            d.push(
                Diagnostic::error(
                    "project/name-twice",
                    *span,
                    format!("two pipelines are called `{}`", e.name),
                )
                .related(first, "this one, too")
                .help("write `{file: …, name: …}` with another name"),
            );
        }
    }
    project.pipelines = entries.into_iter().map(|(_, e)| e).collect();
    Some(project)
}

fn at_start(root: &Node) -> Span {
    Span::at(root.span.file, root.span.start.line.max(1), root.span.start.column.max(1), 1)
}

fn given<T: FromNode>(node: &Node, key: &str, d: &mut Diagnostics) -> Option<T> {
    node.get(key).filter(|n| !n.is_null()).and_then(|n| T::from_node(n, d))
}

fn checkpoints(root: &Node, folder: &Path, project: &mut Project, d: &mut Diagnostics) {
    let span = |key: &str| root.get(key).map_or(root.span, |n| n.span);
    if let Some(place) = given::<String>(root, "checkpoints", d) {
        match place.parse() {
            Ok(Place::Folder(path)) => project.checkpoints = Some(Place::Folder(folder.join(path))),
            Ok(bucket) => project.checkpoints = Some(bucket),
            Err(e) => d.push(Diagnostic::error("project/checkpoints", span("checkpoints"), e.to_string())),
        }
    }
    if let Some(every) = given::<spec::Duration>(root, "commit_every", d) {
        match u64::try_from(every.micros()) {
            Ok(micros) if micros > 0 => project.commit_every = Duration::from_micros(micros),
            _ => d.push(Diagnostic::error(
                "project/commit-every",
                span("commit_every"),
                "must be longer than nothing",
            )),
        }
    }
}

fn environment(root: &Node, project: &mut Project, d: &mut Diagnostics) {
    let Some(node) = root.get("environment").filter(|n| !n.is_null()) else { return };
    match node.as_text() {
        Some("local") => {}
        Some("gcp") => project.pubsub = Pubsub::Google,
        Some(other) => d.push(
            Diagnostic::error("project/environment", node.span, format!("there is no environment `{other}`"))
                .label("write `local`, `gcp`, or `{pubsub: HOST:PORT, project: PROJECT}`")
                .maybe_help(suggest::did_you_mean(other, ENVIRONMENTS.iter().copied())),
        ),
        None => {
            if !check_keys(node, "`environment`", ENVIRONMENT_KEYS, d) {
                return;
            }
            if let Some(at) = given::<String>(node, "pubsub", d) {
                if let Err(e) = purlin_pubsub::Address::resolve(Some(&at), None) {
                    let span = node.get("pubsub").map_or(node.span, |n| n.span);
                    d.push(Diagnostic::error("project/address", span, e.to_string()));
                }
                project.pubsub = Pubsub::At(at);
            }
            project.project = given(node, "project", d);
        }
    }
    if project.pubsub != Pubsub::Embedded {
        project.broker = None;
    }
}

fn broker(root: &Node, project: &mut Project, d: &mut Diagnostics) {
    let Some(node) = root.get("broker").filter(|n| !n.is_null()) else { return };
    match node.value {
        Value::Bool(false) => {
            project.broker = None;
            if project.pubsub == Pubsub::Embedded {
                project.pubsub = Pubsub::Variable;
            }
        }
        Value::Bool(true) => project.broker = Some(Listen { address: BROKER, open: false }),
        _ => project.broker = listen(node, "`broker`", BROKER, d),
    }
}

fn listen(node: &Node, what: &str, default: SocketAddr, d: &mut Diagnostics) -> Option<Listen> {
    if !check_keys(node, what, LISTEN_KEYS, d) {
        return None;
    }
    let open = given::<bool>(node, "allow_anyone", d).unwrap_or(false);
    let text = given::<String>(node, "listen", d);
    let span = node.get("listen").map_or(node.span, |n| n.span);
    let address = match text.as_deref().map(parse_address) {
        None => default,
        Some(Some(address)) => address,
        Some(None) => {
            d.push(
                Diagnostic::error("project/address", span, "this is no address to listen on")
                    .help(format!("write IP:PORT, such as `{default}`")),
            );
            return None;
        }
    };
    if !address.ip().is_loopback() && !open {
        d.push(
            Diagnostic::error(
                "project/open",
                span,
                format!("{address} can be reached from other machines, and nobody is asked who they are"),
            )
            .help("listen on 127.0.0.1, or add `allow_anyone: true`"),
        );
        return None;
    }
    Some(Listen { address, open })
}

fn parse_address(text: &str) -> Option<SocketAddr> {
    text.replace("localhost:", "127.0.0.1:").parse().ok()
}

fn entry(node: &Node, folder: &Path, d: &mut Diagnostics) -> Option<Entry> {
    let path = |file: &str| folder.join(file).to_string_lossy().into_owned();
    if let Some(file) = node.as_text() {
        let file = path(file);
        return Some(Entry { name: name_of_file(&file), file, variables: Map::new(), lanes: None });
    }
    if !check_keys(node, "a pipeline of a project", PIPELINE_KEYS, d) {
        return None;
    }
    let Some(file) = given::<String>(node, "file", d) else {
        if node.get("file").is_none_or(Node::is_null) {
            d.push(
                Diagnostic::error("project/no-file", node.span, "a pipeline of a project needs its file")
                    .help("add `file: PIPELINE.yaml`"),
            );
        }
        return None;
    };
    let file = path(&file);
    let name = given::<String>(node, "name", d);
    if let Some(wrong) = name.as_ref().filter(|n| !is_name(n)) {
        d.push(
            Diagnostic::error(
                "project/name",
                node.get("name").map_or(node.span, |n| n.span),
                format!("`{wrong}` cannot be a name"),
            )
            .label(format!("it names folders: at most {NAME_CHARS_MAX} letters, digits, `-` and `_`")),
        );
    }
    let lanes = given::<i64>(node, "lanes", d);
    if lanes.is_some_and(|l| !(1..=LANES_MAX).contains(&l)) {
        let span = node.get("lanes").map_or(node.span, |n| n.span);
        d.push(Diagnostic::error("project/lanes", span, format!("lanes are 1 to {LANES_MAX}")));
    }
    let variables = node.get("variables").filter(|n| !n.is_null());
    if let Some(wrong) = variables.filter(|n| n.as_map().is_none()) {
        wrong_kind(wrong, "a mapping from names to values", d);
    }
    Some(Entry {
        name: name.unwrap_or_else(|| name_of_file(&file)),
        file,
        variables: match variables.map(Node::to_json) {
            Some(Json::Object(map)) => map,
            _ => Map::new(),
        },
        lanes: lanes.and_then(|l| usize::try_from(l).ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(text: &str) -> Project {
        let read = Project::from_text("shop/purlin.yaml", text);
        read.project.unwrap_or_else(|| panic!("{}", read.diagnostics.render(&read.sources)))
    }

    fn refused(text: &str) -> String {
        let read = Project::from_text("purlin.yaml", text);
        assert!(read.project.is_none(), "{text}");
        read.diagnostics.render(&read.sources)
    }

    #[test]
    fn paths_are_beside_the_file_and_names_come_from_them() {
        let p = project(
            "pipelines: [purchases/pipeline.yaml, b.yaml, {file: b.yaml, name: c, lanes: 2, variables: {n: 1}}]",
        );
        let names: Vec<(&str, &str)> =
            p.pipelines.iter().map(|e| (e.name.as_str(), e.file.as_str())).collect();
        assert_eq!(
            names,
            [("purchases", "shop/purchases/pipeline.yaml"), ("b", "shop/b.yaml"), ("c", "shop/b.yaml")]
        );
        assert_eq!(p.data, Path::new("shop/.purlin"));
        assert_eq!((p.pipelines[2].lanes, p.pipelines[2].variables["n"].as_i64()), (Some(2), Some(1)));
        assert!(p.apply && p.is_local());
        assert_eq!(p.broker.map(|l| l.address), Some(BROKER));
    }

    #[test]
    fn checkpoints_are_in_a_folder_beside_the_file_or_in_a_bucket() {
        assert_eq!(project("pipelines: []").checkpoints, None);
        let p = project("pipelines: []\ncheckpoints: state\ncommit_every: 10s");
        assert_eq!(p.checkpoints, Some(Place::Folder("shop/state".into())));
        assert_eq!(p.commit_every, Duration::from_secs(10));
        let p = project("pipelines: []\ncheckpoints: \"s3://bucket/state/\"");
        let place = p.checkpoints.map(|c| c.join("orders").to_string());
        assert_eq!(place.as_deref(), Some("s3://bucket/state/orders"));
    }

    #[test]
    fn environments_say_where_pubsub_is() {
        let p = project("pipelines: []\nenvironment: gcp");
        assert_eq!((p.pubsub, p.broker), (Pubsub::Google, None));
        let p = project("pipelines: []\nenvironment: {pubsub: \"localhost:1\", project: shop}");
        assert_eq!(
            (p.pubsub.clone(), p.broker, p.is_local()),
            (Pubsub::At("localhost:1".to_owned()), None, true)
        );
        assert_eq!(p.project.as_deref(), Some("shop"));
        let p = project("pipelines: []\nenvironment: {project: shop}\nbroker: {listen: localhost:0}");
        assert!(p.is_local() && p.broker.is_some_and(|l| l.address.port() == 0));
        let p = project("pipelines: []\nbroker: false");
        assert_eq!((p.pubsub, p.broker), (Pubsub::Variable, None));
        assert!(!project("pipelines: []\nenvironment: {pubsub: \"https://broker.example\"}").is_local());
    }

    #[test]
    fn slips_are_refused_with_their_line() {
        for (text, says) in [
            ("pipelnes: []", "did you mean `pipelines`?"),
            ("pipelines: []\nenvironment: locla", "did you mean `local`?"),
            ("pipelines: []\nhttp: {lisen: 1}", "did you mean `listen`?"),
            ("pipelines: []\nhttp: {listen: \"0.0.0.0:80\"}", "allow_anyone"),
            ("pipelines: []\nbroker: {listen: here}", "no address to listen on"),
            ("pipelines: [{name: x}]", "needs its file"),
            ("pipelines: [{file: x, nam: y}]", "did you mean `name`?"),
            ("pipelines: [{file: x, name: a/b}]", "cannot be a name"),
            ("pipelines: [{file: x, lanes: 0}]", "lanes are 1 to 1024"),
            ("pipelines: [a.yaml, sub/a.yaml]", "two pipelines are called `a`"),
            ("pipelines: []\ncheckpoints: \"s4://bucket\"", "there is no `s4://` here"),
            ("pipelines: []\ncommit_every: soon", "commit_every"),
            ("pipelines: []\ncommit_every: 0s", "longer than nothing"),
            ("name: x", "names its pipelines"),
            ("pipelines: [[]]", "expected a mapping"),
            ("pipelines: []\nenvironment: {pubsub: nowhere}", "no address of a Pub/Sub service"),
            ("- 1", "expected a mapping"),
        ] {
            let said = refused(text);
            assert!(said.contains(says) && said.contains("purlin.yaml:"), "{text}\n{said}");
        }
        assert!(Project::from_text("p.yaml", "").project.is_none());
    }

    proptest::proptest! {
        /// Whatever stands there is read or refused with a reason.
        #[test]
        fn anything_is_read_or_refused(
            lines in proptest::collection::vec(
                ("(name|data|checkpoints|commit_every|environment|broker|http|pipelines|apply|x)", "[a-z:{}\\[\\]0-9., \\-\"]{0,24}"), 0..6),
        ) {
            let text: String = lines.iter().map(|(k, v)| format!("{k}: {v}\n")).collect();
            let read = Project::from_text("purlin.yaml", &text);
            proptest::prop_assert!(read.project.is_some() != read.diagnostics.has_errors(), "{}", text);
        }
    }

    #[test]
    fn files_of_one_name_are_refused() {
        assert!(Project::of_files(&["a/x.yaml".to_owned(), "b/x.yaml".to_owned()]).is_err());
        assert_eq!(name_of_file("pipeline.yaml"), "pipeline");
        assert_eq!(name_of_file("a b/pipeline.yaml"), "a-b");
    }
}
