//! Aligned text tables, and paragraphs beside them. No line is wider than [`WIDTH`], save for a word that is.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The columns of a terminal that tables take at most.
pub const WIDTH: usize = 100;
/// Spaces between two columns.
const GAP: usize = 2;
/// The narrowest that a column of text becomes for the others to fit.
const NARROWEST: usize = 16;

/// A column: its heading, and the side that its cells are aligned to.
pub struct Column {
    /// One line or several.
    heading: String,
    is_number: bool,
}

impl Column {
    /// A column of text. Its cells continue on further lines where the table would be too wide.
    pub fn text(heading: impl Into<String>) -> Self {
        Self { heading: heading.into(), is_number: false }
    }

    /// A column of numbers, which end below each other.
    pub fn number(heading: impl Into<String>) -> Self {
        Self { heading: heading.into(), is_number: true }
    }

    /// The width that the column would have with enough room.
    fn width<'a>(&'a self, cells: impl Iterator<Item = &'a str>) -> usize {
        self.heading.lines().chain(cells).map(UnicodeWidthStr::width).max().unwrap_or(0)
    }

    fn aligned(&self, text: &str, width: usize) -> String {
        let blank = " ".repeat(width.saturating_sub(text.width()));
        if self.is_number { blank + text } else { text.to_owned() + &blank }
    }
}

/// Formats rows of cells under headings. Columns that do not fit follow in a further table, below the same first column.
pub fn table(columns: &[Column], rows: &[Vec<String>]) -> String {
    let natural = |(at, column): (usize, &Column)| column.width(rows.iter().map(|row| row[at].as_str()));
    let mut widths: Vec<usize> = columns.iter().enumerate().map(natural).collect();
    shrink(columns, &mut widths);
    let drawn = |part: Vec<usize>| {
        let select = |cells: &[String]| {
            let cells = part.iter().map(|&at| (&columns[at], widths[at], cells[at].as_str()));
            line(&cells.collect::<Vec<_>>())
        };
        let tallest = part.iter().map(|&at| columns[at].heading.lines().count()).max().unwrap_or(0);
        let headings: Vec<_> = columns.iter().map(|column| lowered(&column.heading, tallest)).collect();
        select(&headings) + &rows.iter().map(|row| select(row)).collect::<String>()
    };
    split(&widths).into_iter().map(drawn).collect::<Vec<_>>().join("\n")
}

/// A heading with empty lines above it, down to the rows.
fn lowered(heading: &str, lines: usize) -> String {
    "\n".repeat(lines.saturating_sub(heading.lines().count().max(1))) + heading
}

/// Takes width from the widest columns of text until the table fits.
fn shrink(columns: &[Column], widths: &mut [usize]) {
    while widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1) > WIDTH {
        let texts = (0..columns.len()).filter(|&at| !columns[at].is_number && widths[at] > NARROWEST);
        let Some(widest) = texts.max_by_key(|&at| widths[at]) else { return };
        widths[widest] -= 1;
    }
}

/// The columns of each part of a table.
fn split(widths: &[usize]) -> Vec<Vec<usize>> {
    let mut parts: Vec<Vec<usize>> = vec![Vec::new()];
    let mut taken = 0;
    for (at, width) in widths.iter().enumerate() {
        if taken + width > WIDTH && at > 1 {
            parts.push(vec![0]);
            taken = widths[0] + GAP;
        }
        taken += width + GAP;
        parts.last_mut().expect("there is one from the start").push(at);
    }
    parts
}

/// A row: as many lines as its longest cell takes.
fn line(cells: &[(&Column, usize, &str)]) -> String {
    let broken: Vec<Vec<String>> = cells.iter().map(|(_, width, cell)| broken(cell, *width)).collect();
    let height = broken.iter().map(Vec::len).max().unwrap_or(0);
    let one = |number: usize| {
        let parts = cells
            .iter()
            .zip(&broken)
            .map(|((column, width, _), lines)| column.aligned(lines.get(number).map_or("", String::as_str), *width));
        parts.collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end().to_owned() + "\n"
    };
    (0..height).map(one).collect()
}

/// The lines of a cell. A word that is wider than the cell is cut.
fn broken(cell: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in cell.split('\n') {
        let mut current = String::new();
        for word in line.split(' ') {
            if !current.is_empty() && current.width() + 1 + word.width() > width {
                lines.push(std::mem::take(&mut current));
            }
            if !current.is_empty() {
                current.push(' ');
            }
            for character in word.chars() {
                if current.width() + character.width().unwrap_or(0) > width {
                    lines.push(std::mem::take(&mut current));
                }
                current.push(character);
            }
        }
        lines.push(current);
    }
    lines
}

/// Breaks the lines of a text between words. What is left of a line follows `indent` spaces. A longer word stays whole.
pub fn paragraph(text: &str, indent: usize) -> String {
    text.split_inclusive('\n').map(|line| folded(line, indent)).collect()
}

fn folded(line: &str, indent: usize) -> String {
    let (mut text, mut column) = (String::new(), 0);
    for word in line.split_inclusive(' ') {
        let width = word.trim_end().width();
        if column > indent && column + width > WIDTH {
            text.truncate(text.trim_end().len());
            text.push('\n');
            text += &" ".repeat(indent);
            column = indent;
        }
        text += word;
        column += word.width();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
        cells.map(String::from).to_vec()
    }

    #[test]
    fn numbers_end_below_each_other_and_headings_above_them() {
        let columns = [Column::text("name"), Column::number("MB of\nweights"), Column::text("")];
        let text = table(&columns, &[row(["a", "1,234.5", "x"]), row(["2 threads", "-", ""])]);
        assert_eq!(text, "             MB of\nname       weights\na          1,234.5  x\n2 threads        -\n");
    }

    #[test]
    fn a_wide_text_continues_below_itself() {
        let long = "a driver with a name of very many words ".repeat(4) + &"x".repeat(120);
        let text = table(&[Column::text("driver"), Column::number("MiB")], &[row([&long, "1,024"])]);
        assert!(text.lines().all(|line| line.width() <= WIDTH), "{text}");
        assert_eq!(text.replace(['\n', ' '], "").replace("1,024", ""), format!("driverMiB{}", long.replace(' ', "")));
        assert!(text.lines().nth(1).is_some_and(|line| line.ends_with(" 1,024")), "{text}");
    }

    #[test]
    fn columns_that_do_not_fit_follow_below_the_same_names() {
        let columns: Vec<_> = [Column::text("chip")]
            .into_iter()
            .chain((0..9).map(|at| Column::number(format!("decode @ d{at}000"))))
            .collect();
        let cells: Vec<_> = ["M1".to_string()].into_iter().chain((0..9).map(|at| at.to_string())).collect();
        let text = table(&columns, &[cells]);
        assert!(text.lines().all(|line| line.width() <= WIDTH), "{text}");
        let starts: Vec<_> = text.lines().map(|line| line.split(' ').next().unwrap_or_default()).collect();
        assert_eq!(starts, ["chip", "M1", "", "chip", "M1"]);
        assert!(text.contains("@ d0000") && text.contains("@ d8000"), "{text}");
    }

    #[test]
    fn a_paragraph_breaks_between_words_and_leaves_paths_whole() {
        let path = "/a".repeat(60);
        let text = paragraph(&format!("file  {path}, and {}\nnext\n", "word ".repeat(30)), 6);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], format!("file  {path},"));
        assert!(lines[1..].iter().all(|line| line.width() <= WIDTH), "{text}");
        assert!(lines[1].starts_with("      and word") && text.ends_with("\nnext\n"), "{text}");
    }
}
