//! `purlin generate`.

use super::Exit;
use super::args::GenerateArgs;
use super::output::Output;
use crate::generate::{Options, generate as write};
use purlin_api::{Error, Result};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;

pub(crate) fn generate(args: GenerateArgs, out: &mut Output) -> Exit {
    match run(&args) {
        Ok(()) => Exit::Success,
        Err(e) => {
            out.error(&e);
            Exit::Failed
        }
    }
}

fn run(args: &GenerateArgs) -> Result<()> {
    let options = Options { count: args.count, bad_per_million: args.bad, late: args.late, seed: args.seed };
    let truth = match &args.out {
        Some(path) => {
            let failed = |e| Error::io("write", &path.to_string_lossy(), e);
            let mut file = create(path)?;
            write(args.dataset.into(), &options, args.truth.is_some(), &mut file).map_err(failed)?
        }
        None => {
            let mut stdout = std::io::stdout().lock();
            match write(args.dataset.into(), &options, args.truth.is_some(), &mut stdout) {
                // A reader that has seen enough (`| head`) is no failure of ours.
                Err(e) if e.kind() == ErrorKind::BrokenPipe => return Ok(()),
                other => other.map_err(|e| Error::io("write", "standard output", e))?,
            }
        }
    };
    if let (Some(path), Some(truth)) = (&args.truth, truth) {
        let text = format!("{:#}\n", truth.to_json());
        create(path)?
            .write_all(text.as_bytes())
            .map_err(|e| Error::io("write", &path.to_string_lossy(), e))?;
    }
    Ok(())
}

fn create(path: &Path) -> Result<File> {
    File::create(path).map_err(|e| Error::io("create", &path.to_string_lossy(), e))
}
