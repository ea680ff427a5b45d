//! Masks, classifiers, and what has come out so far.

use std::path::{Path, PathBuf};

use anyhow::Context;
use casm::mask::BinaryMask;
use casm_training::evaluation::{AnnotatedSet, ClassificationScore};
use casm_training::figure::{Condition, Tally, ToyMask, View, masked_versions};
use image::RgbImage;

use super::Arguments;
use crate::command::figure::{Models, checkpoints_in};

/// Whose masks are shown to whom.
pub struct Study {
    networks: Models,
    /// Which of the networks make masks.
    makers: Vec<usize>,
    toys: Vec<ToyMask>,
    seed: u64,
    judges: Vec<Judge>,
    /// Side of the networks' input.
    pub size: u32,
    pub tally: Tally,
}

/// A classifier.
struct Judge {
    /// Which of the networks.
    network: usize,
    /// For each of the data's classes its logit.
    logits: Vec<usize>,
}

impl Study {
    pub fn new(arguments: &Arguments, set: &AnnotatedSet) -> anyhow::Result<Study> {
        let mut networks = Models::new(arguments.network.options());
        let mut makers = Vec::new();
        for path in &arguments.model {
            makers.push(networks.open(Some(path))?);
        }
        if makers.is_empty() {
            makers.push(networks.open(None)?);
        }
        for &maker in &makers {
            let header = networks.models[maker].header();
            header.require_decoder(&format!("'{}'", networks.models[maker].name))?;
        }
        let mut classifiers = Vec::new();
        for text in &arguments.classifier {
            let files = match text.strip_prefix("dir:") {
                Some(folder) => checkpoints_in(Path::new(folder))?,
                None => vec![PathBuf::from(text)],
            };
            for file in files {
                classifiers.push(networks.open(Some(&file))?);
            }
        }
        if classifiers.is_empty() {
            classifiers.clone_from(&makers);
        }
        let judge = |network: usize| {
            let model = &networks.models[network];
            let header = model.header();
            let logits = set.match_classes(&header.classes, header.network.classes());
            let logits = logits.map_err(anyhow::Error::msg).with_context(|| {
                let data = arguments.pictures.data.display();
                format!(
                    "classifier '{}' cannot judge the pictures of '{data}'",
                    model.name
                )
            })?;
            Ok(Judge { network, logits })
        };
        let mut toys = arguments.toy.clone();
        for list in [&mut makers, &mut classifiers] {
            distinct(list);
        }
        distinct(&mut toys);
        let judges = classifiers.into_iter().map(judge);
        Ok(Study {
            judges: judges.collect::<anyhow::Result<_>>()?,
            size: networks.models[makers[0]].header().input.size,
            networks,
            makers,
            toys,
            seed: arguments.seed,
            tally: Tally::default(),
        })
    }

    /// Takes in pictures at the input's size; `indices` are theirs in the set.
    pub fn add(
        &mut self,
        pictures: &[RgbImage],
        indices: &[usize],
        set: &AnnotatedSet,
    ) -> anyhow::Result<()> {
        if pictures.is_empty() {
            return Ok(());
        }
        // Every network sees the clean pictures once, for its masks and for its opinion.
        let views = self.networks.models.iter_mut();
        let views = views.map(|model| model.view(pictures));
        let views = views.collect::<anyhow::Result<Vec<_>>>()?;
        for judge in &self.judges {
            let name = &self.networks.models[judge.network].name;
            for (view, &index) in views[judge.network].iter().zip(indices) {
                let score = judge.score(view, index, set)?;
                self.tally.add("", name, Condition::Clean, &score);
            }
        }
        let mut sources = Vec::new();
        for &maker in &self.makers {
            let model = &self.networks.models[maker];
            let masks = views[maker].iter().map(|view| model.binary_mask(view));
            sources.push((model.name.clone(), masks.collect::<anyhow::Result<_>>()?));
        }
        for toy in &self.toys {
            let mask = |&index: &usize| toy.mask(self.size as usize, self.seed, index as u64);
            let masks: Vec<BinaryMask> = indices.iter().map(mask).collect();
            sources.push((toy.to_string(), masks));
        }
        for (name, masks) in sources {
            let mut versions = [Vec::new(), Vec::new(), Vec::new()];
            for (picture, mask) in pictures.iter().zip(&masks) {
                for (list, version) in versions.iter_mut().zip(masked_versions(picture, mask)) {
                    list.push(version);
                }
            }
            let conditions = [
                Condition::MaskedIn,
                Condition::MaskedOut,
                Condition::Inpainted,
            ];
            for (condition, pictures) in conditions.into_iter().zip(&versions) {
                self.judge(&name, condition, pictures, indices, set)?;
            }
        }
        Ok(())
    }

    /// Takes in masked pictures.
    fn judge(
        &mut self,
        mask: &str,
        condition: Condition,
        pictures: &[RgbImage],
        indices: &[usize],
        set: &AnnotatedSet,
    ) -> anyhow::Result<()> {
        for judge in &self.judges {
            let model = &mut self.networks.models[judge.network];
            for (view, &index) in model.view(pictures)?.iter().zip(indices) {
                let score = judge.score(view, index, set)?;
                self.tally.add(mask, &model.name, condition, &score);
            }
        }
        Ok(())
    }
}

impl Judge {
    fn score(
        &self,
        view: &View,
        index: usize,
        set: &AnnotatedSet,
    ) -> anyhow::Result<ClassificationScore> {
        let picture = &set.pictures[index];
        let class = picture
            .class
            .with_context(|| format!("picture '{}' has no class", picture.name))?;
        Ok(ClassificationScore::new(&view.logits, self.logits[class]))
    }
}

/// Leaves out what is there already.
fn distinct<T: PartialEq + Copy>(list: &mut Vec<T>) {
    let mut seen = Vec::new();
    list.retain(|item| {
        let new = !seen.contains(item);
        seen.push(*item);
        new
    });
}
