//! `jerasure matrix`: a code's coding matrix.

use std::io::{self, BufWriter, Write};

use anyhow::{Context, Result};
use jerasure::{BitMatrix, CodeParams, Matrix, Technique, WordSize};
use serde_json::{Value, json};

use crate::report::{self, Usage};
use crate::scheme::default_w;

/// Print the coding matrix: M rows of K numbers, or M * W rows of K * W bits.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Data pieces, the matrix's columns
    #[arg(short)]
    k: usize,

    /// Coding pieces, the matrix's rows
    #[arg(short)]
    m: usize,

    /// Bits of a word [default: 8; for liberation and blaum_roth the first that K allows]
    #[arg(short)]
    w: Option<u32>,

    /// How the code is made
    #[arg(short, long, default_value = "reed_sol_van", value_parser = report::technique())]
    technique: Technique,

    /// Print bits; liberation, blaum_roth and liber8tion have nothing else
    #[arg(short, long)]
    bit: bool,

    /// Print one JSON object
    #[arg(short, long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<()> {
    let made = Made::new(args).map_err(Usage::new)?;
    let matrix = match made {
        Made::Words(words) if args.bit => Made::Bits(words.to_bit_matrix()?),
        Made::Bits(_) if !args.bit => {
            let technique = args.technique;
            return Err(Usage::new(format_args!(
                "{technique} has no matrix over words: add --bit"
            ))
            .into());
        }
        made => made,
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let written = if args.json {
        writeln!(out, "{}", matrix.to_json(args))
    } else {
        matrix.print(args.w(), &mut out)
    };
    written
        .and_then(|()| out.flush())
        .context("cannot write standard output")
}

impl Args {
    fn w(&self) -> u32 {
        self.w.unwrap_or_else(|| default_w(self.technique, self.k))
    }
}

/// What a technique defines.
enum Made {
    Words(Matrix),
    Bits(BitMatrix),
}

impl Made {
    fn new(args: &Args) -> Result<Self, jerasure::Error> {
        let (k, m, w) = (args.k, args.m, WordSize::new(args.w())?);
        let mut params = CodeParams::new(k, m, w)?;
        if args.technique.uses_packets() {
            // The matrix is the same for every packet size.
            params = params.with_packet_bytes(8)?;
        }
        args.technique.check(params)?;
        match args.technique {
            Technique::ReedSolVan => Matrix::reed_sol_van(k, m, w).map(Self::Words),
            Technique::ReedSolR6 => Matrix::reed_sol_r6(k, w).map(Self::Words),
            Technique::CauchyOrig => Matrix::cauchy_original(k, m, w).map(Self::Words),
            Technique::CauchyGood => Matrix::cauchy_good(k, m, w).map(Self::Words),
            Technique::Liberation => BitMatrix::liberation(k, w).map(Self::Bits),
            Technique::BlaumRoth => BitMatrix::blaum_roth(k, w).map(Self::Bits),
            Technique::Liber8tion => BitMatrix::liber8tion(k).map(Self::Bits),
            other => unreachable!("{other} is not in Technique::ALL"),
        }
    }

    fn to_json(&self, args: &Args) -> Value {
        let rows: Vec<Value> = match self {
            Self::Words(words) => (0..words.rows()).map(|row| json!(words.row(row))).collect(),
            Self::Bits(bits) => (0..bits.rows())
                .map(|row| json!(bit_row(bits, row)))
                .collect(),
        };
        json!({
            "technique": args.technique.name(),
            "k": args.k,
            "m": args.m,
            "w": args.w(),
            "bits": matches!(self, Self::Bits(_)),
            "rows": rows,
        })
    }

    /// Numbers in columns, or bits in blocks of w by w.
    fn print(&self, w: u32, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Words(words) => {
                let widest = words
                    .as_slice()
                    .iter()
                    .max()
                    .map_or(1, |most| most.to_string().len());
                for row in 0..words.rows() {
                    let numbers: Vec<String> = words
                        .row(row)
                        .iter()
                        .map(|number| format!("{number:widest$}"))
                        .collect();
                    writeln!(out, "{}", numbers.join(" "))?;
                }
            }
            Self::Bits(bits) => {
                let w = w as usize;
                for row in 0..bits.rows() {
                    if row > 0 && row % w == 0 {
                        writeln!(out)?;
                    }
                    let blocks: Vec<String> = bit_row(bits, row)
                        .chunks(w)
                        .map(|block| block.iter().map(u8::to_string).collect())
                        .collect();
                    writeln!(out, "{}", blocks.join(" "))?;
                }
            }
        }
        Ok(())
    }
}

/// Zeros and ones.
fn bit_row(bits: &BitMatrix, row: usize) -> Vec<u8> {
    (0..bits.cols())
        .map(|col| bits.get(row, col).into())
        .collect()
}
