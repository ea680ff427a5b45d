//! Several data sets as one.

use std::path::PathBuf;

use anyhow::{Context, ensure};

use super::{Dataset, Selection, Split};

/// A whole, in the units of [`Mixture::turn`].
const ONE: u64 = 1 << 32;

/// What is wanted of a source.
#[derive(Debug, Clone)]
pub struct SourceOptions {
    /// Folder or archive.
    pub path: PathBuf,
    /// How much of a batch comes from it, in proportion to the other sources' weights.
    ///
    /// `None`, for all sources or for none: the number of pictures.
    pub weight: Option<f64>,
    /// Smallest and largest share of a picture's area that a random crop keeps, in (0, 1]; `None`: that
    /// of the loader's transform.
    pub scale: Option<(f64, f64)>,
}

/// A data set within a mixture.
#[derive(Debug)]
pub struct Source {
    /// Its pictures.
    pub dataset: Dataset,
    /// Share of the pictures that come from it, in (0, 1].
    pub share: f64,
    /// As in [`SourceOptions`].
    pub scale: Option<(f64, f64)>,
}

/// Labelled pictures of several sources with the classes of one model.
#[derive(Debug)]
pub struct Mixture {
    sources: Vec<Source>,
    classes: Vec<String>,
    /// Of each source its share in what it and the sources after it have, in units of 1 / [`ONE`].
    shares: Vec<u64>,
}

impl Mixture {
    /// Opens `split` of all sources and keeps the classes of `selection`.
    ///
    /// The samples get indices into `model_classes`. Where that is empty, as for a model yet to be made,
    /// into the class list's lines, or, without a list, into all classes that the sources have, sorted.
    /// In training, a wanted class without pictures is an error.
    ///
    /// # Errors
    /// A source cannot be read or has no pictures of wanted classes; classes are absent from the data or
    /// from the model; weights or scales are out of range.
    pub fn open(
        options: &[SourceOptions],
        split: Split,
        selection: &Selection,
        model_classes: &[String],
    ) -> anyhow::Result<Mixture> {
        let open = |source: &SourceOptions| Dataset::open(&source.path, split);
        let mut datasets: Vec<_> = options.iter().map(open).collect::<Result<_, _>>()?;
        selection.apply(&mut datasets, split == Split::Train)?;
        let classes = if model_classes.is_empty() {
            selection.classes(&datasets)
        } else {
            model_classes.to_owned()
        };
        for dataset in &mut datasets {
            dataset.label(&classes)?;
        }
        Mixture::new(options, datasets, classes)
    }

    /// A single data set with indices into its own classes.
    ///
    /// # Errors
    /// It holds no pictures.
    pub fn single(dataset: Dataset) -> anyhow::Result<Mixture> {
        let options = SourceOptions {
            path: dataset.path().to_owned(),
            weight: None,
            scale: None,
        };
        let classes = dataset.classes().to_owned();
        Mixture::new(&[options], vec![dataset], classes)
    }

    fn new(
        options: &[SourceOptions],
        datasets: Vec<Dataset>,
        classes: Vec<String>,
    ) -> anyhow::Result<Mixture> {
        ensure!(!datasets.is_empty(), "no data was named");
        let weighted = options
            .iter()
            .filter(|source| source.weight.is_some())
            .count();
        ensure!(
            weighted == 0 || weighted == options.len(),
            "give all sources a weight, or none"
        );
        let mut weights = Vec::new();
        for (source, dataset) in options.iter().zip(&datasets) {
            let named = || format!("data '{}'", source.path.display());
            let pictures = dataset.samples().len();
            ensure!(
                pictures > 0,
                "{} has no pictures of the wanted classes",
                named()
            );
            u32::try_from(pictures)
                .with_context(|| format!("{} has too many pictures", named()))?;
            let weight = source.weight.unwrap_or(pictures as f64);
            ensure!(
                weight.is_finite() && weight > 0.0,
                "the weight of {} is {weight}, but must be above zero",
                named()
            );
            if let Some((least, most)) = source.scale {
                ensure!(
                    0.0 < least && least <= most && most <= 1.0,
                    "the scale of {} is {least} to {most}, but must be within 0 and 1",
                    named()
                );
            }
            weights.push(weight);
        }
        let total: f64 = weights.iter().sum();
        let shares = (0..weights.len()).map(|source| {
            let rest: f64 = weights[source..].iter().sum();
            (weights[source] / rest * ONE as f64).round() as u64
        });
        let shares = shares.collect();
        let sources = datasets.into_iter().zip(options).zip(&weights);
        let sources = sources.map(|((dataset, options), weight)| Source {
            dataset,
            share: weight / total,
            scale: options.scale,
        });
        Ok(Mixture {
            sources: sources.collect(),
            classes,
            shares,
        })
    }

    /// The data sets in the order in which they were named.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The classes that samples have indices into.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// A checksum of the pictures' names and classes, in their order.
    pub fn checksum(&self) -> u32 {
        let mut checksum = 0;
        for source in &self.sources {
            for sample in source.dataset.samples() {
                let class = (sample.class as u64).to_le_bytes();
                checksum = crc32c::crc32c_append(checksum, sample.name.as_bytes());
                checksum = crc32c::crc32c_append(checksum, &class);
            }
        }
        checksum
    }

    /// Number of pictures of all sources.
    pub fn pictures(&self) -> usize {
        let pictures = |source: &Source| source.dataset.samples().len();
        self.sources.iter().map(pictures).sum()
    }

    /// Which source the picture with `number` comes from, and how many before it came from there.
    ///
    /// Of the first n numbers a source gets its share of n to within one for each source before it.
    pub(super) fn turn(&self, number: u64) -> (usize, u64) {
        // The first source takes every number at which its share of the count reaches the next whole one,
        // and leaves the rest to the others, who go on likewise.
        let mut rest = number;
        let last = self.sources.len() - 1;
        for (source, &share) in self.shares.iter().enumerate().take(last) {
            let count =
                |numbers: u64| (u128::from(numbers) * u128::from(share) / u128::from(ONE)) as u64;
            let before = count(rest);
            if count(rest + 1) > before {
                return (source, before);
            }
            rest -= before;
        }
        (last, rest)
    }
}

#[cfg(test)]
mod tests;
