//! Overlays beside the frame.

use super::*;

/// Frames of these sizes, stretched and cropped.
const SIZES: [(u32, u32); 7] = [
    (64, 64),
    (71, 33),
    (33, 71),
    (17, 33),
    (1, 1),
    (3, 1),
    (2, 64),
];

fn rendered(localization: &Localization, geometry: &Geometry, style: &OverlayStyle) -> Vec<Patch> {
    let mut patches = Vec::new();
    // Memory with something in it.
    let spare = || vec![7; 1 << 16];
    Overlay::default()
        .render(localization, geometry, style, spare, &mut patches)
        .unwrap();
    patches
}

/// Red, green, blue and alpha of a patch's pixel at this place of the frame; `None` outside.
fn pixel(patch: &Patch, x: u32, y: u32) -> Option<([u8; 3], u8)> {
    let BoundingBox {
        x: left,
        y: top,
        width,
        height,
    } = patch.area;
    let (column, row) = (x.checked_sub(left)?, y.checked_sub(top)?);
    if column >= width || row >= height {
        return None;
    }
    let at = (row * width + column) as usize * 4;
    let word = u32::from_ne_bytes(*patch.pixels[at..].first_chunk().unwrap());
    let [alpha, red, green, blue] = word.to_be_bytes();
    Some(([red, green, blue], alpha))
}

/// The patches over one pixel of a frame; and by how much that may differ from what is drawn, for rounding: there each time to a
/// level, and shares to 512ths; here the shares and colours of patches to 255ths.
fn over(patches: &[Patch], (x, y): (u32, u32), under: [u8; 3]) -> [(f64, f64); 3] {
    let mut colors = under.map(|value| (f64::from(value), 0.0));
    for (rgb, alpha) in patches.iter().filter_map(|patch| pixel(patch, x, y)) {
        let share = f64::from(alpha) / 255.0;
        for ((color, off), value) in colors.iter_mut().zip(rgb.map(f64::from)) {
            if alpha > 0 {
                *off += 0.5 * (1.0 + share + 1.5 * (*color - value).abs() / 255.0);
            }
            *color = *color * (1.0 - share) + value * share;
        }
    }
    colors
}

/// Two objects that overlap in the frame.
fn two_objects(geometry: &Geometry) -> Localization {
    let mut found = localization(geometry);
    let mut second = found.objects[0].clone();
    let moved = BoundingBox {
        x: 4,
        y: 9,
        width: 17,
        height: 10,
    };
    second.bounding_box = geometry.box_to_frame(moved, 32, 32);
    found.objects.push(second);
    found
}

#[test]
fn patches_over_a_frame_give_what_is_drawn_into_it() {
    for (size, resize) in SIZES
        .into_iter()
        .flat_map(|size| [(size, Resize::Stretch), (size, Resize::Crop)])
    {
        let geometry = Geometry::new(resize, size.0, size.1, 32);
        let found = two_objects(&geometry);
        for (mode, opacity) in MODES
            .into_iter()
            .flat_map(|mode| [(mode, 1.0), (mode, 0.6)])
        {
            let style = style(mode, opacity);
            let before = Picture::new(PixelFormat::Rgb, size, SPACE, background);
            let mut after = before.clone();
            Overlay::default()
                .draw(&mut after.frame_mut(), &found, &geometry, &style)
                .unwrap();
            let patches = rendered(&found, &geometry, &style);
            for (x, y) in (0..size.1).flat_map(|y| (0..size.0).map(move |x| (x, y))) {
                let laid = over(&patches, (x, y), before.rgb(x, y));
                for ((laid, off), drawn) in laid.into_iter().zip(after.rgb(x, y)) {
                    let apart = (laid - f64::from(drawn)).abs();
                    let place = format!("{size:?} {resize:?} {style:?} {x} {y}");
                    assert!(apart <= off + 0.01, "{place}: {apart}");
                }
            }
        }
    }
}

#[test]
fn patches_are_no_larger_than_needed() {
    let geometry = Geometry::new(Resize::Stretch, 64, 64, 32);
    let found = localization(&geometry);
    let areas = |mode| -> Vec<[u32; 4]> {
        let patches = rendered(&found, &geometry, &style(mode, 0.5));
        let areas = patches.iter().map(|patch| patch.area);
        areas.map(|a| [a.x, a.y, a.width, a.height]).collect()
    };
    // By hand: the mask is doubled, the box columns 16 to 48 and rows 8 to 56, lines 2 wide.
    assert_eq!(
        areas(OverlayMode::Box),
        [
            [16, 8, 32, 2],
            [16, 10, 2, 44],
            [46, 10, 2, 44],
            [16, 54, 32, 2]
        ]
    );
    // A pixel of the mask more on each side.
    assert_eq!(areas(OverlayMode::Mask), [[14, 6, 36, 52]]);
    assert_eq!(areas(OverlayMode::Contour), [[14, 6, 36, 52]]);
    for mode in [OverlayMode::Heatmap, OverlayMode::Grey] {
        assert_eq!(areas(mode), [[0, 0, 64, 64]]);
    }
    assert_eq!(areas(OverlayMode::None), [[0; 4]; 0]);
}

#[test]
fn a_thin_box_is_covered_once() {
    for (width, height) in [(1, 1), (3, 40), (40, 3), (4, 4), (5, 5)] {
        let shape = Area::from(BoundingBox {
            x: 7,
            y: 5,
            width,
            height,
        });
        let pixels: usize = outline::sides(&shape, 2)
            .iter()
            .map(|area| area.columns.len() * area.rows.len())
            .sum();
        // All of it but the inside, by hand.
        let inside = width.saturating_sub(4) * height.saturating_sub(4);
        assert_eq!(pixels as u32, width * height - inside, "{width}x{height}");
    }
}

#[test]
fn nothing_to_show_is_no_patch() {
    let geometry = Geometry::new(Resize::Stretch, 64, 64, 32);
    let mut found = localization(&geometry);
    found.objects.clear();
    found.mask.values.fill(0.0);
    for mode in [OverlayMode::Box, OverlayMode::Contour, OverlayMode::Mask] {
        assert_eq!(rendered(&found, &geometry, &style(mode, 1.0)), []);
    }
}

#[test]
fn any_box_can_be_rendered_and_bad_input_is_refused() {
    let geometry = Geometry::new(Resize::Stretch, 17, 33, 32);
    let mut found = localization(&geometry);
    for (start, length) in [0, 1, 16, 17, 4000, u32::MAX]
        .into_iter()
        .flat_map(|start| [0, 1, 5, 17, u32::MAX].map(|length| (start, length)))
    {
        let shape = BoundingBox {
            x: start,
            y: start,
            width: length,
            height: length,
        };
        for object in &mut found.objects {
            (object.bounding_box, object.component.bounding_box) = (shape, shape);
        }
        for mode in MODES {
            for patch in rendered(&found, &geometry, &style(mode, 0.5)) {
                let BoundingBox { width, height, .. } = patch.area;
                assert!(patch.area.right() <= 17 && patch.area.bottom() <= 33);
                assert_eq!(patch.pixels.len(), (width * height * 4) as usize);
                assert!(width * height > 0);
            }
        }
    }
    found.mask.values.pop();
    let render = |found: &Localization, geometry: &Geometry, mode| {
        Overlay::default().render(
            found,
            geometry,
            &style(mode, 1.0),
            Vec::new,
            &mut Vec::new(),
        )
    };
    assert!(render(&found, &geometry, OverlayMode::Mask).is_err());
    let empty = Geometry {
        frame_width: 0,
        ..geometry
    };
    assert!(render(&found, &empty, OverlayMode::Box).is_err());
}
