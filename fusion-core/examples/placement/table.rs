//! Tables in Markdown, on the screen and in a file.

use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// One table, with a sentence before it.
pub(crate) struct Table {
    text: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<T: Into<String>>(text: &str, head: impl IntoIterator<Item = T>) -> Table {
        Table {
            text: text.to_owned(),
            head: head.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let row: Vec<String> = cells.into_iter().map(Into::into).collect();
        assert_eq!(row.len(), self.head.len(), "a cell for each column");
        self.rows.push(row);
    }

    fn markdown(&self) -> String {
        let mut text = format!("{}\n\n", self.text);
        let rule: Vec<String> = self.head.iter().map(|_| "---".to_owned()).collect();
        for row in [&self.head, &rule].into_iter().chain(&self.rows) {
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
        text
    }
}

/// Prints tables, and collects them for a file.
pub(crate) struct Output {
    text: String,
    file: Option<PathBuf>,
}

impl Output {
    /// # Errors
    /// When the file cannot be written: before anything is computed.
    pub(crate) fn new(file: Option<&Path>) -> Result<Output> {
        let output = Output {
            text: String::new(),
            file: file.map(Path::to_owned),
        };
        output.finish()?;
        Ok(output)
    }

    /// # Errors
    /// When nobody reads what is printed.
    pub(crate) fn table(&mut self, table: &Table) -> Result<()> {
        let markdown = table.markdown();
        writeln!(std::io::stdout(), "{markdown}").context("the tables cannot be printed")?;
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(&markdown);
        Ok(())
    }

    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn finish(&self) -> Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        std::fs::write(file, &self.text)
            .with_context(|| format!("{} cannot be written", file.display()))
    }
}

/// Three digits that count; four of whole numbers up to 9,999.
pub(crate) fn short(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let magnitude = value.abs().log10().floor();
    if !(-4.0..7.0).contains(&magnitude) {
        return format!("{value:.1e}");
    }
    let unit = 10_f64.powf(magnitude - 2.0);
    let value = if magnitude > 3.0 {
        (value / unit).round() * unit
    } else {
        value
    };
    let places = (2.0 - magnitude).clamp(0.0, 6.0) as usize;
    let text = format!("{value:.places$}");
    if text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let digits = text.as_bytes();
    let mut grouped = String::new();
    for (i, digit) in digits.iter().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) && digits[i - 1] != b'-' {
            grouped.push(',');
        }
        grouped.push(char::from(*digit));
    }
    grouped
}

/// A share as per cent.
pub(crate) fn percent(share: f64) -> String {
    format!("{} %", short(100.0 * share))
}
