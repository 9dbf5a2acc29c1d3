//! `jerasure verify`: whether the pieces belong together.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::coder::{Check, Coder};
use crate::encoding::{Encoding, Pieces, Window};
use crate::interrupt;
use crate::progress::Progress;
use crate::report;

/// Check that all pieces are there and belong together; names the one that is wrong, if one is.
///
/// Exit status 0 if nothing is wrong, else 1. With all pieces there, up to M wrong ones are noticed; one wrong piece can be
/// named if at least K + 2 are there.
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
    let name = encoding.names().metadata();
    let mut pieces = encoding
        .open_pieces()
        .with_context(|| format!("cannot verify {}", name.display()))?;
    let coder = Coder::new(encoding.scheme())?;
    interrupt::watch()?;
    let findings = examine(&encoding, &mut pieces, &coder)?;
    let scheme = encoding.scheme();
    let left = scheme.pieces() - pieces.lost().len();

    let mut wrong = Vec::new();
    if !pieces.lost().is_empty() {
        wrong.push(encoding.describe(pieces.lost()));
    }
    for (culprit, first) in &findings {
        wrong.push(match culprit {
            Some(index) => format!(
                "{} is wrong, first near byte {first}",
                encoding.piece_name(*index)
            ),
            None => format!("the pieces contradict each other, first near byte {first}"),
        });
    }
    if left == scheme.k() {
        wrong.push(format!(
            "the {left} others cannot be checked, since none is spare"
        ));
    } else if findings.is_empty() && !wrong.is_empty() {
        wrong.push(format!("the {left} others agree"));
    }
    if !wrong.is_empty() {
        bail!("{}: {}", name.display(), wrong.join("; "));
    }
    if !args.quiet {
        report::line(format_args!(
            "{}: all {left} pieces are there and agree",
            name.display()
        ))?;
    }
    Ok(())
}

/// Where each wrong piece is wrong first; `None` stands for places where it is not clear which piece is wrong.
fn examine(
    encoding: &Encoding,
    pieces: &mut Pieces,
    coder: &Coder,
) -> Result<BTreeMap<Option<usize>, u64>> {
    let lost = pieces.lost_indices();
    let present = encoding.scheme().without(&lost);
    let mut findings = BTreeMap::new();
    let bytes = pieces.piece_bytes();
    let progress = Progress::new("verifying", pieces.total_bytes());
    let mut buffers = coder.buffers();
    for (offset, bytes) in coder.windows(bytes) {
        interrupt::check()?;
        let window = Window { offset, bytes };
        encoding.read(pieces, &present, window, &mut buffers)?;
        if let Check::Disagree { at } = coder.check(&mut buffers, &lost)? {
            let culprit = coder.culprit(&mut buffers, &lost)?;
            findings.entry(culprit).or_insert(offset + at as u64);
        }
        progress.advance(bytes as u64 * present.len() as u64);
    }
    Ok(findings)
}
