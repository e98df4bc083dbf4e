//! Aligned text tables.

/// Formats rows of cells under headings. Each column is as wide as its widest cell; numbers are right-aligned.
pub fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = heading
        .iter()
        .enumerate()
        .map(|(at, name)| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0).max(name.chars().count()))
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells.zip(&widths).map(|(cell, width)| {
            let numeric = cell.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit());
            if numeric { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_string() + "\n"
    };
    let mut text = line(&mut heading.iter().copied());
    for row in rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    text
}
