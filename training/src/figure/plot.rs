//! Figure 3 as a plot: three panels, four conditions, a column for each kind of mask.

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Condition, Confusion};

/// Okabe and Ito's colours, which look different to the colour-blind too (*Color universal design*,
/// 2008); without yellow, which is faint on white, and black, which is for clean pictures.
const COLORS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];
const CLEAN: RGBColor = BLACK;
/// Sides of a panel and height of a line of the legend, in pixels.
const PANEL: (u32, u32) = (400, 340);
const LEGEND_LINE: u32 = 20;

/// What a panel shows.
struct Panel {
    title: &'static str,
    value: fn(&Confusion) -> f64,
    /// Upper end of the scale; from the values if there is none.
    top: Option<f64>,
}

const PANELS: [Panel; 3] = [
    Panel {
        title: "top-1 accuracy, %",
        value: |row| 100.0 * row.top1,
        top: Some(100.0),
    },
    Panel {
        title: "cross-entropy, nats",
        value: |row| row.loss,
        top: None,
    },
    Panel {
        title: "entropy, nats",
        value: |row| row.entropy,
        top: None,
    },
];

/// The plot as an SVG document.
///
/// A dot is a classifier, a bar the mean over classifiers, a line their range.
///
/// # Errors
/// The library's own, which a document in memory does not cause.
pub fn plot(confusions: &[Confusion]) -> anyhow::Result<String> {
    let mut masks: Vec<&str> = Vec::new();
    for row in confusions {
        if row.condition != Condition::Clean && !masks.contains(&row.mask.as_str()) {
            masks.push(&row.mask);
        }
    }
    let lines = masks.len().div_ceil(PANELS.len()) as u32;
    let legend = LEGEND_LINE * (lines + 1) + 10;
    let size = (PANEL.0 * PANELS.len() as u32, PANEL.1 + legend);
    let mut document = String::new();
    {
        let root = SVGBackend::with_string(&mut document, size).into_drawing_area();
        let failed = |error: &dyn std::fmt::Display| anyhow!("the plot cannot be drawn: {error}");
        root.fill(&WHITE).map_err(|error| failed(&error))?;
        let (panels, below) = root.split_vertically(PANEL.1);
        for (panel, area) in PANELS.iter().zip(panels.split_evenly((1, PANELS.len()))) {
            draw(panel, &area, confusions, &masks).map_err(|error| failed(&*error))?;
        }
        name(&below, &masks).map_err(|error| failed(&*error))?;
        root.present().map_err(|error| failed(&error))?;
    }
    Ok(document)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw(panel: &Panel, area: &Area<'_>, confusions: &[Confusion], masks: &[&str]) -> Drawn {
    let values = confusions.iter().map(panel.value);
    let largest = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
    // A scale from 0 to 0 has no length.
    let top = panel.top.unwrap_or((1.08 * largest).max(0.1));
    let conditions = Condition::ALL.len();
    let mut chart = ChartBuilder::on(area)
        .caption(panel.title, ("sans-serif", 16))
        .margin(8)
        .x_label_area_size(24)
        .y_label_area_size(44)
        .build_cartesian_2d(0.0..conditions as f64, 0.0..top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(0)
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .label_style(("sans-serif", 12))
        // Ticks are at round numbers; without a zero behind the point they look so, too.
        .y_label_formatter(&|value| format!("{}", (value * 1000.0).round() / 1000.0))
        .draw()?;
    for (index, condition) in Condition::ALL.into_iter().enumerate() {
        let (x, y) = chart.backend_coord(&(index as f64 + 0.5, 0.0));
        let (left, top) = area.get_base_pixel();
        let style = TextStyle::from(("sans-serif", 12)).pos(Pos::new(HPos::Center, VPos::Top));
        area.draw(&Text::new(condition.name(), (x - left, y - top + 6), style))?;
        let columns: Vec<(&str, RGBColor)> = match condition {
            Condition::Clean => vec![("", CLEAN)],
            _ => masks.iter().copied().zip(colors()).collect(),
        };
        let width = 0.8 / columns.len().max(1) as f64;
        for (column, (mask, color)) in columns.into_iter().enumerate() {
            let x = index as f64 + 0.1 + width * (column as f64 + 0.5);
            let values: Vec<f64> = confusions
                .iter()
                .filter(|row| row.condition == condition && row.mask == mask)
                .map(panel.value)
                .filter(|value| value.is_finite())
                .collect();
            if values.is_empty() {
                continue;
            }
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = values.iter().copied().fold(0.0, f64::max);
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let half = (0.4 * width).min(0.1);
            chart.draw_series([
                PathElement::new([(x, low), (x, high)], color.mix(0.6)),
                PathElement::new([(x - half, mean), (x + half, mean)], color.stroke_width(3)),
            ])?;
            let dots = values.into_iter();
            chart.draw_series(
                dots.map(|value| Circle::new((x, value), 3, color.mix(0.5).filled())),
            )?;
        }
    }
    Ok(())
}

/// The legend: each kind of mask, as many in a line as there are panels, and what dots and bars are.
fn name(area: &Area<'_>, masks: &[&str]) -> Drawn {
    let text = |x: i32, y: i32, text: String| Text::new(text, (x, y), ("sans-serif", 13));
    let line = |index: usize| LEGEND_LINE as i32 * index as i32 + 4;
    for (index, (mask, color)) in masks.iter().copied().zip(colors()).enumerate() {
        let x = 52 + PANEL.0 as i32 * (index % PANELS.len()) as i32;
        let y = line(index / PANELS.len());
        area.draw(&Rectangle::new([(x, y), (x + 10, y + 10)], color.filled()))?;
        // What XML cannot hold, a file name can.
        let label = mask.replace(char::is_control, "\u{fffd}");
        area.draw(&text(x + 18, y, format!("masks: {label}")))?;
    }
    let y = line(masks.len().div_ceil(PANELS.len()));
    let key = "dot: a classifier; bar: mean over classifiers; line: their range";
    area.draw(&text(70, y, key.to_owned()))?;
    Ok(())
}

fn colors() -> impl Iterator<Item = RGBColor> {
    COLORS.into_iter().cycle()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(mask: &str, classifier: &str, condition: Condition, top1: f64) -> Confusion {
        Confusion {
            mask: mask.to_owned(),
            classifier: classifier.to_owned(),
            condition,
            pictures: 1,
            loss: 1.0 - top1,
            top1,
            top5: 1.0,
            entropy: f64::NAN,
        }
    }

    fn count(svg: &str, tag: &str) -> usize {
        let document = roxmltree::Document::parse(svg).expect("well-formed");
        let elements = document.descendants();
        elements.filter(|node| node.has_tag_name(tag)).count()
    }

    #[test]
    fn there_is_a_dot_for_each_classifier_mask_and_condition() {
        let mut rows = vec![
            row("", "a", Condition::Clean, 0.5),
            row("", "b", Condition::Clean, 0.7),
        ];
        for mask in ["one", "<mine> & \u{1}"] {
            for condition in &Condition::ALL[1..] {
                rows.push(row(mask, "a", *condition, 0.25));
                rows.push(row(mask, "b", *condition, 0.75));
            }
        }
        let svg = plot(&rows).expect("drawn");
        // 14 rows in two panels; the entropy is not a number and shows nowhere.
        assert_eq!(count(&svg, "circle"), 28);
        assert!(svg.contains("&lt;mine&gt; &amp;"), "{svg}");
    }

    #[test]
    fn no_rows_and_zeros_are_drawn_too() {
        assert_eq!(count(&plot(&[]).expect("drawn"), "circle"), 0);
        let zero = row("m", "a", Condition::MaskedIn, 1.0);
        assert_eq!(count(&plot(&[zero]).expect("drawn"), "circle"), 2);
    }
}
