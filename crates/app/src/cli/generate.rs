//! `purlin generate`.

mod live;

use super::Exit;
use super::args::GenerateArgs;
use super::output::Output;
use crate::generate::{Options, Truth, generate as write};
use purlin_api::{Error, Result};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;

/// Lines, unless told otherwise.
const COUNT: u64 = 1000;

pub(crate) fn generate(args: GenerateArgs, out: &mut Output) -> Exit {
    let done = if args.to.is_some() { live::publish(&args, out) } else { run(&args) };
    match done {
        Ok(()) => Exit::Success,
        Err(e) => {
            out.error(&e);
            Exit::Failed
        }
    }
}

fn run(args: &GenerateArgs) -> Result<()> {
    let options = options(args, COUNT);
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
    save_truth(args, truth.as_ref())
}

fn options(args: &GenerateArgs, count: u64) -> Options {
    Options {
        count: args.count.unwrap_or(count),
        bad_per_million: args.bad,
        late: args.late,
        seed: args.seed,
    }
}

fn save_truth(args: &GenerateArgs, truth: Option<&Truth>) -> Result<()> {
    let (Some(path), Some(truth)) = (&args.truth, truth) else { return Ok(()) };
    let text = format!("{:#}\n", truth.to_json());
    create(path)?.write_all(text.as_bytes()).map_err(|e| Error::io("write", &path.to_string_lossy(), e))
}

fn create(path: &Path) -> Result<File> {
    File::create(path).map_err(|e| Error::io("create", &path.to_string_lossy(), e))
}
