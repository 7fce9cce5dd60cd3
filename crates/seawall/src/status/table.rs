//! A table of aligned columns.

/// A column: its title, and to which side its cells go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    title: &'static str,
    right: bool,
}

impl Column {
    pub(super) const fn left(title: &'static str) -> Self {
        Self {
            title,
            right: false,
        }
    }

    pub(super) const fn right(title: &'static str) -> Self {
        Self { title, right: true }
    }
}

/// How the second cell of a row is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Bad,
    Good,
    Odd,
}

impl Tone {
    /// The terminal's colour (ECMA-48).
    fn colour(self) -> u8 {
        match self {
            Self::Bad => 31,
            Self::Good => 32,
            Self::Odd => 33,
        }
    }
}

/// The table as text, with a line of titles. `tone` gives the colour of each row's second cell.
pub(super) fn render(
    columns: &[Column],
    rows: &[Vec<String>],
    tone: fn(&str) -> Tone,
    colours: bool,
) -> String {
    let titles = columns.iter().map(|column| column.title.to_owned());
    let titles: Vec<_> = titles.collect();
    let width = |index: usize| {
        let cells = rows
            .iter()
            .chain([&titles])
            .filter_map(|row| row.get(index));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns.len()).map(width).collect();
    let line = |row: &Vec<String>, coloured: bool| {
        let cells = row.iter().zip(columns).zip(&widths).enumerate();
        let cells = cells.map(|(index, ((cell, column), &width))| {
            let padded = if column.right {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            };
            if coloured && index == 1 {
                let colour = tone(cell).colour();
                format!("\x1b[{colour}m{padded}\x1b[0m")
            } else {
                padded
            }
        });
        let cells: Vec<_> = cells.collect();
        cells.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&titles, false)];
    lines.extend(rows.iter().map(|row| line(row, colours)));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_below_their_titles() {
        let columns = [
            Column::left(""),
            Column::left("state"),
            Column::right("req/s"),
        ];
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["node1", "up", "1200"]), row(["n2", "no answer", "-"])];
        let text = render(&columns, &rows, |_| Tone::Good, false);
        assert_eq!(
            text,
            "       state      req/s\n\
             node1  up          1200\n\
             n2     no answer      -"
        );
        let coloured = render(&columns, &rows, |_| Tone::Bad, true);
        assert_eq!(coloured.matches("\x1b[31m").count(), 2);
    }
}
