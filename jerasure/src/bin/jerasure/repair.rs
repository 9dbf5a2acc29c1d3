//! `jerasure repair`: makes lost pieces again.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::coder::Coder;
use crate::encoding::{Encoding, Window};
use crate::interrupt;
use crate::output::{self, Finished, NewFile, Placed};
use crate::progress::Progress;
use crate::report;

/// Make missing and truncated pieces again from the others.
///
/// The others are compared first, if more than K are left: nothing is written if they contradict each other. To replace a
/// piece that `jerasure verify` calls wrong, remove it and run repair.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder of the pieces, its metadata file, or the encoded file's name in that folder
    #[arg(value_name = "DIR_OR_BASENAME")]
    encoding: PathBuf,

    /// Say nothing, but for errors
    #[arg(short, long)]
    quiet: bool,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<()> {
    let encoding = Encoding::find(&args.encoding)?;
    let metadata_path = encoding.names().metadata();
    let repairing = || format!("cannot repair {}", metadata_path.display());
    let mut pieces = encoding.open_pieces().with_context(repairing)?;
    let coder = Coder::new(encoding.scheme())?;
    interrupt::watch()?;
    let like = fs::metadata(&metadata_path).with_context(repairing)?;
    let lost = pieces.lost_indices();
    let present = encoding.scheme().without(&lost);
    let mut files = Vec::with_capacity(lost.len());
    for &index in &lost {
        files.push(NewFile::create(encoding.piece_path(index), &like)?);
    }

    let bytes = pieces.piece_bytes();
    let progress = Progress::new("repairing", bytes);
    let mut buffers = coder.buffers();
    for (offset, bytes) in coder.windows(bytes) {
        interrupt::check()?;
        let window = Window { offset, bytes };
        encoding.read(&mut pieces, &present, window, &mut buffers)?;
        encoding
            .require_agreement(&coder, &mut buffers, &lost, window)
            .with_context(repairing)?;
        coder.rebuild(&mut buffers, &lost, &lost)?;
        for (file, &index) in files.iter_mut().zip(&lost) {
            file.write(&buffers[index])?;
        }
        progress.advance(bytes as u64);
    }
    drop(progress);
    let files: Vec<Finished> = files
        .into_iter()
        .map(NewFile::finish)
        .collect::<Result<_>>()?;
    interrupt::check()?;
    let mut placed = Placed::default();
    for file in files {
        placed.place(file, true)?;
    }
    output::sync_folder(encoding.names().folder())?;
    placed.keep();
    if !args.quiet {
        say(&encoding, &lost)?;
    }
    Ok(())
}

fn say(encoding: &Encoding, repaired: &[usize]) -> Result<()> {
    let place = encoding.names().metadata();
    if repaired.is_empty() {
        return report::line(format_args!("{}: nothing to repair", place.display()));
    }
    for &index in repaired {
        report::line(format_args!(
            "{}: made again",
            encoding.piece_path(index).display()
        ))?;
    }
    Ok(())
}
