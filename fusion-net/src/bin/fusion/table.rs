//! Plain text tables: columns as wide as their widest cell, numbers to the right.

use std::fmt;

/// A table with a header line.
#[derive(Debug, Default)]
pub(crate) struct Table {
    indent: usize,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table whose columns have these names.
    pub(crate) fn new<const N: usize>(header: [&str; N]) -> Table {
        Table {
            indent: 0,
            header: header.map(str::to_owned).to_vec(),
            rows: Vec::new(),
        }
    }

    /// As [`new`](Self::new), with as many columns as there are names.
    pub(crate) fn of(header: Vec<String>) -> Table {
        Table {
            indent: 0,
            header,
            rows: Vec::new(),
        }
    }

    /// Moves it to the right.
    pub(crate) fn indent(mut self, indent: usize) -> Table {
        self.indent = indent;
        self
    }

    /// Adds a row with a cell for each column.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.add(cells.to_vec());
    }

    /// As [`row`](Self::row).
    pub(crate) fn add(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.header.len());
        self.rows.push(cells);
    }

    fn width(&self, column: usize) -> usize {
        let all = self.rows.iter().chain([&self.header]);
        let widths = all
            .filter_map(|row| row.get(column))
            .map(|c| c.chars().count());
        widths.max().unwrap_or(0)
    }

    /// A column of numbers is set to the right.
    fn is_numeric(&self, column: usize) -> bool {
        let number = |cell: &String| {
            matches!(cell.as_str(), "-" | "?")
                || cell.starts_with(|c: char| c.is_ascii_digit()) && !cell.contains(':')
        };
        !self.rows.is_empty()
            && self
                .rows
                .iter()
                .filter_map(|row| row.get(column))
                .all(number)
    }
}

impl fmt::Display for Table {
    /// Lines without the last line's end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<(usize, bool)> = (0..self.header.len())
            .map(|c| (self.width(c), self.is_numeric(c)))
            .collect();
        for (number, row) in [&self.header].into_iter().chain(&self.rows).enumerate() {
            let mut line = " ".repeat(self.indent);
            for (column, (cell, &(width, right))) in row.iter().zip(&columns).enumerate() {
                if column > 0 {
                    line.push_str("  ");
                }
                line += &if right {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                };
            }
            let end = if number == 0 { "" } else { "\n" };
            write!(f, "{end}{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A number of bytes for people.
pub(crate) fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {unit}")
    }
}

/// A count with its thousands apart.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_needed_and_numbers_stand_to_the_right() {
        let mut table = Table::new(["NAME", "N", "WHERE"]).indent(2);
        table.row(["a".into(), "1".into(), "1.2.3.4:5".into()]);
        table.row(["longer".into(), "1,000".into(), "-".into()]);
        assert_eq!(
            table.to_string(),
            "  NAME        N  WHERE\n  a           1  1.2.3.4:5\n  longer  1,000  -"
        );
    }

    #[test]
    fn an_empty_table_is_its_header() {
        assert_eq!(Table::new(["A", "B"]).to_string(), "A  B");
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(
            [bytes(0), bytes(1023), bytes(1024)],
            ["0 B", "1023 B", "1.0 KiB"]
        );
        assert_eq!(
            [bytes((1 << 20) - 1), bytes(5 << 30)],
            ["1.0 MiB", "5.0 GiB"]
        );
        assert_eq!(
            [count(7), count(1000), count(1234567)],
            ["7", "1,000", "1,234,567"]
        );
    }
}
