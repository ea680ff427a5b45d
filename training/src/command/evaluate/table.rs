//! Aligned columns of text.

/// Rows of cells, the first row being the head.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With the names of its columns.
    pub fn new<'a>(head: impl IntoIterator<Item = &'a str>) -> Table {
        Table {
            rows: vec![head.into_iter().map(str::to_owned).collect()],
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether there is nothing but the head.
    pub fn is_empty(&self) -> bool {
        self.rows.len() < 2
    }

    /// The text: the first column to the left, the others to the right. Columns that are empty in all rows
    /// are left out.
    pub fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
        let width = |column| {
            let widths = self
                .rows
                .iter()
                .map(|row| cell(row, column).chars().count());
            widths.max().unwrap_or(0)
        };
        let filled = |&column: &usize| {
            column == 0
                || self
                    .rows
                    .iter()
                    .skip(1)
                    .any(|row| !cell(row, column).is_empty())
        };
        let columns: Vec<(usize, usize)> = (0..columns)
            .filter(filled)
            .map(|column| (column, width(column)))
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for &(column, width) in &columns {
                let cell = cell(row, column);
                line += &match column {
                    0 => format!("{cell:<width$}"),
                    _ => format!("  {cell:>width$}"),
                };
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        let mut table = Table::new(["", "LE", "OM", "F1"]);
        table.row(["crop", "32.6", "", "5"].map(str::to_owned));
        table.row(["stretch", "7.1", "", "50"].map(str::to_owned));
        assert_eq!(
            table.text(),
            "           LE  F1\ncrop     32.6   5\nstretch   7.1  50\n"
        );
    }
}
