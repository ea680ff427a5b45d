//! The gallery of `casm visualize`: best and worst cases with mask and boxes drawn in.

use std::path::{Path, PathBuf};

use anyhow::Context;
use casm::localizer::LocalizeOptions;
use casm::overlay::{OverlayMode, OverlayStyle};
use casm::{Geometry, Localization, Resize};
use casm_training::evaluation::score::box_scores;
use casm_training::evaluation::{AnnotatedSet, Annotation};
use casm_training::figure::Model;
use casm_training::figure::gallery::{Exhibit, Section, page};
use casm_training::picture;
use image::RgbImage;

use super::drawing::{draw, draw_box, save};
use super::figure::{progress_bar, write};

/// Pictures that are decoded and localized together.
const BATCH: usize = 16;
/// Side of a drawn picture in pixels, as a multiple of the network's input.
const ENLARGED: u32 = 2;
/// Colours of the two boxes, which are told apart by the colour-blind, too.
const PREDICTED: [u8; 3] = [230, 60, 0];
const ANNOTATED: [u8; 3] = [80, 220, 255];

/// Where the gallery goes, and what into it.
pub struct Gallery<'a> {
    pub folder: &'a Path,
    pub resize: Resize,
    /// Best cases, and as many worst.
    pub cases: usize,
}

/// What a model finds in one picture.
struct Case {
    /// In the set.
    index: usize,
    localization: Localization,
    /// Boxes in pixels of the network's input.
    annotations: Vec<Annotation>,
    /// With the annotation that fits best; `None` without annotations.
    iou: Option<f64>,
}

impl Case {
    /// What cases are ordered by.
    fn merit(&self) -> f64 {
        self.iou.unwrap_or(self.localization.confidence())
    }
}

impl Gallery<'_> {
    /// Localizes all pictures and writes the page with its pictures; false if none can be read.
    pub fn write(
        &self,
        set: &AnnotatedSet,
        model: &mut Model,
        problems: &mut Vec<String>,
    ) -> anyhow::Result<bool> {
        let indices: Vec<usize> = (0..set.pictures.len()).collect();
        let progress = progress_bar(indices.len());
        // Of all pictures only the merit is kept.
        let mut merits: Vec<(f64, usize)> = Vec::new();
        for batch in indices.chunks(BATCH) {
            let (pictures, failed) = decode(set, batch);
            for problem in failed {
                // The sheets may have met the same picture.
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
            }
            let cases = self.localize(set, model, &pictures)?;
            merits.extend(cases.iter().map(|case| (case.merit(), case.index)));
            progress.inc(batch.len() as u64);
        }
        progress.finish_and_clear();
        if merits.is_empty() {
            return Ok(false);
        }
        // Best first; of equals the first in the set.
        merits.sort_by(|(a, first), (b, second)| b.total_cmp(a).then(first.cmp(second)));
        let best = merits.len().div_ceil(2).min(self.cases);
        let worst = (merits.len() - best).min(self.cases);
        let last = merits.iter().rev().take(worst);
        let by = match set
            .pictures
            .iter()
            .any(|picture| !picture.annotations.is_empty())
        {
            true => "overlap (IoU) of predicted and annotated box",
            false => "confidence, as there are no annotated boxes",
        };
        let sections = [
            self.section(set, model, "best", &mut merits.iter().take(best))?,
            self.section(set, model, "worst", &mut { last })?,
        ];
        let introduction = format!(
            "{} pictures, ordered by {by}. The mask is the tint from dark blue (0) to pale yellow (1). Red: \
             predicted box; light blue: annotated boxes.",
            merits.len()
        );
        let title = format!("{}: best and worst cases", model.name);
        write(
            &self.folder.join("index.html"),
            page(&title, &introduction, &sections),
        )?;
        Ok(true)
    }

    fn section(
        &self,
        set: &AnnotatedSet,
        model: &mut Model,
        name: &str,
        merits: &mut dyn Iterator<Item = &(f64, usize)>,
    ) -> anyhow::Result<Section> {
        let indices: Vec<usize> = merits.map(|&(_, index)| index).collect();
        let mut exhibits = Vec::new();
        for batch in indices.chunks(BATCH) {
            let (pictures, _) = decode(set, batch);
            for (case, (_, picture)) in self.localize(set, model, &pictures)?.iter().zip(&pictures)
            {
                let stem = format!("{name}-{:02}", exhibits.len() + 1);
                let drawn = self.draw(case, picture, model.header().input.size)?;
                save(self.folder, &PathBuf::from(&stem), |path| drawn.save(path))?;
                let annotated = &set.pictures[case.index];
                let size = match self.resize {
                    Resize::Stretch => annotated.original.unwrap_or(picture.dimensions()),
                    Resize::Crop => drawn.dimensions(),
                };
                exhibits.push(Exhibit {
                    file: format!("{stem}.png"),
                    size,
                    name: annotated.name.clone(),
                    facts: facts(case, set, model),
                });
            }
        }
        Ok(Section {
            heading: format!("{} {name}", exhibits.len()),
            exhibits,
        })
    }

    fn localize(
        &self,
        set: &AnnotatedSet,
        model: &mut Model,
        pictures: &[(usize, RgbImage)],
    ) -> anyhow::Result<Vec<Case>> {
        let size = model.header().input.size;
        let options = LocalizeOptions {
            resize: Resize::Stretch,
            binarization: model.header().binarization,
            min_area: 0.0,
            max_objects: 1,
        };
        let inputs = pictures
            .iter()
            .map(|(_, picture)| self.square(picture, size));
        let views = model.view(&inputs.collect::<Vec<_>>())?;
        let cases = pictures.iter().zip(views).map(|((index, picture), view)| {
            let mask = view.mask.context("the model makes no masks")?;
            // Boxes stay in pixels of the input.
            let input = Geometry::new(Resize::Stretch, size, size, size);
            let localization = Localization::from_mask(mask, &view.logits, &input, &options);
            let annotated = &set.pictures[*index];
            let (width, height) = annotated.original.unwrap_or(picture.dimensions());
            let annotations = annotated.annotations.iter();
            let annotations: Vec<Annotation> = annotations
                .map(|raw| raw.to_input(self.resize, width, height, size))
                .collect();
            let scores = box_scores(
                &localization.mask,
                localization.bounding_box().as_ref(),
                &annotations,
            );
            Ok(Case {
                index: *index,
                localization,
                annotations,
                iou: scores.iter().map(|score| score.iou).reduce(f64::max),
            })
        });
        cases.collect()
    }

    /// As [`evaluate`](casm_training::evaluation::evaluate) shows pictures to the network, since the boxes
    /// are carried over by the same rule.
    fn square(&self, picture: &RgbImage, size: u32) -> RgbImage {
        match self.resize {
            Resize::Crop => picture::crop(picture, size, size),
            Resize::Stretch => picture::stretch(picture, size),
        }
    }

    /// The picture with mask, annotated boxes and predicted box.
    fn draw(&self, case: &Case, picture: &RgbImage, size: u32) -> anyhow::Result<RgbImage> {
        let side = size * ENLARGED;
        let mut drawn = self.square(picture, side);
        let geometry = Geometry::new(Resize::Stretch, side, side, size);
        let heatmap = OverlayStyle {
            mode: OverlayMode::Heatmap,
            opacity: 0.45,
            ..OverlayStyle::default()
        };
        draw(&mut drawn, &case.localization, &geometry, &heatmap)?;
        let length = size as usize;
        let annotated = case.annotations.iter();
        let annotated = annotated.filter_map(|annotation| annotation.visible(length, length));
        let boxes = annotated
            .map(|bounding_box| (bounding_box, ANNOTATED))
            .chain(
                case.localization
                    .bounding_box()
                    .map(|found| (found, PREDICTED)),
            );
        for (bounding_box, color) in boxes {
            let enlarged = geometry.box_to_frame(bounding_box, length, length);
            draw_box(&mut drawn, enlarged, color);
        }
        Ok(drawn)
    }
}

/// The pictures with these indices that can be read, and why the others cannot.
fn decode(set: &AnnotatedSet, indices: &[usize]) -> (Vec<(usize, RgbImage)>, Vec<String>) {
    let mut pictures = Vec::new();
    let mut problems = Vec::new();
    for &index in indices {
        match set.decode(index) {
            Ok(picture) => pictures.push((index, picture)),
            Err(error) => problems.push(format!("{error:#}")),
        }
    }
    (pictures, problems)
}

/// What is said below a picture.
fn facts(case: &Case, set: &AnnotatedSet, model: &Model) -> Vec<(&'static str, String)> {
    let localization = &case.localization;
    let mut facts = Vec::new();
    if let Some(iou) = case.iou {
        facts.push(("IoU", format!("{iou:.3}")));
    }
    let classes = &model.header().classes;
    if let Some((index, probability)) = localization.top_class {
        let name = classes
            .get(index)
            .map_or_else(|| format!("class {index}"), String::clone);
        facts.push((
            "predicted",
            format!("{name} ({:.1} %)", 100.0 * probability),
        ));
    }
    if let Some(class) = set.pictures[case.index].class {
        let logits = set.match_classes(classes, model.header().network.classes());
        let name = logits.ok().and_then(|logits| classes.get(logits[class]));
        let name = name.unwrap_or(&set.classes[class].name);
        facts.push(("annotated", name.clone()));
    }
    facts.push(("confidence", format!("{:.3}", localization.confidence())));
    facts.push((
        "mask area",
        format!("{:.1} %", 100.0 * localization.mask_mean),
    ));
    facts
}
