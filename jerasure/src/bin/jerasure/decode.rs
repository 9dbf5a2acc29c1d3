//! `jerasure decode`: the file from any k of its pieces.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::coder::Coder;
use crate::encoding::{Encoding, Pieces, Window};
use crate::interrupt;
use crate::metadata::PADDING;
use crate::output::{self, Output};
use crate::progress::Progress;
use crate::report;

/// Put a file together again from its pieces; up to M of them may be missing.
///
/// A piece that is truncated or too long counts as missing, with a warning. If more than K pieces are left, they are
/// checked against each other: a wrong byte is an error. The file appears whole or not at all.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder of the pieces, its metadata file, or the encoded file's name in that folder
    #[arg(value_name = "DIR_OR_BASENAME")]
    encoding: PathBuf,

    /// Where to write, - for standard output [default: NAME_decoded.EXT beside the pieces]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Do not compare spare pieces: reads K pieces only
    #[arg(long)]
    no_verify: bool,

    /// Say nothing, but for errors
    #[arg(short, long)]
    quiet: bool,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<()> {
    let encoding = Encoding::find(&args.encoding)?;
    let decoding = || format!("cannot decode {}", encoding.names().metadata().display());
    let mut pieces = encoding.open_pieces().with_context(decoding)?;
    if !args.quiet {
        encoding.warn_of_damage(&pieces);
    }
    let place = match &args.output {
        Some(place) => place.clone(),
        None => encoding.names().decoded(),
    };
    refuse_own_files(&encoding, &place)?;
    let coder = Coder::new(encoding.scheme())?;
    interrupt::watch()?;
    let metadata_path = encoding.names().metadata();
    let like = fs::metadata(&metadata_path)
        .with_context(|| format!("cannot use {}", metadata_path.display()))?;
    let mut output = Output::open(&place, &like)?;

    let mut decoder = Decoder {
        spare: if args.no_verify {
            Spare::Ignored
        } else {
            Spare::Checked
        },
        lost: pieces.lost_indices(),
        buffers: coder.buffers(),
        progress: Progress::new("decoding", encoding.metadata().size()),
        left: encoding.metadata().size(),
        odd_padding: false,
        coder: &coder,
        encoding: &encoding,
        pieces: &mut pieces,
    };
    decoder.write_to(&mut output).with_context(decoding)?;
    let odd_padding = decoder.odd_padding;
    drop(decoder);
    interrupt::check()?;
    output.finish()?;
    if odd_padding && !args.quiet {
        report::warn(format_args!(
            "what follows in the pieces is no padding: the file may be larger than the {} bytes that {} gives",
            encoding.metadata().size(),
            metadata_path.display()
        ));
    }

    if !args.quiet && place.as_os_str() != "-" {
        let lost = pieces.lost();
        let rebuilt = match lost {
            [] => String::new(),
            lost => format!("; {}", encoding.describe(lost)),
        };
        report::line(format_args!(
            "{}: {} bytes{rebuilt}",
            place.display(),
            encoding.metadata().size()
        ))?;
    }
    Ok(())
}

/// Refuses to write over the pieces or the metadata, or in the place of a lost one.
fn refuse_own_files(encoding: &Encoding, place: &Path) -> Result<()> {
    if place.as_os_str() == "-" {
        return Ok(());
    }
    let there = output::destination(place)?;
    let own = (0..encoding.scheme().pieces())
        .map(|index| encoding.piece_path(index))
        .chain([encoding.names().metadata()])
        .any(|path| output::destination(&path).is_ok_and(|path| path == there));
    if own {
        bail!(
            "{} belongs to the encoding: name another file",
            place.display()
        );
    }
    Ok(())
}

/// Whether pieces beyond k are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spare {
    Checked,
    Ignored,
}

struct Decoder<'a> {
    encoding: &'a Encoding,
    pieces: &'a mut Pieces,
    coder: &'a Coder,
    spare: Spare,
    lost: Vec<usize>,
    buffers: Vec<Vec<u8>>,
    progress: Progress,
    /// Bytes of the file not yet written: what follows is padding.
    left: u64,
    /// Whether anything that follows the file cannot be padding.
    odd_padding: bool,
}

impl Decoder<'_> {
    /// Writes the file from its first byte to its last, so that a pipe can take it.
    fn write_to(&mut self, output: &mut Output) -> Result<()> {
        let metadata = self.encoding.metadata();
        let k = metadata.scheme().k();
        let block_bytes = self.pieces.piece_bytes() / metadata.read_ins();
        for read_in in 0..metadata.read_ins() {
            let start = read_in * block_bytes;
            if block_bytes <= self.coder.window() as u64 {
                self.write_window(start, block_bytes as usize, 0..k, output)?;
                continue;
            }
            // The file has one block after the other, and a window goes through all of them at the same offset: so
            // each block is decoded by itself.
            for block in 0..k {
                for (offset, bytes) in self.coder.windows(block_bytes) {
                    self.write_window(start + offset, bytes, block..block + 1, output)?;
                }
            }
        }
        Ok(())
    }

    /// Writes some data pieces' parts at one offset.
    fn write_window(
        &mut self,
        offset: u64,
        bytes: usize,
        data: Range<usize>,
        output: &mut Output,
    ) -> Result<()> {
        interrupt::check()?;
        let scheme = self.encoding.scheme();
        let wanted: Vec<usize> = data
            .clone()
            .filter(|index| self.lost.binary_search(index).is_ok())
            .collect();
        // Blocks that are decoded one by one go through the same windows: the first time is enough for a check.
        let check = self.spare == Spare::Checked && data.start == 0;
        let read: Vec<usize> = if check {
            scheme.without(&self.lost)
        } else if wanted.is_empty() {
            data.clone().collect()
        } else {
            scheme.without(&self.lost)[..scheme.k()].to_vec()
        };
        let window = Window { offset, bytes };
        self.encoding
            .read(self.pieces, &read, window, &mut self.buffers)?;
        if check {
            self.encoding
                .require_agreement(self.coder, &mut self.buffers, &self.lost, window)?;
        }
        if !wanted.is_empty() {
            let unread = scheme.without(&read);
            self.coder.rebuild(&mut self.buffers, &unread, &wanted)?;
        }
        for index in data {
            let take = self.left.min(bytes as u64);
            let (file, padding) = self.buffers[index].split_at(take as usize);
            output.write(file)?;
            self.odd_padding |= !self.is_padding(padding);
            self.left -= take;
            self.progress.advance(take);
        }
        Ok(())
    }

    /// Whether an encoder may have written this after the file.
    fn is_padding(&self, bytes: &[u8]) -> bool {
        let metadata = self.encoding.metadata();
        let scheme = metadata.scheme();
        if metadata.read_ins() > 1 {
            return bytes.iter().all(|&byte| byte == PADDING);
        }
        // Upstream leaves memory as it was here. That is hardly anything but zero where there is much.
        let padded = self.pieces.piece_bytes().saturating_mul(scheme.k() as u64);
        padded - metadata.size() < scheme.padding_unit()
            || bytes.iter().all(|&byte| byte == PADDING || byte == 0)
    }
}
