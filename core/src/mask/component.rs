//! Binary mask → its largest connected components.
//!
//! Pixels are connected through edges, not corners (4-connectivity), as in the released code. The
//! work is done on runs, stretches of marked pixels within a row, of which a mask has far fewer than
//! pixels: runs of neighbouring rows that share a column are joined in a union-find forest.

use super::{BinaryMask, BoundingBox};

/// A 4-connected region of a binary mask.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Component {
    /// Its pixels, in a mask of the same size.
    pub pixels: BinaryMask,
    /// Number of pixels.
    pub area: usize,
    /// Tightest box, in pixels of the mask.
    pub bounding_box: BoundingBox,
}

impl BinaryMask {
    /// The 4-connected component with the most pixels; of several, the one that comes first in raster
    /// order. `None` if nothing is marked.
    pub fn largest_component(&self) -> Option<Component> {
        self.largest_components(1).pop()
    }

    /// The `count` 4-connected components with the most pixels, the largest first; of equal ones that which
    /// comes first in raster order.
    pub fn largest_components(&self, count: usize) -> Vec<Component> {
        let mut components = Components::default();
        components.find(self);
        components.largest(count);
        let component = |&root: &usize| {
            let mut component = Component::default();
            components.describe(root, self, &mut component);
            component
        };
        components.roots().iter().map(component).collect()
    }

    /// Number of pixels of every 4-connected component, in raster order of their first pixels.
    pub fn component_areas(&self) -> Vec<usize> {
        let mut components = Components::default();
        components.find(self);
        components.areas.retain(|&area| area > 0);
        components.areas
    }
}

/// Finds the components of a binary mask; keeps its buffers from mask to mask.
#[derive(Debug, Default)]
pub(crate) struct Components {
    /// All runs in raster order.
    runs: Vec<Run>,
    /// For every run the area of the component of which it is the root, else 0.
    areas: Vec<usize>,
    /// Components by their roots, the largest first.
    roots: Vec<usize>,
}

impl Components {
    /// Finds those of `mask`.
    pub(crate) fn find(&mut self, mask: &BinaryMask) {
        self.connect(mask);
        self.areas.clear();
        self.areas.resize(self.runs.len(), 0);
        for run in &self.runs {
            self.areas[run.parent] += run.end - run.start;
        }
    }

    /// Looks for the `count` largest; of equal ones for that which comes first in raster order.
    pub(crate) fn largest(&mut self, count: usize) {
        let Components { areas, roots, .. } = self;
        roots.clear();
        roots.extend((0..areas.len()).filter(|&root| areas[root] > 0));
        // By root as well, which is the raster order.
        roots.sort_unstable_by_key(|&root| (std::cmp::Reverse(areas[root]), root));
        roots.truncate(count);
    }

    /// What [`largest`](Components::largest) has found last.
    pub(crate) fn roots(&self) -> &[usize] {
        &self.roots
    }

    /// Number of pixels of a component.
    pub(crate) fn area(&self, root: usize) -> usize {
        self.areas[root]
    }

    /// Writes pixels, area and box of a component of `mask`.
    pub(crate) fn describe(&self, root: usize, mask: &BinaryMask, component: &mut Component) {
        let pixels = &mut component.pixels;
        (pixels.width, pixels.height) = (mask.width, mask.height);
        pixels.values.clear();
        pixels.values.resize(mask.values.len(), false);
        let (mut left, mut right) = (mask.width, 0);
        let (mut top, mut bottom) = (mask.height, 0);
        for run in self.runs.iter().filter(|run| run.parent == root) {
            pixels.values[run.row * mask.width..][run.start..run.end].fill(true);
            (left, right) = (left.min(run.start), right.max(run.end));
            (top, bottom) = (top.min(run.row), bottom.max(run.row + 1));
        }
        component.area = self.areas[root];
        component.bounding_box = BoundingBox {
            x: left as u32,
            y: top as u32,
            width: (right - left) as u32,
            height: (bottom - top) as u32,
        };
    }

    /// Lists the runs, each with the root of its component as parent: the component's first run.
    fn connect(&mut self, mask: &BinaryMask) {
        let runs = &mut self.runs;
        runs.clear();
        let mut above = 0..0;
        // `max`: a mask without columns has no rows, and chunks of nothing would panic.
        for (row, values) in mask.values.chunks_exact(mask.width.max(1)).enumerate() {
            let values: &[u8] = bytemuck::cast_slice(values);
            let first = runs.len();
            let mut end = 0;
            while let Some(start) = position(values, end, true) {
                end = position(values, start, false).unwrap_or(values.len());
                let index = runs.len();
                runs.push(Run {
                    row,
                    start,
                    end,
                    parent: index,
                });
                // Both rows go from left to right: what ends before this run touches no later one.
                while above.start < first && runs[above.start].end <= start {
                    above.start += 1;
                }
                for other in above.start..first {
                    if runs[other].start >= end {
                        break;
                    }
                    join(runs, other, index);
                }
            }
            above = first..runs.len();
        }
        // Parents come before their children, so one pass makes every parent a root.
        for index in 0..runs.len() {
            runs[index].parent = runs[runs[index].parent].parent;
        }
    }
}

/// Marked pixels next to each other: columns `start .. end` of `row`.
#[derive(Debug)]
struct Run {
    row: usize,
    start: usize,
    end: usize,
    /// Index of a run of the same component that comes no later; its own for a root.
    parent: usize,
}

/// First index from `from` on with this value; the bytes are 1 or 0.
fn position(values: &[u8], from: usize, value: bool) -> Option<usize> {
    // Eight at a time: what differs from the other value is not 0.
    let other = u64::from_ne_bytes([u8::from(!value); 8]);
    let (words, rest) = values[from..].as_chunks::<8>();
    for (index, &word) in words.iter().enumerate() {
        let found = u64::from_le_bytes(word) ^ other;
        if found != 0 {
            return Some(from + 8 * index + found.trailing_zeros() as usize / 8);
        }
    }
    let offset = rest.iter().position(|&byte| byte == u8::from(value))?;
    Some(values.len() - rest.len() + offset)
}

/// Makes one component of those of runs `a` and `b`. The root that comes first in raster order stays
/// root.
fn join(runs: &mut [Run], a: usize, b: usize) {
    let (a, b) = (root(runs, a), root(runs, b));
    runs[a.max(b)].parent = a.min(b);
}

/// The root of a run. Shortens the way for the next search by letting parents be grandparents.
fn root(runs: &mut [Run], mut index: usize) -> usize {
    while runs[index].parent != index {
        runs[index].parent = runs[runs[index].parent].parent;
        index = runs[index].parent;
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One string per row, `#` is marked.
    fn drawn(rows: &[&str]) -> BinaryMask {
        let values = rows
            .iter()
            .flat_map(|row| row.bytes().map(|byte| byte == b'#'))
            .collect();
        BinaryMask {
            width: rows[0].len(),
            height: rows.len(),
            values,
        }
    }

    #[test]
    fn the_largest_component_comes_alone_and_with_its_tightest_box() {
        let component = drawn(&["##...", "...##", "..##.", "#..#."])
            .largest_component()
            .unwrap();
        assert_eq!(
            component.pixels,
            drawn(&[".....", "...##", "..##.", "...#."])
        );
        assert_eq!(component.area, 5);
        assert_eq!(
            component.bounding_box,
            BoundingBox {
                x: 2,
                y: 1,
                width: 3,
                height: 3
            }
        );
    }

    #[test]
    fn corners_do_not_connect() {
        assert_eq!(drawn(&["#.#", ".#.", "#.#"]).component_areas(), [1; 5]);
    }

    #[test]
    fn of_equal_components_the_first_in_raster_order_wins() {
        // The left one reaches further left and starts a row later.
        let component = drawn(&["...#", "#..#", "#..#", "#..."])
            .largest_component()
            .unwrap();
        assert_eq!(
            component.bounding_box,
            BoundingBox {
                x: 3,
                y: 0,
                width: 1,
                height: 3
            }
        );
    }

    /// By hand: areas 1, 3, 2 and 2 in raster order.
    #[test]
    fn several_components_come_by_size_and_then_in_raster_order() {
        let mask = drawn(&["#.##.", "..#..", "##...", "...##"]);
        let boxes = |count| -> Vec<(usize, u32, u32)> {
            let components = mask.largest_components(count);
            let place =
                |found: &Component| (found.area, found.bounding_box.x, found.bounding_box.y);
            components.iter().map(place).collect()
        };
        assert_eq!(boxes(3), [(3, 2, 0), (2, 0, 2), (2, 3, 3)]);
        assert_eq!(boxes(9).len(), 4);
        assert_eq!(boxes(0), []);
    }

    #[test]
    fn arms_that_meet_late_are_one_component() {
        // Three arms and a spiral: joins that find two long-separate roots.
        assert_eq!(drawn(&["#.#.#", "#.#.#", "#####"]).component_areas(), [11]);
        assert_eq!(
            drawn(&["#####", "#...#", "#.#.#", "#.###", "#...."]).component_areas(),
            [15]
        );
        assert_eq!(
            drawn(&[".#.#.", ".#.#.", "##.##", "#...#", "#####"]).component_areas(),
            [15]
        );
    }

    #[test]
    fn runs_at_the_border_do_not_wrap_into_the_next_row() {
        assert_eq!(drawn(&["..##", "##.."]).component_areas(), [2, 2]);
    }

    #[test]
    fn nothing_marked_is_no_component() {
        assert_eq!(drawn(&["...", "..."]).largest_component(), None);
        assert!(BinaryMask::default().component_areas().is_empty());
    }

    #[test]
    fn everything_marked_is_one_component() {
        let everything = drawn(&["####", "####"]);
        let component = everything.largest_component().unwrap();
        assert_eq!(component.pixels, everything);
        assert_eq!(
            component.bounding_box,
            BoundingBox {
                x: 0,
                y: 0,
                width: 4,
                height: 2
            }
        );
    }
}
