//! `q4`: sixteen evenly spaced values for every sixteen weights. Their distance and place minimize the squared error.

use half::f16;

use super::ROUND;
use crate::compute::dtype::{PLANES, UNIT};

/// Weights that share a distance and a place.
const GROUP: usize = 16;

/// A distance is a whole number of units, between these two.
const MIN_DISTANCE: f32 = 4.0;
const MAX_DISTANCE: f32 = 19.0;

/// Code 0 has the value −(FIRST − STEP · z) distances.
const FIRST: f32 = 10.3125;
const STEP: f32 = 0.375;
/// Offset of the first value if the values are evenly spaced around zero: FIRST − 7.5.
const CENTER: f32 = 2.8125;

/// Candidate distances, relative to the smallest that covers a group. A smaller distance clips the largest weights.
const DISTANCES: [f32; 5] = [1.0, 0.0, -1.0, -2.0, -3.0];
/// Stop trying smaller distances once the error exceeds the smallest error by this factor.
const ENOUGH: f32 = 1.3;
/// Candidate places, relative to the place that centers the values on the group.
const PLACES: [f32; 3] = [-1.0, 0.0, 1.0];

/// The parameters of sixteen weights.
#[derive(Clone, Copy)]
struct Terms {
    distance: f32,
    place: f32,
    /// Σ (weight − its value)².
    error: f32,
}

/// The starting point of a group's search.
struct Bounds {
    middle: f32,
    /// The smallest distance with which sixteen values cover all weights.
    needed: f32,
}

impl Bounds {
    fn of(weights: &[f32; GROUP]) -> Self {
        let lowest = weights.iter().fold(f32::INFINITY, |lowest, weight| lowest.min(*weight));
        let highest = weights.iter().fold(f32::NEG_INFINITY, |highest, weight| highest.max(*weight));
        let needed = ((highest - lowest) / 15.0).max(highest / FIRST).max(-lowest / FIRST);
        Self { middle: 0.5 * (lowest + highest), needed }
    }
}

pub(super) fn quantize(weights: &[f32], [codes, words, units]: [&mut [u8]; PLANES]) {
    let runs = weights.chunks(UNIT).zip(codes.chunks_mut(UNIT / 2)).zip(words.chunks_mut(UNIT / GROUP));
    for (((weights, codes), words), unit) in runs.zip(units.as_chunks_mut().0) {
        let groups = weights.as_chunks::<GROUP>().0;
        let (chosen, found) = searched(groups);
        *unit = chosen.to_le_bytes();
        for (((weights, terms), codes), word) in groups.iter().zip(found).zip(codes.chunks_mut(GROUP / 2)).zip(words) {
            *word = (terms.distance - MIN_DISTANCE) as u8 | (terms.place as u8) << 4;
            store(weights, chosen.to_f32() * terms.distance, terms.place, codes);
        }
    }
}

/// A unit that just covers the widest of these groups, and the best parameters of each group.
fn searched(groups: &[[f32; GROUP]]) -> (f16, Vec<Terms>) {
    let bounds: Vec<_> = groups.iter().map(Bounds::of).collect();
    let widest = bounds.iter().fold(0.0, |widest: f32, bounds| widest.max(bounds.needed));
    let unit = f16::from_f32(widest / MAX_DISTANCE);
    let found = groups.iter().zip(&bounds).map(|(weights, bounds)| search(weights, bounds, unit.to_f32()));
    (unit, found.collect())
}

/// The best parameters of a group; distances are multiples of a unit.
fn search(weights: &[f32; GROUP], bounds: &Bounds, unit: f32) -> Terms {
    if unit == 0.0 {
        return Terms { distance: MIN_DISTANCE, place: 0.0, error: weights.iter().map(|weight| weight * weight).sum() };
    }
    let mut best = Terms { distance: MIN_DISTANCE, place: 0.0, error: f32::INFINITY };
    let covering = (bounds.needed / unit).ceil().clamp(MIN_DISTANCE, MAX_DISTANCE);
    let mut last = 0.0;
    for distance in DISTANCES.map(|more| (covering + more).clamp(MIN_DISTANCE, MAX_DISTANCE)) {
        if distance == last {
            continue;
        }
        last = distance;
        let found = placed(weights, bounds, (unit, distance));
        if found.error < best.error {
            best = found;
        }
        if found.error > ENOUGH * best.error {
            break;
        }
    }
    best
}

/// The best place of a group's values at this distance.
fn placed(weights: &[f32; GROUP], bounds: &Bounds, (unit, distance): (f32, f32)) -> Terms {
    let (scale, inverse) = (unit * distance, 1.0 / (unit * distance));
    let scaled = weights.map(|weight| weight * inverse);
    let around = ((bounds.middle * inverse + CENTER) / STEP + ROUND) - ROUND;
    let tried = PLACES.map(|more| {
        let place = (around + more).clamp(0.0, 15.0);
        Terms { distance, place, error: error(&scaled, FIRST - STEP * place) * scale * scale }
    });
    tried.into_iter().reduce(|best, next| if next.error < best.error { next } else { best }).expect("places exist")
}

/// Σ (weight − its value)² in squared distances; weights are in distances.
fn error(scaled: &[f32; GROUP], first: f32) -> f32 {
    let mut squares = [0.0; GROUP];
    for (square, weight) in squares.iter_mut().zip(scaled) {
        let place = weight + first;
        let bounded = if place > 0.0 { place } else { 0.0 };
        let bounded = if bounded < 15.0 { bounded } else { 15.0 };
        let difference = place - ((bounded + ROUND) - ROUND);
        *square = difference * difference;
    }
    for half in [8, 4, 2, 1] {
        (0..half).for_each(|i| squares[i] += squares[i + half]);
    }
    squares[0]
}

/// Writes the codes of a group, two per byte.
fn store(weights: &[f32; GROUP], scale: f32, place: f32, codes: &mut [u8]) {
    let (inverse, first) = (if scale == 0.0 { 0.0 } else { 1.0 / scale }, FIRST - STEP * place);
    let code = |weight: f32| ((weight * inverse + first).clamp(0.0, 15.0) + ROUND).to_bits() as u8;
    for (byte, [low, high]) in codes.iter_mut().zip(weights.as_chunks().0) {
        *byte = code(*low) | code(*high) << 4;
    }
}

pub(super) fn dequantize([codes, words, units]: [&[u8]; PLANES], weights: &mut [f32]) {
    let runs = weights.chunks_mut(UNIT).zip(codes.chunks(UNIT / 2)).zip(words.chunks(UNIT / GROUP));
    for (((weights, codes), words), unit) in runs.zip(units.as_chunks().0) {
        let unit = f16::from_le_bytes(*unit).to_f32();
        for ((weights, codes), word) in weights.chunks_mut(GROUP).zip(codes.chunks(GROUP / 2)).zip(words) {
            let (scale, first) = (unit * (f32::from(word & 15) + MIN_DISTANCE), FIRST - STEP * f32::from(word >> 4));
            for (pair, code) in weights.as_chunks_mut::<2>().0.iter_mut().zip(codes) {
                *pair = [code & 15, code >> 4].map(|code| scale * (f32::from(code) - first));
            }
        }
    }
}
