//! `jerasure encode`: a file into k + m pieces.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use jerasure::Technique;

use crate::coder::Coder;
use crate::encoding;
use crate::input;
use crate::interrupt;
use crate::metadata::{Metadata, PADDING, UPSTREAM_MAX};
use crate::names::{self, Names};
use crate::output::{Finished, Folder, NewFile, Placed};
use crate::progress::Progress;
use crate::report::{self, Usage};
use crate::scheme::{Scheme, default_w, uses_packets};

/// The buffer for files that are larger; smaller ones are one read-in.
const DEFAULT_BUFFER: u64 = 4 << 20;

/// The packet size for files that are large enough for it.
const DEFAULT_PACKET: u32 = 1024;

/// Split FILE into K data pieces and M coding pieces; any K of them give FILE back.
///
/// Writes NAME_k1.EXT, NAME_k2.EXT and so on for data, NAME_m1.EXT and so on for coding, and NAME_meta.txt, which decoding
/// needs: keep a copy of it with the pieces. Names, bytes and metadata are those of Jerasure's example program `encoder`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file to encode
    file: PathBuf,

    /// Data pieces
    #[arg(short)]
    k: usize,

    /// Coding pieces: so many may be lost
    #[arg(short)]
    m: usize,

    /// Bits of a word [default: 8; for liberation and blaum_roth the first that K allows]
    #[arg(short)]
    w: Option<u32>,

    /// How the code is made
    #[arg(short, long, default_value = "reed_sol_van", value_parser = report::technique())]
    technique: Technique,

    /// Bytes of a packet, for all techniques but reed_sol_*; these only pad by it [default: 0 for reed_sol_*, else
    /// from 8 to 1024 after the file's size]
    #[arg(short, long, value_name = "BYTES")]
    packetsize: Option<u32>,

    /// Bytes of the file that are coded together; rounded to fit the code, 0 for the whole file. Memory does not depend
    /// on it. Files of less are padded to it [default: 4 MiB, less for smaller files]
    #[arg(short, long, value_name = "BYTES")]
    buffersize: Option<u64>,

    /// Where the pieces go; made if it is not there
    #[arg(short, long, value_name = "DIR", default_value = "Coding")]
    output: PathBuf,

    /// Replace pieces and metadata that are there
    #[arg(short, long)]
    force: bool,

    /// Say nothing
    #[arg(short, long)]
    quiet: bool,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut source = Source::open(&args.file)?;
    let w = args.w.unwrap_or_else(|| default_w(args.technique, args.k));
    let packet_size = args
        .packetsize
        .unwrap_or_else(|| default_packet(args, w, source.bytes));
    let scheme = Scheme::new(args.technique, args.k, args.m, w, packet_size).map_err(Usage::new)?;
    let (metadata, piece_bytes) = lay_out(&source, scheme, args.buffersize)?;
    refuse_padding(&source, &metadata, piece_bytes)?;

    let names = Names::new(&args.output, &source.name);
    let places: Vec<PathBuf> = (0..scheme.pieces())
        .map(|index| names.piece(scheme.k(), index))
        .collect();
    refuse_existing(places.iter().chain([&names.metadata()]), args.force)?;
    refuse_anothers(&names, &metadata)?;
    let coder = Coder::new(scheme)?;
    // From here on there is something to clean up.
    interrupt::watch()?;

    let folder = Folder::open(&args.output)?;

    let mut pieces = Vec::with_capacity(places.len());
    for place in &places {
        pieces.push(NewFile::create(place.clone(), &source.like)?);
    }
    write_pieces(&coder, &metadata, piece_bytes, &mut source, &mut pieces)?;
    let mut metadata_file = NewFile::create(names.metadata(), &source.like)?;
    metadata_file.write(&metadata.to_bytes())?;
    let pieces: Vec<Finished> = pieces
        .into_iter()
        .map(NewFile::finish)
        .collect::<Result<_>>()?;
    let metadata_file = metadata_file.finish()?;
    source.check_unchanged()?;
    interrupt::check()?;
    let old = if args.force {
        pieces_of_old(&names)
    } else {
        Vec::new()
    };
    commit(pieces, metadata_file, &folder, args.force)?;
    for path in old.iter().filter(|path| !places.contains(path)) {
        // Of another extension there may be none; what stays is harmless, since the new metadata does not name it.
        let _ = fs::remove_file(path);
    }
    drop(folder);

    if !args.quiet {
        report::line(format_args!(
            "{}: {} + {} pieces of {piece_bytes} bytes, {} and {}",
            args.output.display(),
            scheme.k(),
            scheme.m(),
            shown_range(&places),
            names.metadata().file_name().unwrap_or_default().display(),
        ))?;
        if metadata.size() > UPSTREAM_MAX {
            report::warn(
                "Jerasure's own decoder cannot read files beyond 2147483647 bytes; this program can",
            );
        }
    }
    Ok(())
}

/// A power of two of at most [`DEFAULT_PACKET`], so small that padding stays below the file's size if it can.
fn default_packet(args: &Args, w: u32, bytes: u64) -> u32 {
    if !uses_packets(args.technique) {
        return 0;
    }
    let per_byte = (args.k as u64)
        .saturating_mul(u64::from(w))
        .saturating_mul(8)
        .max(1);
    let fitting = (bytes / per_byte).clamp(8, u64::from(DEFAULT_PACKET));
    1 << fitting.ilog2()
}

/// The whole file up to [`DEFAULT_BUFFER`], else equal buffers of about that size, so that the last one holds little
/// padding.
fn default_buffer(bytes: u64, padding_unit: u64) -> u64 {
    let read_ins = bytes.div_ceil(DEFAULT_BUFFER);
    if read_ins <= 1 {
        return 0;
    }
    bytes.div_ceil(read_ins).next_multiple_of(padding_unit)
}

fn lay_out(source: &Source, scheme: Scheme, buffer: Option<u64>) -> Result<(Metadata, u64)> {
    let name = names::bytes(&source.name);
    let buffer = buffer.unwrap_or_else(|| default_buffer(source.bytes, scheme.padding_unit()));
    Ok(Metadata::lay_out(name, source.bytes, scheme, buffer).map_err(Usage::new)?)
}

/// Reads the file window by window and appends to each piece.
fn write_pieces(
    coder: &Coder,
    metadata: &Metadata,
    piece_bytes: u64,
    source: &mut Source,
    pieces: &mut [NewFile],
) -> Result<()> {
    let k = metadata.scheme().k();
    let block_bytes = piece_bytes / metadata.read_ins();
    let progress = Progress::new("encoding", piece_bytes * k as u64);
    let mut buffers = coder.buffers();
    for read_in in 0..metadata.read_ins() {
        let start = read_in * metadata.buffer();
        for (offset, bytes) in coder.windows(block_bytes) {
            interrupt::check()?;
            for (index, buffer) in buffers.iter_mut().enumerate() {
                buffer.resize(bytes, 0);
                if index < k {
                    source.read(start + index as u64 * block_bytes + offset, buffer)?;
                }
            }
            coder.encode(&mut buffers)?;
            for (piece, buffer) in pieces.iter_mut().zip(&buffers) {
                piece.write(buffer)?;
            }
            progress.advance(bytes as u64 * k as u64);
        }
    }
    Ok(())
}

/// Refuses to go on if something is where a file shall be written.
fn refuse_existing<'a>(places: impl Iterator<Item = &'a PathBuf>, force: bool) -> Result<()> {
    for place in places {
        match fs::symlink_metadata(place) {
            Ok(there) if there.is_dir() => bail!("{} is a folder: remove it", place.display()),
            Ok(_) if !force => bail!(
                "{} is there already: choose another folder with -o, or replace it with --force",
                place.display()
            ),
            _ => {}
        }
    }
    Ok(())
}

/// Refuses metadata of another file of the same stem: one of the two could not be decoded any more, `--force` or not.
fn refuse_anothers(names: &Names, metadata: &Metadata) -> Result<()> {
    let place = names.metadata();
    match encoding::read_metadata(&place) {
        Ok(there) if there.base_name() != metadata.base_name() => bail!(
            "{} belongs to {}: choose another folder with -o",
            place.display(),
            names::from_bytes(there.base_name()).display()
        ),
        _ => Ok(()),
    }
}

/// Refuses pieces that would be padding for the most part, which only a slip in `--buffersize` brings about; warns of less.
fn refuse_padding(source: &Source, metadata: &Metadata, piece_bytes: u64) -> Result<()> {
    const MUCH: u64 = 1 << 20;
    const TOO_MUCH: u64 = 1 << 30;
    let total = piece_bytes.saturating_mul(metadata.scheme().k() as u64);
    let padding = total.saturating_sub(source.bytes);
    if padding > source.bytes.max(TOO_MUCH) {
        bail!(
            "{} bytes would be padded to {total}: use a smaller --buffersize",
            source.bytes
        );
    }
    if padding > source.bytes.max(MUCH) {
        report::warn(format_args!(
            "{} bytes are padded to {total}; a smaller --buffersize needs less",
            source.bytes
        ));
    }
    Ok(())
}

/// Puts the pieces in their places, and the metadata when they are on the disk: a set of pieces with metadata is whole.
/// If one cannot be placed, what was there before is there again.
fn commit(pieces: Vec<Finished>, metadata: Finished, folder: &Folder, replace: bool) -> Result<()> {
    let mut placed = Placed::default();
    for piece in pieces {
        placed.place(piece, replace)?;
    }
    folder.sync()?;
    placed.place(metadata, replace)?;
    folder.sync()?;
    placed.keep();
    Ok(())
}

/// The pieces that the metadata in the metadata's place names; none if it is of no use.
fn pieces_of_old(names: &Names) -> Vec<PathBuf> {
    let Ok(old) = encoding::read_metadata(&names.metadata()) else {
        return Vec::new();
    };
    let k = old.scheme().k();
    (0..old.scheme().pieces())
        .map(|index| names.piece(k, index))
        .collect()
}

/// The first and the last piece's file name.
fn shown_range(places: &[PathBuf]) -> String {
    let name = |place: &PathBuf| place.file_name().unwrap_or_default().display().to_string();
    match places {
        [first, .., last] => format!("{} to {}", name(first), name(last)),
        _ => String::new(),
    }
}

/// The file to encode.
struct Source {
    file: File,
    path: PathBuf,
    name: std::ffi::OsString,
    bytes: u64,
    like: fs::Metadata,
}

impl Source {
    fn open(path: &Path) -> Result<Self> {
        let (file, like) =
            input::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let Some(name) = path.file_name() else {
            bail!("{} has no name", path.display());
        };
        Ok(Self {
            name: name.to_os_string(),
            path: path.to_path_buf(),
            bytes: like.len(),
            file,
            like,
        })
    }

    /// Fills the buffer from `offset` on, beyond the end with padding.
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let there = self.bytes.saturating_sub(offset).min(buffer.len() as u64) as usize;
        let (data, padding) = buffer.split_at_mut(there);
        padding.fill(PADDING);
        if data.is_empty() {
            return Ok(());
        }
        self.file
            .seek(SeekFrom::Start(offset))
            .and_then(|_| self.file.read_exact(data))
            .with_context(|| format!("cannot read {}", self.path.display()))
    }

    fn check_unchanged(&self) -> Result<()> {
        let now = self
            .file
            .metadata()
            .with_context(|| format!("cannot read {}", self.path.display()))?;
        if now.len() != self.bytes || now.modified().ok() != self.like.modified().ok() {
            bail!(
                "{} changed while it was encoded: encode it again",
                self.path.display()
            );
        }
        Ok(())
    }
}
