//! All that is measured on one picture, by any number of rules at once.

use casm::{BoundingBox, Mask, Resize};

use super::max_box::{self, MaxBoxScore};
use super::score::{IOU_THRESHOLD, box_scores, iou};
use super::{
    AnnotatedPicture, Annotation, ClassificationScore, LocalizationScore, MaskStatistics, Options,
    Rule,
};

/// Scores of one picture in one way of resizing.
#[derive(Debug, Clone, PartialEq)]
pub struct PictureScore {
    /// Of the mask at the input's size (section 6.1).
    pub mask: MaskStatistics,
    /// F1 of the soft mask with the annotation that it fits best (Eq. 10).
    pub f1: f64,
    /// Mean over the annotations.
    pub f1_average: f64,
    /// For each of [`Options::rules`] whether its box finds an object.
    pub found: Vec<bool>,
    /// Classification of the same input; absent where classes do not match.
    pub class: Option<ClassificationScore>,
    /// wsolevaluation's protocol, if asked for and the picture is stretched.
    pub max_box: Option<MaxBoxScore>,
    /// Boxes that need no network, if asked for: [`Toy::ALL`].
    pub toys: Vec<ToyScore>,
}

/// Scores of a [`Toy`] on one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct ToyScore {
    /// LE and F1.
    pub localization: LocalizationScore,
    /// As [`PictureScore::max_box`].
    pub max_box: Option<MaxBoxScore>,
}

/// A mask that looks at no picture; the `--toy` masks of the released code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toy {
    /// The whole input.
    Full,
    /// The middle half of the input's area: columns and rows 33 to 190 of 224.
    Centre,
}

impl Toy {
    /// Both.
    pub const ALL: [Toy; 2] = [Toy::Full, Toy::Centre];

    /// The box in an input of `size` x `size` pixels.
    pub fn bounding_box(self, size: u32) -> BoundingBox {
        let (start, end) = match self {
            Toy::Full => (0, size),
            Toy::Centre => (33 * size / 224, 191 * size / 224),
        };
        BoundingBox {
            x: start,
            y: start,
            width: end - start,
            height: end - start,
        }
    }

    /// The mask: 1 in the box, 0 outside.
    pub fn mask(self, size: u32) -> Mask {
        let inside = self.bounding_box(size);
        let within = |x: u32, y: u32| {
            let columns = inside.x..inside.right();
            let rows = inside.y..inside.bottom();
            columns.contains(&x) && rows.contains(&y)
        };
        let values =
            (0..size).flat_map(|y| (0..size).map(move |x| f32::from(u8::from(within(x, y)))));
        Mask {
            width: size as usize,
            height: size as usize,
            values: values.collect(),
        }
    }
}

impl PictureScore {
    /// Scores of `picture`, which is stored in `stored` pixels (width, height), by the network's `mask`
    /// over the input, `[size, size]`, and `logits`.
    pub fn new(
        picture: &AnnotatedPicture,
        stored: (u32, u32),
        resize: Resize,
        mask: &Mask,
        logits: &[f32],
        options: &Options,
    ) -> PictureScore {
        let size = options.input_size;
        let original = picture.original.unwrap_or(stored);
        let carry = |annotation: &Annotation| {
            let carried = annotation.to_input_of_stored(resize, original, stored, size);
            if options.clipped {
                carried.clipped(size)
            } else {
                carried
            }
        };
        let annotations: Vec<Annotation> = picture.annotations.iter().map(carry).collect();
        let target = options
            .logits
            .as_ref()
            .and_then(|of_class| of_class.get(picture.class?).copied());
        let class = target
            .filter(|&target| target < logits.len())
            .map(|target| ClassificationScore::new(logits, target));
        let score = |mask: &Mask, found: Option<&BoundingBox>| {
            LocalizationScore::new(&box_scores(mask, found, &annotations), true)
        };
        let without_box = score(mask, None);
        let found = |rule: &Rule| {
            let predicted = rule.bounding_box(mask);
            let hit = |annotation| {
                iou(predicted.as_ref(), annotation, mask.width, mask.height) > IOU_THRESHOLD
            };
            annotations.iter().any(hit)
        };
        let stretched = (options.max_box && resize == Resize::Stretch).then(|| {
            let carry =
                |raw: &Annotation| max_box::to_stretched(*raw, original.0, original.1, size);
            picture.annotations.iter().map(carry).collect::<Vec<_>>()
        });
        let toy = |toy: &Toy| {
            let found = toy.bounding_box(size);
            let of_box = |annotations: &Vec<_>| MaxBoxScore::of_box(&found, size, annotations);
            ToyScore {
                localization: score(&toy.mask(size), Some(&found)),
                max_box: stretched.as_ref().map(of_box),
            }
        };
        let toys: &[Toy] = if options.toys { &Toy::ALL } else { &[] };
        PictureScore {
            mask: MaskStatistics::new(mask),
            f1: without_box.f1,
            f1_average: without_box.f1_average,
            found: options.rules.iter().map(found).collect(),
            class,
            max_box: stretched
                .as_ref()
                .map(|truth| MaxBoxScore::new(mask, truth)),
            toys: toys.iter().map(toy).collect(),
        }
    }
}
