//! Text files of one thing a line, and what is wrong with a line.

use anyhow::Context;

use super::super::Annotation;
use crate::dataset::Archive;

/// A text file's lines that are not empty, with their numbers from 1.
pub struct Lines {
    name: String,
    text: String,
}

impl Lines {
    /// Reads the file `name`.
    ///
    /// # Errors
    /// There is no such file, or it cannot be read.
    pub fn read(archive: &Archive, name: &str) -> anyhow::Result<Lines> {
        let bytes = archive
            .read(name)
            .with_context(|| format!("a file of the annotations, {name}, is missing or broken"))?;
        Ok(Lines {
            name: name.to_owned(),
            text: String::from_utf8_lossy(&bytes).into_owned(),
        })
    }

    /// The lines without white space around them.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate();
        lines
            .map(|(index, line)| (index + 1, line.trim()))
            .filter(|(_, line)| !line.is_empty())
    }

    /// A problem with a line.
    pub fn problem(&self, number: usize, what: &str) -> String {
        format!("{} line {number}: {what}", self.name)
    }
}

/// A box from four numbers: left, top, right, bottom. Fractions of pixels are cut off.
///
/// # Errors
/// What is wrong with them.
pub fn annotation(edges: [&str; 4]) -> Result<Annotation, String> {
    let mut numbers = [0; 4];
    for (number, text) in numbers.iter_mut().zip(edges) {
        *number = match text.trim().parse::<f64>() {
            Ok(value) if value.abs() < f64::from(i32::MAX) => value as i32,
            _ => return Err(format!("'{text}' is no edge of a box")),
        };
    }
    let [xmin, ymin, xmax, ymax] = numbers;
    if xmax < xmin || ymax < ymin {
        return Err(format!(
            "the box {xmin}, {ymin}, {xmax}, {ymax} ends before it begins"
        ));
    }
    Ok(Annotation {
        xmin,
        ymin,
        xmax,
        ymax,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_four_numbers_in_order() {
        let edges = |text: &'static str| {
            let parts: Vec<&str> = text.split(' ').collect();
            annotation([parts[0], parts[1], parts[2], parts[3]])
        };
        let expected = Annotation {
            xmin: 1,
            ymin: 2,
            xmax: 3,
            ymax: 2,
        };
        assert_eq!(edges("1 2 3.9 2"), Ok(expected));
        for wrong in ["a 2 3 4", "1 2 0 4", "1 2 NaN 4", "1 2 1e300 4"] {
            assert!(edges(wrong).is_err(), "{wrong}");
        }
    }
}
