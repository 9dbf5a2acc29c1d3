//! Tables with a title, for terminals and for Markdown.

use crate::table::{Table, count};

/// A table.
#[derive(Debug)]
pub(crate) struct Sheet {
    title: String,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Sheet {
    /// Without rows yet.
    pub(crate) fn new<const N: usize>(title: &str, header: [&str; N]) -> Sheet {
        Sheet {
            title: title.to_owned(),
            header: header.map(str::to_owned).to_vec(),
            rows: Vec::new(),
        }
    }

    /// What it is about.
    pub(crate) fn title(&self) -> &str {
        &self.title
    }

    /// Adds a row with a cell for each column.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.header.len());
        self.rows.push(cells.to_vec());
    }

    /// For a terminal.
    pub(crate) fn text(&self) -> String {
        let mut table = Table::of(self.header.iter().map(|h| h.to_uppercase()).collect());
        for row in &self.rows {
            table.add(row.clone());
        }
        format!("{}\n{table}", self.title)
    }

    /// For the docs.
    pub(crate) fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule = format!("|{}\n", "---|".repeat(self.header.len()));
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        let text = format!("**{}**\n\n{}{rule}{rows}", self.title, line(&self.header));
        text.trim_end().to_owned()
    }
}

/// A figure with about three digits.
pub(crate) fn number(figure: f64) -> String {
    match figure {
        0.0 => "0".to_owned(),
        figure if figure < 9.995 => format!("{figure:.2}"),
        figure if figure < 99.95 => format!("{figure:.1}"),
        figure => count(figure.round() as u64),
    }
}

/// A ratio.
pub(crate) fn times(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_table_for_both() {
        let mut sheet = Sheet::new("what", ["who", "n"]);
        sheet.row(["a".to_owned(), number(1234.4)]);
        assert_eq!(sheet.text(), "what\nWHO      N\na    1,234");
        assert_eq!(
            sheet.markdown(),
            "**what**\n\n| who | n |\n|---|---|\n| a | 1,234 |"
        );
        assert_eq!(
            [number(0.123), number(45.67), number(0.0)],
            ["0.12", "45.7", "0"]
        );
        assert_eq!(times(None), "-");
    }
}
