//! From rays to a picture: the ground's layer, the object over it, anti-aliasing and gamma.
//!
//! The lens is focused on the object. The ground behind is out of focus, so its layer is traced at
//! half the resolution and blurred: this looks like a photograph and costs a quarter of the rays.

use std::sync::Mutex;
use std::thread;

use crate::noise;
use crate::tracer::Stage;
use crate::vector::{Vec3, vec3};

/// Pixels of the picture in a row or column of the ground's layer, per cell of the layer.
const GROUND_STEP: usize = 2;

/// Sub-pixel offsets of the extra samples: a turned square, so that no two share a row or column.
const OFFSETS: [(f32, f32); 4] = [
    (-0.375, -0.125),
    (0.125, -0.375),
    (0.375, 0.125),
    (-0.125, 0.375),
];

/// A frame and which of its pixels show the object.
pub(crate) struct Exposure {
    /// 8-bit RGB, row by row.
    pub pixels: Vec<u8>,
    /// Whether the ray through the pixel's centre met the object.
    pub on_object: Vec<bool>,
}

/// Renders a frame of `width` by `height` pixels; `grain` selects the sensor's noise.
pub(crate) fn expose(stage: &Stage, width: usize, height: usize, grain: u32) -> Exposure {
    let half = 0.5 * height as f32;
    let on_film = |x: f32, y: f32| ((x - 0.5 * width as f32) / half, (half - y) / half);
    let ground = GroundLayer::expose(stage, width, height, on_film);

    let mut object = vec![None; width * height];
    for_each_row(&mut object, width, |y, row| {
        for (x, sample) in row.iter_mut().enumerate() {
            let (x, y) = on_film(x as f32 + 0.5, y as f32 + 0.5);
            *sample = stage.object_sample(x, y);
        }
    });

    let mut pixels = vec![0; 3 * width * height];
    for_each_row(&mut pixels, 3 * width, |y, row| {
        for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
            let (centre_x, centre_y) = (x as f32 + 0.5, y as f32 + 0.5);
            let behind = ground.at(centre_x, centre_y);
            let colour = if is_edge(&object, width, x, y) {
                OFFSETS.iter().fold(Vec3::ZERO, |sum, &(dx, dy)| {
                    let (x, y) = on_film(centre_x + dx, centre_y + dy);
                    sum + stage.object_sample(x, y).unwrap_or(behind) * 0.25
                })
            } else {
                object[y * width + x].unwrap_or(behind)
            };
            let (u, v) = (centre_x / width as f32, centre_y / height as f32);
            let noise = 3.0 * (noise::random(x as i32, y as i32, grain) - 0.5);
            let developed = develop(colour, u, v);
            for (byte, value) in pixel
                .iter_mut()
                .zip([developed.x, developed.y, developed.z])
            {
                *byte = (value * 255.0 + noise + 0.5).clamp(0.0, 255.0) as u8;
            }
        }
    });
    Exposure {
        pixels,
        on_object: object.iter().map(Option::is_some).collect(),
    }
}

/// The ground without the object (but with its shadow), out of focus.
struct GroundLayer {
    columns: usize,
    rows: usize,
    cells: Vec<Vec3>,
}

impl GroundLayer {
    fn expose(
        stage: &Stage,
        width: usize,
        height: usize,
        on_film: impl Fn(f32, f32) -> (f32, f32) + Sync,
    ) -> Self {
        let step = GROUND_STEP as f32;
        let (columns, rows) = (width.div_ceil(GROUND_STEP), height.div_ceil(GROUND_STEP));
        let mut cells = vec![Vec3::ZERO; columns * rows];
        for_each_row(&mut cells, columns, |row, cells| {
            for (column, cell) in cells.iter_mut().enumerate() {
                let (x, y) = on_film((column as f32 + 0.5) * step, (row as f32 + 0.5) * step);
                *cell = stage.ground_sample(x, y, step);
            }
        });
        let radius = stage.defocus * rows as f32;
        let mut layer = Self {
            columns,
            rows,
            cells,
        };
        // Two passes of a box each way give the soft, round-shouldered blur of a lens.
        for _ in 0..2 {
            layer.blur(radius);
        }
        layer
    }

    /// Averages over a square of half-width `radius` cells, which need not be whole.
    fn blur(&mut self, radius: f32) {
        let reach = radius.ceil() as i32;
        let weights: Vec<f32> = (-reach..=reach)
            .map(|i| (radius + 0.5 - i.abs() as f32).clamp(0.0, 1.0))
            .collect();
        let total: f32 = weights.iter().sum();
        let (columns, rows) = (self.columns, self.rows);
        let mut pass = |along_x: bool| {
            let source = &self.cells;
            let mut blurred = vec![Vec3::ZERO; source.len()];
            for_each_row(&mut blurred, columns, |row, cells| {
                for (column, cell) in cells.iter_mut().enumerate() {
                    for (weight, i) in weights.iter().zip(-reach..) {
                        let shifted = |at: usize, count: usize, on: bool| {
                            (at as i32 + if on { i } else { 0 }).clamp(0, count as i32 - 1) as usize
                        };
                        let from = shifted(row, rows, !along_x) * columns
                            + shifted(column, columns, along_x);
                        *cell += source[from] * (weight / total);
                    }
                }
            });
            self.cells = blurred;
        };
        pass(true);
        pass(false);
    }

    /// The layer at a point of the picture, between cells.
    fn at(&self, x: f32, y: f32) -> Vec3 {
        let step = GROUND_STEP as f32;
        let column = (x / step - 0.5).clamp(0.0, (self.columns - 1) as f32);
        let row = (y / step - 0.5).clamp(0.0, (self.rows - 1) as f32);
        let (left, top) = (column as usize, row as usize);
        let right = (left + 1).min(self.columns - 1);
        let bottom = (top + 1).min(self.rows - 1);
        let cell = |row: usize, column: usize| self.cells[row * self.columns + column];
        let (fx, fy) = (column - left as f32, row - top as f32);
        let upper = cell(top, left).mix(cell(top, right), fx);
        upper.mix(cell(bottom, left).mix(cell(bottom, right), fx), fy)
    }
}

/// Calls `work` for each row of `cells`, on as many threads as there are cores.
fn for_each_row<T: Send>(cells: &mut [T], columns: usize, work: impl Fn(usize, &mut [T]) + Sync) {
    // A thread takes the next row when it is done: rows with the object cost far more than others.
    let rows = Mutex::new(cells.chunks_exact_mut(columns).enumerate());
    let threads = thread::available_parallelism().map_or(1, |count| count.get());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let next = rows.lock().expect("taking a row cannot panic").next();
                    let Some((y, row)) = next else { break };
                    work(y, row);
                }
            });
        }
    });
}

/// One sample is enough unless a neighbour differs: most of a frame costs a quarter of the rays.
fn is_edge(object: &[Option<Vec3>], columns: usize, x: usize, y: usize) -> bool {
    let here = object[y * columns + x];
    let rows = object.len() / columns;
    let neighbours = [
        (x > 0).then(|| (x - 1, y)),
        (x + 1 < columns).then_some((x + 1, y)),
        (y > 0).then(|| (x, y - 1)),
        (y + 1 < rows).then_some((x, y + 1)),
    ];
    neighbours
        .into_iter()
        .flatten()
        .any(|(x, y)| match (here, object[y * columns + x]) {
            (Some(here), Some(there)) => {
                let step = there - here;
                step.x.abs().max(step.y.abs()).max(step.z.abs()) > 0.15
            }
            (here, there) => here.is_some() != there.is_some(),
        })
}

/// Lens fall-off towards the corners and the display's gamma.
fn develop(colour: Vec3, u: f32, v: f32) -> Vec3 {
    let (dx, dy) = (2.0 * u - 1.0, 2.0 * v - 1.0);
    let fall_off = 1.0 - 0.12 * (dx * dx + dy * dy);
    let encode = |x: f32| (x * fall_off).clamp(0.0, 1.0).powf(1.0 / 2.2);
    vec3(encode(colour.x), encode(colour.y), encode(colour.z))
}
